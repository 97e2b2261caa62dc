"""Single samples: what they are called, what they hold, and the digest they go by."""

import base64
import math
import os
import stat
import struct
import time
import urllib.parse
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import xxhash
from PIL import Image

from sklearn_transfer._modalities.image.decoded import describe_error
from sklearn_transfer._process.locks import Lock
from sklearn_transfer._store.digests import digest, digest_array
from sklearn_transfer._validation import shortened

SAMPLE_KINDS = "a path, encoded bytes, a PIL image, or an array (H, W) or (H, W, channels)"
_ORIENTATION = 0x0112

# A file younger than this may change again within the clock's resolution.
_SETTLED_NS = 2_000_000_000
_MEMO_LIMIT = 500_000
_memo = {}
_IDENTITY = struct.Struct("qQQqqq").pack  # a third of the time of formatting
_load_lock = Lock()


class BadSampleError(ValueError):
    """One sample that cannot be used; the message is the reason alone."""


@dataclass(frozen=True)
class InputSpec:
    """How a network wants its images.

    `resize` is the size in pixels (height, width) that an image is scaled to, as
    `crop_mode` says, before the center of `size` is taken: "center" keeps the aspect
    ratio and covers it, "squash" fills it, "border" keeps the ratio and pads.
    `mean` and `std` are per channel, for values in [0, 1].
    """

    size: tuple
    resize: tuple
    mean: tuple
    std: tuple
    interpolation: str = "bicubic"
    crop_mode: str = "center"

    @property
    def channels(self):
        return len(self.mean)

    @property
    def shape(self):
        return (self.channels, *self.size)

    @property
    def converts(self):
        """Whether gray, color and alpha are converted to the channels of the network."""
        return self.channels in (1, 3)

    def by_channel(self):
        """Specification of each channel alone."""
        pairs = zip(self.mean, self.std, strict=True)
        return [replace(self, mean=(mean,), std=(std,)) for mean, std in pairs]


def describe(sample):
    """What to call a sample in a message."""
    if isinstance(sample, (str, os.PathLike)):
        return shortened(str(os.fsdecode(sample)))
    if isinstance(sample, bytes):
        return f"{len(sample)} bytes"
    if isinstance(sample, np.ndarray):
        return f"array {sample.shape} of {sample.dtype}"
    return type(sample).__name__


@contextmanager
def naming_input(label, shape, source):
    """Add to what a network raises the shape of the samples that it was given, and why.

    `source` ends the sentence: what such samples come from, as readers have it.
    """
    try:
        yield
    except Exception as error:
        error.add_note(f"{label} was given samples of shape {tuple(shape)}, {source}")
        raise


def known_digest(sample):
    """Digest of a sample where it costs little, else None.

    A path has one if its file was read before and has not changed since.
    """
    sample = _plain(sample)
    if isinstance(sample, (str, os.PathLike)):
        if _is_data_uri(sample):
            return None
        status = _stat(sample)
        key = _memo.get(_file_identity(sample, status))
        if key is None:
            _check_regular(status)
        return key
    if isinstance(sample, bytes) or (
        isinstance(sample, np.ndarray)
        and sample.dtype.kind in "buif"
        and not isinstance(sample, np.ma.MaskedArray)
    ):
        return digest_array(sample)
    return None


def read_sample(sample, key=None):
    """Digest and undecoded content (bytes, PIL image or array) of one sample.

    `key` is what `known_digest` gave for it, if it did.
    """
    sample = _plain(sample)
    if _is_data_uri(sample):
        sample = _data_of_uri(sample)
    if isinstance(sample, (str, os.PathLike)):
        return _read_path(sample)
    if isinstance(sample, (bytes, bytearray, memoryview)):
        content = bytes(sample)
        return key or digest_array(content), content
    if isinstance(sample, Image.Image):
        return _image_digest(sample), sample
    if isinstance(sample, np.ndarray):
        check_array_sample(sample)
        return key or digest_array(sample), sample
    if _is_missing(sample):
        raise BadSampleError(f"missing value ({shortened(sample)})")
    raise BadSampleError(
        f"is of type {type(sample).__name__}, expected {SAMPLE_KINDS}{_advice_on(sample)}"
    )


