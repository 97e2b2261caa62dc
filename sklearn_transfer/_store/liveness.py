"""Liveness of the processes that use a folder, told by locks that end with them."""

import errno
import os
import random

try:
    import fcntl
except ImportError:  # Windows: each process then computes for itself
    fcntl = None

_HIGHEST = 2**31 - 1


class Membership:
    """The membership of this process among those that use a folder.

    It is a number, the offset in a lock file at which the process holds a lock of one byte.
    The system drops the lock with the process, however it ends, so there is nothing to
    clean up. A child of fork does not inherit it and becomes a member of its own. Where the
    system has no such locks, nobody else counts as alive.
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
        """Return whether the process of that number is running; True for this process."""
        if number == self.number:
            return True
        if self._file is None:
            return False
        try:
            # Taking the lock of another one shows that it has none, so that it has ended.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError as error:
            return error.errno in (errno.EACCES, errno.EAGAIN)
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
        return False

    def close(self):
        if self._file is not None:
            os.close(self._file)
            self._file = None
