"""Threads that work for a network: how many cores each takes, and how they end.

Networks run in forked children too, by `run_here`. OpenMP, which torch computes with, keeps
its threads for the next parallel section; a child of fork does not have them, and a section
in a thread that used them before the fork waits for them without end. A thread that is new
in the child, and one core, avoid that. An error would be shorter, but it would end what
people do on Linux, where Python up to 3.13 forks by default: `multiprocessing.Pool`, joblib's
"multiprocessing" backend and the workers of a `DataLoader` run estimators of this package in
forked children. (joblib's default backend, loky, does not fork.) Most of the code around
forks serves locks, files and claims, which a child needs whether networks run in it or not.
"""

import ctypes
import functools
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sklearn_transfer._process.forks import Turn, run_at_fork
from sklearn_transfer._process.locks import RLock

# Seconds that a fork waits at most for threads that are ending.
_PATIENCE = 2.0

_ending = set()
_is_forked = False


class Threads(ThreadPoolExecutor):
    """Pool whose threads have also ended for the system, not only for Python, at a fork.

    `shutdown` returns when a thread has ended for Python. The system's thread then still runs
    what libraries do at its end, and a fork at that moment copies what it holds: a lock of MKL
    stayed closed in the child, whose first matrix product waited without end.
    """

    def __init__(self, count, initializer=None):
        self._numbers = set()
        super().__init__(
            count, initializer=_note_thread, initargs=(self._numbers, initializer)
        )

    def shutdown(self, wait=True, *, cancel_futures=False):
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            _forget_ended()
            _ending.update(self._numbers)


def _note_thread(numbers, initializer):
    numbers.add(threading.get_native_id())
    if initializer is not None:
        initializer()


def _forget_ended():
    for number in list(_ending):
        if not os.path.exists(f"/proc/self/task/{number}"):
            _ending.discard(number)


def _wait_for_ending_threads():
    # No library says when its part of a thread's end is over; /proc tells when all of it is.
    deadline = time.monotonic() + _PATIENCE
    _forget_ended()
    while _ending and time.monotonic() < deadline:
        time.sleep(0.0001)
        _forget_ended()
    _ending.clear()


def _note_fork():
    global _is_forked
    _is_forked = True


run_at_fork(Turn.THREADS, before=_wait_for_ending_threads, in_child=_note_fork)

_user_code = RLock()


def lock_user_code():
    """Return the lock under which functions of the user's run, since they may keep state."""
    return _user_code


def run_here(function, *args):
    """Run a function in which a network works; in a child of fork by `run_apart`."""
    return run_apart(function, *args) if _is_forked else function(*args)


def run_apart(function, *args):
    """Run a function in a thread of its own, on one core, and return its result.

    In a child of fork networks run only in this way; the module's docstring says why.
    """
    with Threads(1, initializer=limit_to_one_core) as pool:
        return pool.submit(function, *args).result()


def limit_to_one_core():
    """Keep operations of this thread, and of no other, to one core; also a context.

    OpenMP has a number of threads for each thread that starts a parallel section, and so has
    MKL, which torch may contain and whose number goes first. A thread that MKL started would
    end after the thread that it worked for, and a fork could not wait for it.
    """
    # Unless it is asked, torch sets its own number at the first operation. Another thread may
    # be importing it just now.
    ask = getattr(sys.modules.get("torch"), "get_num_threads", None)
    if ask is not None:
        ask()
        _find_in_mkl("MKL_Set_Num_Threads_Local")(1)
    return _find_thread_pools().limit(limits=1, user_api="openmp")


@functools.cache
def _find_in_mkl(name):
    """Return a function of the MKL that torch contains, or one that does nothing."""
    try:
        return getattr(ctypes.CDLL(sys.modules["torch"]._C.__file__), name)
    except (OSError, AttributeError):  # a torch without MKL
        return lambda *args: None


@functools.cache
def _find_thread_pools():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
