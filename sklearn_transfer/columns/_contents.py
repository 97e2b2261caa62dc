"""Recognition of images and sounds by their first bytes, without a decoder."""

import os
import re
from collections.abc import Mapping

import numpy as np

from sklearn_transfer._modalities.contents import (
    BadSampleError,
    decode_data_uri,
    is_data_uri,
)

_N_BYTES = 64
_LONGEST_PATH = 4096
_SMALLEST_SIDE = 8  # of a gray image of floats; narrower ones may be channels over time
_URL = re.compile(r"(?:https?|ftps?|file|s3|gs|gcs|az|abfss?|hdfs|wasbs?)://\S", re.I)
_IMAGE_STARTS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
    b"SIMPLE  =",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
    b"8BPS",
    b"\x00\x00\x01\x00",
    b"DDS ",
    b"qoif",
)
_AUDIO_STARTS = (b"fLaC", b"OggS", b"ID3", b".snd", b"caff", b"#!AMR")
_IMAGE_ENDINGS = (
    " jpg jpeg jpe jfif png gif bmp dib tif tiff webp pgm ppm pbm pnm fits fit jp2 j2k avif"
    " heic heif tga ico psd "
)
_AUDIO_ENDINGS = (
    " wav wave flac ogg oga opus mp3 aiff aif aifc au snd m4a aac w64 rf64 wma amr "
)
_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heif", b"mif1", b"msf1", b"hevc")


def identify_content(head):
    """Return "image", "audio" or None for the first bytes of a file."""
    if head[:4] in (b"RIFF", b"RF64"):
        return {b"WAVE": "audio", b"WEBP": "image"}.get(head[8:12])
    if head[:4] == b"FORM":
        return "audio" if head[8:12] in (b"AIFF", b"AIFC") else None
    if head[4:8] == b"ftyp":
        if head[8:12] in _IMAGE_BRANDS:
            return "image"
        return "audio" if head[8:11] in (b"M4A", b"M4B") else None
    if head.startswith(_AUDIO_STARTS):
        return "audio"
    if head.startswith(_IMAGE_STARTS) or re.match(rb"P[1-7]\s", head):
        return "image"
    # A frame of MPEG audio: eleven bits set, then a version and a layer that exist.
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        is_reserved = head[1] & 0x18 == 0x08 or head[1] & 0x06 == 0
        return None if is_reserved or head[2] & 0xF0 == 0xF0 else "audio"
    return None


def identify_sample(sample):
    """Return what a value is, as far as its first bytes tell.

    Returns
    -------
    kind : str or None
        "image" or "audio", also in a file; "lost image" or "lost audio" for a path that ends
        like one, where there is no such file or another content; "file", "folder" or "url"
        for others; "content" for bytes of another kind; None for all other values.
    """
    if isinstance(sample, Mapping):
        return _identify_mapping(sample)
    if isinstance(sample, (bytes, bytearray, memoryview)):
        return identify_content(bytes(sample[:_N_BYTES])) or "content"
    if isinstance(sample, (str, os.PathLike)):
        return _identify_text(os.fsdecode(sample))
    if hasattr(sample, "getbands") or (hasattr(sample, "mode") and hasattr(sample, "size")):
        return "image"
    if isinstance(sample, tuple) and len(sample) == 2 and hasattr(sample[0], "dtype"):
        is_clip = np.ndim(sample[0]) in (1, 2) and np.ndim(sample[1]) == 0
        return "audio" if is_clip else None
    return _identify_array(sample) if hasattr(sample, "dtype") else None


def _identify_array(array):
    """Return "image" for an array or tensor of light, not of a sensor or of any numbers."""
    shape, dtype = tuple(array.shape), str(array.dtype).rpartition(".")[2]
    if (
        len(shape) not in (2, 3)
        or 0 in shape
        or (len(shape) == 3 and shape[2] not in (1, 3, 4))
    ):
        return None
    if dtype in ("uint8", "uint16"):
        return "image"
    is_large = len(shape) == 3 or min(shape) >= _SMALLEST_SIDE
    if "float" not in dtype or not is_large:
        return None
    return "image" if array.min() >= 0 and array.max() <= 1 else None


def _identify_mapping(sample):
    """Return what an entry of a data set of a hub is."""
    if "sampling_rate" in sample:
        return "audio"
    content = sample.get("bytes")
    content = sample.get("path") if content is None else content
    return None if content is None else identify_sample(content)


def _identify_text(text):
    if is_data_uri(text):
        return _identify_uri(text)
    if _URL.match(text):
        return "url"
    if not 0 < len(text) <= _LONGEST_PATH or "\n" in text or "\0" in text:
        return None
    named = _identify_ending(text)
    try:
        if os.path.isfile(text):
            if text.lower().endswith(".tga"):  # has no first bytes of its own
                return "image"
            otherwise = f"lost {named}" if named else "file"
            return identify_content(_read_head(text)) or otherwise
        if os.path.isdir(text) and os.path.basename(text.rstrip(os.sep)) != text:
            return "folder"
    except (OSError, ValueError):  # too long, not allowed, or a lone surrogate
        pass
    return f"lost {named}" if named else None


def _identify_ending(path):
    """Return "image", "audio" or None for the end of a name."""
    ending = f" {os.path.splitext(path.strip())[1][1:].lower()} "
    if ending in _IMAGE_ENDINGS:
        return "image"
    return "audio" if ending in _AUDIO_ENDINGS else None


def _identify_uri(uri):
    """Return what a `data:` URI holds: by its media type, else by its first bytes."""
    media = uri[5:].partition(",")[0].partition("/")[0].lower()
    if media in ("image", "audio"):
        return media
    try:
        return identify_content(decode_data_uri(uri)[:_N_BYTES]) or "content"
    except BadSampleError:
        return None


def _read_head(path):
    with open(path, "rb") as file:
        return file.read(_N_BYTES)
