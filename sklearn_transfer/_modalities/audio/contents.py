"""Contents of single sounds, and the digests by which they are known."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np

from sklearn_transfer._modalities.contents import (
    BadSampleError,
    decode_data_uri,
    digest_file,
    is_data_uri,
    is_missing,
    lookup_file_digest,
    measure_file,
    read_file,
    unwrap_sample,
)
from sklearn_transfer._store.digests import digest, digest_array
from sklearn_transfer._validation import shorten

SAMPLE_KINDS = "a path, encoded bytes, a pair (waveform, sampling_rate), or a waveform"
_LABELED = "; pass only the sounds of pairs (sound, label): [sound for sound, label in X]"
# Bytes of a file above which it is read a part at a time.
_LARGE = 4 << 20
# Formats by their first bytes: those that soundfile reads, and others that may be met.
_MAGIC = (
    (b"fLaC", "FLAC"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b"\xff\xfb", "MP3"),
    (b"\xff\xfa", "MP3"),
    (b"\xff\xf3", "MP3"),
    (b"\xff\xf2", "MP3"),
    (b"\xff\xe3", "MP3"),
    (b"\xff\xe2", "MP3"),
    (b".snd", "AU"),
    (b"caff", "Core Audio"),
)
_FORMS = {
    (b"RIFF", b"WAVE"): "WAV",
    (b"RF64", b"WAVE"): "WAV",
    (b"FORM", b"AIFF"): "AIFF",
    (b"FORM", b"AIFC"): "AIFF",
}


@dataclass(frozen=True)
class Waveforms:
    """Samples in memory, (channels, time) or (time,), of any type of numbers."""

    array: np.ndarray
    sampling_rate: float


@dataclass(frozen=True)
class LargeFile:
    """A file that is decoded a part at a time, and the identity that it had when digested."""

    path: object
    identity: bytes


def identify_sound(head):
    """Return the name of the format of a sound file by its first 12 bytes, else None."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return _FORMS.get((bytes(head[:4]), bytes(head[8:12])))


def find_known_digest(sample, sampling_rate):
    """Return the digest of a sound if that takes little time, else None.

    That of a path is known if its file was read before and has not changed since.
    `sampling_rate` is that of arrays which state none.
    """
    sample = _unwrap(sample)
    if isinstance(sample, (str, os.PathLike)):
        return None if is_data_uri(sample) else lookup_file_digest(sample)
    if isinstance(sample, bytes):
        return digest_array(sample)
    waveforms = _find_waveforms(sample, sampling_rate)
    if waveforms is None or np.ma.is_masked(waveforms.array):
        return None
    return _digest_waveforms(waveforms)


def read_sample(sample, sampling_rate):
    """Return digest and undecoded content of one sound.

    The content is bytes, `LargeFile` or `Waveforms`.
    """
    sample = _unwrap(sample)
    if is_data_uri(sample):
        sample = decode_data_uri(sample)
    if isinstance(sample, (str, os.PathLike)):
        if measure_file(sample) <= _LARGE:
            return read_file(sample)
        key, identity = digest_file(sample)
        return key, LargeFile(sample, identity)
    if isinstance(sample, (bytes, bytearray, memoryview)):
        content = bytes(sample)
        return digest_array(content), content
    waveforms = _find_waveforms(sample, sampling_rate)
    if waveforms is not None:
        _check_waveforms(waveforms)
        return _digest_waveforms(waveforms), waveforms
    if is_missing(sample):
        raise BadSampleError(f"missing value ({shorten(sample)})")
    raise BadSampleError(
        f"is of type {type(sample).__name__}, expected {SAMPLE_KINDS}{_suggest_repair(sample)}"
    )


def _unwrap(sample):
    """Return a sample whose waveform is a NumPy array; mappings give what they hold."""
    if isinstance(sample, Mapping) and {"array", "sampling_rate"} <= sample.keys():
        waveform = _as_array(sample["array"])
        return None if waveform is None else (waveform, sample["sampling_rate"])
    if isinstance(sample, (tuple, list)) and len(sample) == 2:
        waveform = _as_array(sample[0])
        if isinstance(waveform, np.ndarray) and waveform.ndim > 0:
            is_one = is_rate(sample[1]) or isinstance(sample, tuple)
            return (waveform, sample[1]) if is_one else _as_array(sample)
    return _as_array(unwrap_sample(sample))


def _as_array(value):
    """Return a waveform of any kind, also a list of numbers, as a NumPy array.

    Other values are returned as they are.
    """
    value = unwrap_sample(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value
    if isinstance(value, (list, tuple)):
        return _convert_list(value)
    is_array = hasattr(value, "__array__") and getattr(value, "ndim", 0) == 1
    return np.asarray(value) if is_array else value


def _convert_list(values):
    """Return a list of numbers, or of lists of these, as an array; others as they are."""
    try:
        found = np.asarray(values)
    except ValueError:  # of lists that differ in length
        return values
    return found if found.dtype.kind in "biufc" else values


def is_rate(value):
    """Whether a value is a number that can be a sampling rate."""
    return isinstance(value, (Real, np.number)) and not isinstance(value, (bool, np.bool_))


def _find_waveforms(sample, sampling_rate):
    """Return the `Waveforms` of a pair or an array, else None."""
    if isinstance(sample, tuple) and len(sample) == 2 and isinstance(sample[0], np.ndarray):
        return Waveforms(sample[0], _check_rate(sample[1]))
    if not isinstance(sample, np.ndarray) or sample.ndim == 0:
        return None
    if sampling_rate is None:
        raise BadSampleError(
            f"is an array {sample.shape} without a sampling rate; pass sampling_rate=, in Hz,"
            " or pairs (waveform, sampling_rate)"
        )
    return Waveforms(sample, float(sampling_rate))


def _check_rate(rate):
    value = rate.item() if getattr(rate, "ndim", None) == 0 else rate
    if is_rate(value) and 0 < value < np.inf:
        return float(value)
    repair = "" if is_rate(value) else _LABELED
    raise BadSampleError(
        f"has a sampling rate of {shorten(value)}, expected a positive number in Hz{repair}"
    )


def _digest_waveforms(waveforms):
    if waveforms.array.dtype.hasobject:
        return None
    return digest("waveforms", waveforms.sampling_rate, digest_array(waveforms.array))


def _check_waveforms(waveforms):
    """Raise BadSampleError unless an array can hold a sound."""
    array = waveforms.array
    if array.ndim not in (1, 2):
        raise BadSampleError(
            f"array of shape {array.shape}, expected (time,) or (channels, time)"
        )
    if array.size == 0:
        raise BadSampleError(f"has no samples: shape {array.shape}")
    if array.dtype.kind not in "iuf":
        raise BadSampleError(f"is an array of {array.dtype}, expected integers or floats")
    if np.ma.is_masked(array):
        raise BadSampleError("has masked samples; fill them in: waveform.filled(0)")


def _suggest_repair(sample):
    if isinstance(sample, tuple) and len(sample) == 2 and is_rate(sample[0]):
        return "; turn pairs around: [(waveform, rate) for rate, waveform in X]"
    if isinstance(sample, tuple) and len(sample) == 2:
        return _LABELED
    if hasattr(sample, "read"):
        return "; pass its content: file.read()"
    return ""
