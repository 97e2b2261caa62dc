"""Contents of single images, and the digests by which they are known."""

import os

import numpy as np
from PIL import Image

from sklearn_transfer._modalities.contents import (
    BadSampleError,
    decode_data_uri,
    is_data_uri,
    is_missing,
    lookup_file_digest,
    read_file,
    unwrap_sample,
)
from sklearn_transfer._modalities.image.decoded import describe_error
from sklearn_transfer._process.locks import Lock
from sklearn_transfer._store.digests import digest, digest_array
from sklearn_transfer._validation import shorten

SAMPLE_KINDS = "a path, encoded bytes, a PIL image, or an array (H, W) or (H, W, channels)"
_ORIENTATION = 0x0112
_load_lock = Lock()


def find_known_digest(sample):
    """Return the digest of an image if that takes little time, else None.

    That of a path is known if its file was read before and has not changed since.
    """
    sample = _unwrap(sample)
    if isinstance(sample, (str, os.PathLike)):
        return None if is_data_uri(sample) else lookup_file_digest(sample)
    if isinstance(sample, bytes) or (
        isinstance(sample, np.ndarray)
        and sample.dtype.kind in "buif"
        and not isinstance(sample, np.ma.MaskedArray)
    ):
        return digest_array(sample)
    return None


def read_sample(sample, key=None):
    """Return digest and undecoded content (bytes, PIL image or array) of one sample.

    `key` is its digest if `find_known_digest` returned it.
    """
    sample = _unwrap(sample)
    if is_data_uri(sample):
        sample = decode_data_uri(sample)
    if isinstance(sample, (str, os.PathLike)):
        return read_file(sample)
    if isinstance(sample, (bytes, bytearray, memoryview)):
        content = bytes(sample)
        return key or digest_array(content), content
    if isinstance(sample, Image.Image):
        return _compute_image_digest(sample), sample
    if isinstance(sample, np.ndarray):
        check_array_sample(sample)
        return key or digest_array(sample), sample
    if is_missing(sample):
        raise BadSampleError(f"missing value ({shorten(sample)})")
    raise BadSampleError(
        f"is of type {type(sample).__name__}, expected {SAMPLE_KINDS}{_suggest_repair(sample)}"
    )


def _unwrap(sample):
    return sample if isinstance(sample, Image.Image) else unwrap_sample(sample)


def _suggest_repair(sample):
    if isinstance(sample, tuple) and len(sample) == 2:
        return "; pass only the images of pairs (image, label): [image for image, label in X]"
    if hasattr(sample, "read"):
        return "; pass its content: file.read()"
    return ""


def _compute_image_digest(image):
    try:
        with _load_lock:  # two threads must not decode one lazily opened image
            image.load()
            orientation = image.getexif().get(_ORIENTATION)
    except Exception as error:  # Pillow's decoders raise errors of many types
        raise BadSampleError(describe_error(error)) from error
    transparency = image.info.get("transparency")
    palette = image.palette and (image.palette.mode, image.getpalette(None))
    appearance = (image.mode, image.size, palette, transparency, orientation)
    return digest(appearance, image.tobytes())


def check_array_sample(array):
    """Return the array; raises BadSampleError unless it has the shape of an image."""
    if array.ndim not in (2, 3):
        raise BadSampleError(
            f"array of shape {array.shape}, expected (H, W) or (H, W, channels)"
        )
    if array.size == 0:
        raise BadSampleError(f"has no pixels: shape {array.shape}")
    if array.dtype.hasobject:
        raise BadSampleError("is an array of objects, expected one of numbers")
    if np.ma.is_masked(array):
        raise BadSampleError("has masked pixels; fill them in: image.filled(value)")
    return array
