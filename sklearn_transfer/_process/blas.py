"""Threads of BLAS, of which a single one is best for many fits of small models."""

from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

from sklearn_transfer._process.locks import Lock

# Rows up to which one thread is the better choice for most models: on two cores a logistic
# regression on 200 to 1000 rows of 1280 features took 3 to 6 times as long with two threads.
# Beyond some thousands of rows, more threads pay off.
FEW_ROWS = 4000

# How many use the limit now, and what restores the number that was set before: a limit of BLAS
# holds for the whole process, so only the last to leave may lift it.
_lock = Lock()
_users, _limit = 0, None


@contextmanager
def one_blas_thread(when=True):
    """Context in which BLAS has one thread in this process, if `when`; nothing else changes.

    On small matrices threads wait for each other longer than they work. Several may use this
    at once: the last to leave restores what the first one found.
    """
    if not when:
        yield
        return
    _count_in()
    try:
        yield
    finally:
        _count_out()


def _count_in():
    global _users, _limit
    with _lock:
        if _users == 0:
            blas = ThreadpoolController().select(user_api="blas")
            _limit = blas.limit(limits=1)
        _users += 1


def _count_out():
    global _users, _limit
    with _lock:
        _users -= 1
        if _users == 0:
            _limit.restore_original_limits()
            _limit = None
