"""Settings of the allocator: whether a process keeps freed memory or returns it."""

import ctypes
import functools
import os

import numpy as np

_VARIABLE = "SKLEARN_TRANSFER_KEEP_MEMORY"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_BLOCK = 8 << 20


@functools.cache
def keep_memory():
    """Ask glibc to keep freed memory, for the whole process.

    Otherwise it returns large activations to the system at every batch, and half of the time
    goes into page faults. SKLEARN_TRANSFER_KEEP_MEMORY=0 leaves the allocator alone.
    """
    mallopt = _find_in_glibc("mallopt")
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest that it takes
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)


@functools.cache
def keep_blocks():
    """Let glibc keep freed blocks of a few megabytes, for the whole process.

    It does so by itself as soon as a block of that size was freed. Until then it may map and
    unmap the memory of every array beyond 128 kB, which takes longer than work on it. At most
    twice the size of the block is kept. SKLEARN_TRANSFER_KEEP_MEMORY=0 leaves this alone.
    """
    if os.environ.get(_VARIABLE, "1") != "0":
        block = np.empty(_BLOCK, np.uint8)  # untouched, so that it takes no memory
        del block


def return_memory():
    """Ask glibc to give freed memory back, as after work that is done once.

    Exporting and compiling a network make copies of its weights, and glibc keeps their memory
    for each thread separately: with many networks, this came to more than ten gigabytes.
    """
    _find_in_glibc("malloc_trim")(0)


def _find_in_glibc(name):
    """Return a function of the C library, or one that does nothing."""
    if os.environ.get(_VARIABLE, "1") != "0":
        try:
            return getattr(ctypes.CDLL(None), name)
        except (OSError, AttributeError, TypeError):  # no glibc
            pass
    return lambda *args: 0
