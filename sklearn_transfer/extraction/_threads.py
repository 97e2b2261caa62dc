"""How many cores the operations of a thread take."""

import functools
from concurrent.futures import ThreadPoolExecutor

import torch
from threadpoolctl import ThreadpoolController


def run_apart(function, *args):
    """Result of a function that runs in a thread of its own, on one core.

    In a child of fork a network runs only so: OpenMP waits for ever for threads that worked
    with the one that forked.
    """
    with ThreadPoolExecutor(1, initializer=one_core) as pool:
        return pool.submit(function, *args).result()


def one_core():
    """Context, or call, that keeps operations of this thread, and of no other, to one core."""
    torch.get_num_threads()  # else torch sets its number at the first operation
    return _thread_pools().limit(limits=1, user_api="openmp")


@functools.cache
def _thread_pools():
    return ThreadpoolController()
