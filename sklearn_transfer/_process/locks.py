"""Locks that are free in the child of a fork, whoever held them in its parent."""

import threading
import weakref
from operator import attrgetter

from sklearn_transfer._process.forks import Turn, run_at_fork

_locks = weakref.WeakSet()


class RLock:
    """As `threading.RLock`; a forked child gets a new one in its place.

    If another thread holds a plain lock at a fork, nobody releases it in the child, and
    whoever waits for it there waits forever. `with` works as for a plain lock. Code that
    acquires and releases the lock by calls, or through an `ExitStack`, uses `current`.

    Attributes
    ----------
    current : threading.RLock or threading.Lock
        The plain lock of this process.
    """

    _make = staticmethod(threading.RLock)

    def __init__(self):
        self.current = self._make()
        _locks.add(self)

    # `with` looks up both methods before it acquires the lock, and finds those of the plain
    # lock. So a thread that forks while it holds the lock releases the same one in the child.
    # Methods written in Python could leave the lock held if a KeyboardInterrupt ends them.
    __enter__ = property(attrgetter("current.__enter__"))
    __exit__ = property(attrgetter("current.__exit__"))

    def __repr__(self):
        return f"<{type(self).__name__} around {self.current!r}>"


class Lock(RLock):
    """As `threading.Lock`; see `RLock`."""

    _make = staticmethod(threading.Lock)


def _renew_locks():
    # The child has one thread, so nobody adds a lock meanwhile.
    for lock in list(_locks):
        lock.current = lock._make()


run_at_fork(Turn.LOCKS, in_child=_renew_locks)
