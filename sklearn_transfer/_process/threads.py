"""Threads that work for a network: how many cores each takes, and how they end."""

import functools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

# Seconds that a fork waits at most for threads that are ending.
_PATIENCE = 2.0

_ending = set()
_is_forked = False


class Threads(ThreadPoolExecutor):
    """Pool whose threads are gone from the system, not from Python alone, when it forks.

    A thread that has ended for Python still runs what libraries do at its end. Where that
    holds a lock of MKL's while the process forks, the lock stays closed in the child.
    """

    def __init__(self, count, initializer=None):
        self._numbers = set()
        super().__init__(count, initializer=_begin, initargs=(self._numbers, initializer))

    def shutdown(self, wait=True, *, cancel_futures=False):
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            _forget_ended()
            _ending.update(self._numbers)


def _begin(numbers, initializer):
    numbers.add(threading.get_native_id())
    if initializer is not None:
        initializer()


def _forget_ended():
    for number in list(_ending):
        if not os.path.exists(f"/proc/self/task/{number}"):
            _ending.discard(number)


def _before_fork():
    deadline = time.monotonic() + _PATIENCE
    _forget_ended()
    while _ending and time.monotonic() < deadline:
        time.sleep(0.0001)
        _forget_ended()
    _ending.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)


def in_child_of_fork(function):
    """Decorator of a function that a forked process runs first, such as to renew locks.

    What other threads held at the fork nobody gives back in the child.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


@in_child_of_fork
def _note_fork():
    global _is_forked
    _is_forked = True


_user_code = threading.RLock()


@in_child_of_fork
def _renew_lock():
    global _user_code
    _user_code = threading.RLock()


def alone():
    """Context in which a function of the user's runs, which may keep state: one at a time."""
    return _user_code


def run_here(function, *args):
    """Result of a function in which a network works; in a child of fork by `run_apart`."""
    return run_apart(function, *args) if _is_forked else function(*args)


def run_apart(function, *args):
    """Result of a function that runs in a thread of its own, on one core.

    In a child of fork a network runs only so: OpenMP waits for ever for threads that worked
    with the one that forked.
    """
    with Threads(1, initializer=one_core) as pool:
        return pool.submit(function, *args).result()


def one_core():
    """Context, or call, that keeps operations of this thread, and of no other, to one core."""
    import torch

    torch.get_num_threads()  # else torch sets its number at the first operation
    return _thread_pools().limit(limits=1, user_api="openmp")


@functools.cache
def _thread_pools():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
