"""Contents of single samples of any modality, and the digests by which they are known."""

import base64
import math
import os
import stat
import struct
import time
import urllib.parse
from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
import xxhash

from sklearn_transfer._store.digests import digest_array
from sklearn_transfer._validation import shorten

# A file younger than this may change again within the resolution of the clock.
_SETTLED_NS = 2_000_000_000
_MEMO_LIMIT = 500_000
_PART = 4 << 20  # bytes of a file that are digested at once
_memo = {}
_IDENTITY = struct.Struct("qQQqqq").pack  # a third of the time of formatting


class BadSampleError(ValueError):
    """One sample that cannot be used; the message is the reason alone."""


def describe_sample(sample):
    """Return what a message calls a sample."""
    if isinstance(sample, (str, os.PathLike)):
        return shorten(str(os.fsdecode(sample)))
    if isinstance(sample, bytes):
        return f"{len(sample)} bytes"
    if isinstance(sample, np.ndarray):
        return f"array {sample.shape} of {sample.dtype}"
    return type(sample).__name__


@contextmanager
def add_input_note(label, shape, source):
    """Add the shape of the samples that a network was given to an error that it raises.

    `source` ends the sentence: where the shape of such samples comes from, as
    `Reader.input_source` says it.
    """
    try:
        yield
    except Exception as error:
        error.add_note(f"{label} was given samples of shape {tuple(shape)}, {source}")
        raise


def unwrap_sample(sample):
    """Return a sample as a NumPy array if it is a tensor or another kind of array.

    A mapping with the keys "bytes" and "path", as in datasets of a hub, gives what it holds.
    Other samples are returned unchanged.
    """
    if isinstance(sample, (str, bytes, np.ndarray, np.generic)):
        return sample
    if isinstance(sample, Mapping) and {"bytes", "path"} & sample.keys():
        content = sample.get("bytes")
        return sample.get("path") if content is None else content
    if is_tensor(sample):
        return convert_tensor(sample)
    if hasattr(sample, "__array__") and getattr(sample, "ndim", 0) >= 2:
        return np.asarray(sample)
    return sample


def is_tensor(value):
    """Whether a value is a tensor of torch, without importing torch."""
    return hasattr(value, "detach") and hasattr(value, "cpu")


def convert_tensor(tensor):
    """Return a tensor on any device as a NumPy array; bfloat16 becomes float32.

    NumPy has no bfloat16. Raises BadSampleError for other tensors that it cannot hold.
    """
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


def is_data_uri(sample):
    """Whether a sample is a `data:` URI."""
    return isinstance(sample, str) and sample[:5].lower() == "data:"


def decode_data_uri(uri):
    """Return the bytes that a `data:` URI (RFC 2397) holds."""
    head, comma, data = uri.partition(",")
    if not comma:
        raise BadSampleError("is a data: URI that cannot be decoded: it has no comma")
    try:
        if head.lower().endswith(";base64"):
            encoded = b"".join(urllib.parse.unquote_to_bytes(data).split())  # wrapped lines
            return base64.b64decode(encoded, validate=True)
        return urllib.parse.unquote_to_bytes(data)
    except ValueError as error:
        raise BadSampleError(f"is a data: URI that cannot be decoded: {error}") from error


def is_missing(sample):
    """Whether a sample is None, NaN or NA."""
    if isinstance(sample, (float, np.floating)):
        return math.isnan(sample)
    return sample is None or type(sample).__name__ in ("NAType", "NaTType")


def lookup_file_digest(path):
    """Digest of a file that was read before and has not changed since, else None.

    Raises BadSampleError where there is no such file.
    """
    status = _read_status(path)
    key = _memo.get(_identify_file(path, status))
    if key is None:
        _check_regular(status)
    return key


def _read_status(path):
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


def _identify_file(path, status):
    """Return a digest of path, device, inode, size and times of a file.

    A digest needs a sixth of the memory of a tuple of these. Device and inode stand for the
    real path, whose resolution would take longer than everything else here. The path is
    included because some file systems do not keep inode numbers.
    """
    path = os.fspath(path)
    # An absolute path may have another spelling, but then the file is only read once more.
    if path[:1] != "/":
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


def read_file(path):
    """Return digest and bytes of a file; raises BadSampleError if it cannot be read."""
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        content = file.read()
    key = digest_array(content)
    _remember(path, status, len(content), key)
    return key, content


def digest_file(path):
    """Return the digest of a file, of which a part at a time is in memory, and its identity.

    The digest is that of `read_file`. The identity is equal as long as the file is unchanged.
    """
    hasher, length = xxhash.xxh3_128(), 0
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        while part := file.read(_PART):
            hasher.update(part)
            length += len(part)
    key = hasher.digest()
    _remember(path, status, length, key)
    return key, _identify_file(path, status)


def identify_open_file(path, file):
    """Return the identity, as `digest_file` gives it, of a file that is open."""
    return _identify_file(path, os.fstat(file.fileno()))


def measure_file(path):
    """Return the number of bytes of a file; raises BadSampleError if it is no regular one."""
    status = _read_status(path)
    _check_regular(status)
    return status.st_size


@contextmanager
def open_regular(path):
    """Context with an open file; raises BadSampleError if it cannot be read."""
    # Opening a named pipe would wait for a writer, so the kind of file is checked before.
    _check_regular(_read_status(path))
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise BadSampleError(error.strerror or str(error)) from error


def _remember(path, status, length, key):
    """Keep the digest of a file of which `length` bytes were read."""
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    # A file that was written a moment ago may change again without a new time stamp, and a
    # file that was growing has another size now: such digests are not remembered.
    if length == status.st_size and time.time_ns() - changed > _SETTLED_NS:
        if len(_memo) >= _MEMO_LIMIT:
            _memo.clear()
        _memo[_identify_file(path, status)] = key
