"""Checks of samples that strangers send, before anything else looks at them."""

import io
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from PIL import Image
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_transfer._modalities.audio.contents import identify_sound
from sklearn_transfer._modalities.contents import (
    BadSampleError,
    decode_data_uri,
    is_data_uri,
)
from sklearn_transfer._modalities.image.decoded import describe_error
from sklearn_transfer._modalities.samples import as_samples
from sklearn_transfer._validation import import_optional, shorten

# Formats by their first bytes. Pillow has decoders for many more, some of which start programs
# or have had holes, and a stranger must not choose among them.
_IMAGES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
_SOUNDS = ("WAV", "FLAC", "Ogg", "MP3")
_EXPECTED = {
    "image": "a JPEG, PNG, WebP or GIF file",
    "audio": "a WAV, FLAC, Ogg or MP3 file",
}
# Each scan of a JPEG file goes over the whole picture, so that thousands of empty ones keep a
# decoder busy for minutes; cameras and programs write about ten.
_SCAN, _MOST_SCANS = b"\xff\xda", 100
# Pillow appends each block of Exif to those before, in time that grows with their square.
_EXIF, _MOST_EXIF = b"Exif\0\0", 100
# Filters for resampling are as long as the rate is high.
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000
_OR_URI = " or a data: URI"
# Characters of a `data:` URI for each byte of it, at most, and before these.
_ESCAPED, _LONGEST_HEAD = 3, 1000