def _plain(sample):
    """Tensors and other arrays as NumPy's, and rows {"bytes", "path"} as what they hold."""
    if isinstance(sample, (str, bytes, np.ndarray, np.generic, Image.Image)):
        return sample
    if isinstance(sample, Mapping) and {"bytes", "path"} & sample.keys():
        content = sample.get("bytes")
        return sample.get("path") if content is None else content
    if is_tensor(sample):
        return tensor_array(sample)
    if hasattr(sample, "__array__") and getattr(sample, "ndim", 0) >= 2:
        return np.asarray(sample)
    return sample


def is_tensor(value):
    """Whether a value is a tensor of torch, without importing torch."""
    return hasattr(value, "detach") and hasattr(value, "cpu")


def tensor_array(tensor):
    """NumPy's array of a tensor on any device; bfloat16, which NumPy lacks, as float32."""
    try:
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
        return tensor.numpy()
    except Exception as error:  # torch raises several types for what NumPy cannot hold
        raise BadSampleError(
            f"is a tensor of {tensor.dtype} that NumPy cannot hold ({error}); pass a dense one"
            " of uint8 or float32"
        ) from error


def _advice_on(sample):
    if isinstance(sample, tuple) and len(sample) == 2:
        return "; of pairs (image, label) pass the images: [image for image, label in X]"
    if hasattr(sample, "read"):
        return "; pass what it holds: file.read()"
    return ""


def _is_data_uri(sample):
    return isinstance(sample, str) and sample[:5].lower() == "data:"


def _data_of_uri(uri):
    """Bytes of a `data:` URI (RFC 2397)."""
    head, comma, data = uri.partition(",")
    try:
        if not comma:
            raise ValueError("it has no comma before its data")
        if head.lower().endswith(";base64"):
            encoded = b"".join(urllib.parse.unquote_to_bytes(data).split())  # wrapped lines
            return base64.b64decode(encoded, validate=True)
        return urllib.parse.unquote_to_bytes(data)
    except ValueError as error:
        raise BadSampleError(f"is a data: URI that cannot be decoded: {error}") from error


def _is_missing(sample):
    if isinstance(sample, float):
        return math.isnan(sample)
    return sample is None or type(sample).__name__ in ("NAType", "NaTType")


def _stat(path):
    try:
        return os.stat(path)
    except FileNotFoundError as error:
        is_home = os.fsdecode(path).startswith("~")
        hint = "; '~' stays as it is in samples, use os.path.expanduser" if is_home else ""
        raise BadSampleError(f"no such file{hint}") from error
    except (OSError, ValueError) as error:
        raise BadSampleError(getattr(error, "strerror", None) or str(error)) from error


def _check_regular(status):
    if stat.S_ISDIR(status.st_mode):
        raise BadSampleError("is a directory, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise BadSampleError("is not a regular file")


def _file_identity(path, status):
    """Digest of path, device, inode, size and times: a sixth of the size of a tuple.

    Device and inode stand for the real path, whose resolution would cost more than all of
    this; the path is for file systems that number files as they please.
    """
    path = os.fspath(path)
    if path[:1] != "/":  # else another spelling is at worst read once more
        path = os.path.abspath(path)
    return xxhash.xxh3_128_digest(
        _IDENTITY(
            hash(path),
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
    )


def _read_path(path):
    _check_regular(_stat(path))
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            content = file.read()
    except OSError as error:
        raise BadSampleError(error.strerror or str(error)) from error
    key = digest_array(content)
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    if len(content) == status.st_size and time.time_ns() - changed > _SETTLED_NS:
        if len(_memo) >= _MEMO_LIMIT:
            _memo.clear()
        _memo[_file_identity(path, status)] = key
    return key, content


def _image_digest(image):
    try:
        with _load_lock:  # two threads must not decode one lazily opened image
            image.load()
            orientation = image.getexif().get(_ORIENTATION)
    except Exception as error:  # Pillow's decoders raise whatever their format trips on
        raise BadSampleError(describe_error(error)) from error
    transparency = image.info.get("transparency")
    palette = image.palette and (image.palette.mode, image.getpalette(None))
    appearance = (image.mode, image.size, palette, transparency, orientation)
    return digest(appearance, image.tobytes())


def check_array_sample(array):
    """The array, if it has the shape of an image; raises BadSampleError."""
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
