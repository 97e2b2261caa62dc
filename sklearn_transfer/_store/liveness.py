"""Which processes that use a folder are alive, told by locks that end with them."""

import errno
import os
import random

try:
    import fcntl
except ImportError:  # Windows: each process then computes for itself
    fcntl = None

_HIGHEST = 2**31 - 1


class Membership:
    """The own process among those that use a folder: a number, locked while it lives.

    The number is an offset in a lock file at which the process holds a lock of one byte.
    The system drops the lock with the process, however it ends, so there is nothing to
    clean up. Where such locks are not to be had, nobody else counts as alive.
    """

    def __init__(self, path):
        self._file = None
        self.number = random.SystemRandom().randint(1, _HIGHEST)
        if fcntl is None:
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self.number)
        except OSError:
            os.close(descriptor)
        else:
            self._file = descriptor

    def is_alive(self, number):
        """Whether the process of that number runs; True for this process."""
        if number == self.number:
            return True
        if self._file is None:
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError as error:
            return error.errno in (errno.EACCES, errno.EAGAIN)
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
        return False

    def close(self):
        if self._file is not None:
            os.close(self._file)
            self._file = None