@validate_params(
    {
        "X": "no_validation",
        "kind": [StrOptions({"image", "audio", "text"})],
        "max_samples": [Interval(Integral, 1, None, closed="left")],
        "max_bytes": [Interval(Integral, 1, None, closed="left")],
        "max_pixels": [Interval(Integral, 1, None, closed="left")],
        "max_seconds": [Interval(Real, 0, None, closed="neither")],
        "max_characters": [Interval(Integral, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def check_untrusted_samples(
    X,
    kind="image",
    *,
    max_samples=64,
    max_bytes=10_000_000,
    max_pixels=25_000_000,
    max_seconds=600,
    max_characters=100_000,
):
    """Return samples that strangers sent as bytes or texts that are safe to predict from.

    For estimators of this package a string is a path, or a text. In a service, a client that
    sends ``"/etc/passwd"`` would have the server open its own files. This function accepts
    encoded bytes and `data:` URIs alone and returns bytes, so that nothing behind it can take
    a client's string for a path. It opens no file and no address.

    Parameters
    ----------
    X : sequence of n_samples samples
        A list, a tuple, an array of objects, a Series or a table with one column. Each image
        or sound is bytes or a `data:` URI, and each text is a string.
    kind : {"image", "audio", "text"}, default="image"
        What the samples are.
    max_samples : int, default=64
        Largest number of samples.
    max_bytes : int, default=10_000_000
        Largest number of bytes of one image or sound.
    max_pixels : int, default=25_000_000
        Largest number of pixels of one image, by its header.
    max_seconds : float, default=600
        Longest duration of one sound, by its header.
    max_characters : int, default=100_000
        Largest number of characters of one text.

    Returns
    -------
    samples : list of bytes, or list of str for texts
        The samples in the same order, with `data:` URIs decoded.

    Raises
    ------
    ValueError
        If there are too many samples, or one of them is of another kind or format or too
        large. The message names the row.

    See Also
    --------
    get_trusted_types : Types to trust where skops loads a pipeline that is served.

    Notes
    -----
    Images are JPEG, PNG, WebP or GIF files, by their first bytes and header; sounds are WAV,
    FLAC, Ogg or MP3 files. SVG, TIFF, PDF, archives and pickles are refused. The files are not
    decoded, so that a file that is damaged behind its header raises an error in the estimator.
    The limits bound the work of one call together with `max_samples`; how long a request may
    be is up to the server.

    As a step in front of a fitted pipeline it protects servers that call `predict` themselves,
    such as those of MLflow:
    ``make_pipeline(FunctionTransformer(check_untrusted_samples), pipe)``.

    Examples
    --------
    >>> from sklearn_transfer import check_untrusted_samples
    >>> uri = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="
    >>> len(check_untrusted_samples([uri])[0])
    29
    >>> check_untrusted_samples(["/etc/passwd"])
    Traceback (most recent call last):
    ...
    ValueError: Row 0 is a string that is no data: URI, expected bytes or a data: URI of ...
    """
    limits = _Limits(max_bytes, max_pixels, max_seconds, max_characters)
    check = {"image": _check_image, "audio": _check_sound, "text": _check_text}[kind]
    found = []
    for row, sample in enumerate(_list_samples(X, kind, max_samples)):
        try:
            found.append(check(sample, limits))
        except BadSampleError as error:
            raise ValueError(f"Row {row} {error}") from error
    return found


class _Limits(NamedTuple):
    n_bytes: int
    n_pixels: int
    seconds: float
    n_characters: int


def _list_samples(X, kind, most):
    """Return samples of a container as a list, which is not longer than it may be."""
    is_sized = hasattr(X, "__len__") and getattr(X, "ndim", 1) > 0
    if is_sized and not isinstance(X, (str, bytes)) and len(X) > most:
        raise ValueError(f"X holds {len(X)} samples, expected at most {most}: send fewer")
    samples = as_samples(X, f"a string{_OR_URI * (kind != 'text')}")
    if isinstance(samples, np.ndarray):
        raise ValueError(
            f"X is an array of {samples.dtype}, expected a list of strings or bytes: encode"
            " what it holds"
        )
    return samples


def _check_image(sample, limits):
    content = _take_content(sample, "image", limits.n_bytes)
    name = _identify_image(content)
    if name is None:
        raise _make_format_error("image")
    if name == "JPEG" and content.count(_SCAN) > _MOST_SCANS:
        raise BadSampleError(f"is a JPEG file of more than {_MOST_SCANS} scans: write it anew")
    if name == "JPEG" and content.count(_EXIF) > _MOST_EXIF:
        raise BadSampleError(
            f"is a JPEG file of more than {_MOST_EXIF} blocks of Exif: write it anew"
        )
    try:
        with Image.open(io.BytesIO(content), formats=[name]) as image:
            width, height = image.size
    except Exception as error:  # Pillow's plugins raise errors of many types
        reason = shorten(describe_error(error))
        raise BadSampleError(f"is a {name} file that cannot be read: {reason}") from error
    if width * height > limits.n_pixels:
        raise BadSampleError(
            f"has {width} x {height} pixels, expected at most {limits.n_pixels}: make it"
            " smaller"
        )
    return content


def _identify_image(content):
    for magic, name in _IMAGES.items():
        if content.startswith(magic):
            return name
    is_webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    return "WEBP" if is_webp else None


def _check_sound(sample, limits):
    content = _take_content(sample, "audio", limits.n_bytes)
    name = identify_sound(content[:12])
    if name not in _SOUNDS:
        raise _make_format_error("audio")
    soundfile = import_optional("soundfile", "audio", "checking sounds")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as track:
            rate, n_frames = track.samplerate, track.frames
    except soundfile.LibsndfileError as error:
        reason = shorten(str(error))
        raise BadSampleError(f"is a {name} file that cannot be read: {reason}") from error
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise BadSampleError(
            f"has a sampling rate of {rate} Hz, expected {_LOWEST_RATE} to {_HIGHEST_RATE}"
        )
    if not 0 <= n_frames <= limits.seconds * rate:
        raise BadSampleError(
            f"lasts {n_frames / rate:.0f} s, expected at most {limits.seconds} s: cut it"
        )
    return content


def _check_text(sample, limits):
    if not isinstance(sample, str):
        raise BadSampleError(f"is of type {type(sample).__name__}, expected a string")
    if len(sample) > limits.n_characters:
        raise BadSampleError(
            f"has {len(sample)} characters, expected at most {limits.n_characters}: shorten it"
        )
    text = str(sample)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadSampleError("is no valid Unicode: it holds half of a pair") from error
    return text


def _take_content(sample, kind, most):
    """Return the bytes of one image or sound."""
    if isinstance(sample, str):
        content = _decode_uri(str(sample), kind, most)
    elif isinstance(sample, (bytes, bytearray, memoryview)):
        content = sample
    else:
        raise BadSampleError(
            f"is of type {type(sample).__name__}, expected bytes{_OR_URI} of {_EXPECTED[kind]}"
        )
    n_bytes = memoryview(content).nbytes
    if n_bytes > most:
        raise BadSampleError(f"has {n_bytes} bytes, expected at most {most}: make it smaller")
    return bytes(content)


def _decode_uri(uri, kind, most):
    if not is_data_uri(uri):
        raise BadSampleError(
            f"is a string that is no data: URI, expected bytes{_OR_URI} of {_EXPECTED[kind]}:"
            " no file or address of a client's is opened"
        )
    # Refused before it is decoded, which would take as much memory again.
    if len(uri) > _ESCAPED * most + _LONGEST_HEAD:
        raise BadSampleError(
            f"is a data: URI of {len(uri)} characters, expected at most {most} bytes: make it"
            " smaller"
        )
    media = uri[len("data:") : _LONGEST_HEAD].partition(",")[0].partition(";")[0].strip()
    if media.partition("/")[0].lower() != kind:
        raise BadSampleError(
            f"is a data: URI of the media type {shorten(media, 60)}, expected {kind}/..."
        )
    return decode_data_uri(uri)


def _make_format_error(kind):
    return BadSampleError(f"has the first bytes of another format, expected {_EXPECTED[kind]}")
