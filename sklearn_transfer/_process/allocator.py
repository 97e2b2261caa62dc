"""Settings of the allocator: whether a process keeps freed memory or returns it."""

import ctypes
import functools
import os

_VARIABLE = "SKLEARN_TRANSFER_KEEP_MEMORY"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@functools.cache
def keep_memory():
    """Ask glibc to keep freed memory, for the whole process.

    Otherwise it returns large activations to the system at every batch, and half of the time
    goes into page faults. SKLEARN_TRANSFER_KEEP_MEMORY=0 leaves the allocator alone.
    """
    mallopt = _find_in_glibc("mallopt")
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest that it takes
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)


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
