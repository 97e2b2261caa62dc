"""Decoding of sounds to blocks of samples, of which few are in memory at a time."""

import io
import os
from contextlib import contextmanager

import numpy as np

from sklearn_transfer._modalities.audio.contents import (
    LargeFile,
    Waveforms,
    identify_sound,
)
from sklearn_transfer._modalities.audio.endings import (
    TAIL,
    check_count,
    check_log,
    check_pages,
)
from sklearn_transfer._modalities.contents import (
    BadSampleError,
    identify_open_file,
    open_regular,
)
from sklearn_transfer._validation import import_optional, shorten

# Samples of a channel that are decoded at once.
BLOCK = 1 << 18
# Largest absolute value that is taken for sound, 18 dB above full scale in an array, whose
# scale may be another, and 40 dB in a file: some of Ogg Vorbis are as overdriven as that.
_LOUDEST, _LOUDEST_OF_FILES = 8.0, 100.0
_SCALES = {"int8": 2**7, "int16": 2**15, "int32": 2**31}
_OFFSETS = {"uint8": 2**7, "uint16": 2**15}
# Formats that soundfile does not read, by the first bytes from the place given.
_UNREADABLE = (
    (4, b"ftyp", "MPEG-4 (AAC or ALAC)"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (0, b"\x30\x26\xb2\x75", "Windows Media"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the file itself"),
)


def read_blocks(content, is_series=False, has_channels_first=False):
    """Return the sampling rate of content, and a generator of its blocks.

    Parameters
    ----------
    content : bytes, LargeFile or Waveforms
        As `contents.read_sample` returns it.
    is_series : bool, default=False
        Whether arrays hold measurements of any unit, which are not scaled.
    has_channels_first : bool, default=False
        Whether the first axis of arrays is that of channels, even if it is the longer one.

    Returns
    -------
    rate : float
        Samples per second.
    blocks : generator of ndarray of shape (channels, time), float32
        Consecutive parts, none of them empty. It raises BadSampleError for samples that are
        not finite, or too large for sound.
    """
    if isinstance(content, Waveforms):
        blocks = _split_waveforms(content.array, is_series, has_channels_first)
        loudest = np.inf if is_series else _LOUDEST
        return content.sampling_rate, _check_blocks(blocks, content.sampling_rate, loudest)
    blocks = _decode(content)
    rate = next(blocks)
    return rate, _check_blocks(blocks, rate, np.inf if is_series else _LOUDEST_OF_FILES)


def count_file_channels(content):
    """Return the number of channels of a file by its header."""
    soundfile = import_optional("soundfile", "audio", "reading files of sounds")
    with _open_content(content) as (file, head, _):
        try:
            with soundfile.SoundFile(file, closefd=False) as track:
                return track.channels
        except soundfile.LibsndfileError as error:
            raise BadSampleError(_describe_failure(head, error)) from error


def _split_waveforms(array, is_series, has_channels_first):
    array = _orient(array, has_channels_first)
    for start in range(0, array.shape[1], BLOCK):
        part = array[:, start : start + BLOCK]
        with np.errstate(over="ignore"):  # infinity is refused later
            part = part.astype(np.float32) if is_series else _scale(part)
        yield part


def _orient(array, has_channels_first):
    """Return waveforms as (channels, time).

    The longer axis of a sound is its time, since soundfile has it first and others last.
    """
    if array.ndim == 1:
        return array[None]
    if has_channels_first or array.shape[0] <= array.shape[1]:
        return array
    return array.T


def _scale(part):
    """Return samples as float32, integers in [-1, 1)."""
    name = part.dtype.name
    if part.dtype.kind == "f":
        return part.astype(np.float32)
    if name in _SCALES:
        return part.astype(np.float32) / np.float32(_SCALES[name])
    if name in _OFFSETS:
        return part.astype(np.float32) / np.float32(_OFFSETS[name]) - np.float32(1)
    raise BadSampleError(
        f"has samples of {name}, whose range no sound uses; convert them, for instance"
        " waveform.astype('int16') for samples of 16 bits"
    )


def _check_blocks(blocks, rate, loudest):
    n_seen = 0
    for block in blocks:
        finite = np.isfinite(block).all(axis=0)
        if not finite.all():
            first = n_seen + int(np.argmin(finite))
            raise BadSampleError(
                f"has NaN, infinity or numbers beyond 3e38, first at {first / rate:.3f} s"
            )
        largest = float(np.abs(block).max())
        if largest > loudest:
            raise BadSampleError(
                f"has floats up to {largest:g}, and sound lies between -1 and 1; divide by"
                " the full scale of its source, such as 32768 for 16 bits"
            )
        n_seen += block.shape[1]
        yield block
    if not n_seen:
        raise BadSampleError("has no samples")


def _decode(content):
    """Yield the sampling rate of a file, then its blocks."""
    soundfile = import_optional("soundfile", "audio", "reading files of sounds")
    with _open_content(content) as (file, head, tail):
        try:
            with soundfile.SoundFile(file, closefd=False) as track:
                check_log(track.extra_info)
                if track.format == "OGG":
                    check_pages(tail)
                yield float(track.samplerate)
                n_read = 0
                while len(block := track.read(BLOCK, dtype="float32", always_2d=True)):
                    n_read += len(block)
                    yield np.ascontiguousarray(block.T)
                if track.format == "MP3":
                    check_count(n_read, track.frames)
        except soundfile.LibsndfileError as error:
            raise BadSampleError(_describe_failure(head, error)) from error


@contextmanager
def _open_content(content):
    """Context with what soundfile opens, and the first and the last bytes of a file."""
    if not isinstance(content, LargeFile):
        if not content:
            raise BadSampleError("is empty: 0 bytes")
        yield io.BytesIO(content), content[:32], content[-TAIL:]
        return
    with open_regular(content.path) as file:
        _check_unchanged(content, file)
        head = file.read(32)
        file.seek(-min(TAIL, os.fstat(file.fileno()).st_size), os.SEEK_END)
        tail = file.read()
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # where soundfile, without a buffer, begins
        yield file.fileno(), head, tail
        _check_unchanged(content, file)


def _check_unchanged(content, file):
    if identify_open_file(content.path, file) != content.identity:
        raise BadSampleError("has changed while it was read; call again")


def _describe_failure(head, error):
    for place, magic, name in _UNREADABLE:
        if head[place:].startswith(magic):
            return (
                f"is {name}, which soundfile does not read; it reads WAV, FLAC, Ogg, MP3 and"
                f" AIFF{_suggest_repair(name)}"
            )
    reason = shorten(str(getattr(error, "error_string", error)).strip().rstrip("."))
    known = identify_sound(head)
    if known is None:
        return (
            f"is no file of sound that soundfile reads ({reason}); expected WAV, FLAC, Ogg,"
            " MP3 or AIFF"
        )
    return f"is a damaged {known} file ({reason})"


def _suggest_repair(name):
    if name.endswith("image"):
        return "; PretrainedFeatures takes images"
    is_sound = not name.startswith("a ")
    return ", to which 'ffmpeg -i file -vn file.flac' converts" if is_sound else ""
