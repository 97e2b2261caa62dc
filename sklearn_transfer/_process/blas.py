"""Threads of BLAS, which many fits of small models are better off without."""

from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

from sklearn_transfer._process.locks import Lock

# Rows up to which one thread is the better choice for most models: on two cores a logistic
# regression on 200 to 1000 rows of 1280 features took 3 to 6 times as long with two threads.
# Beyond some thousands more cores have enough to do.
FEW_ROWS = 4000

_lock = Lock()
_users, _limit = 0, None


@contextmanager
def one_blas_thread(when=True):
    """Context in which BLAS has one thread in this process, if `when`; nothing else changes.

    On small matrices threads wait for each other longer than they work. Several may use this
    at once: the last to leave sets back what the first one found.
    """
    if not when:
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter():
    global _users, _limit
    with _lock:
        if _users == 0:
            blas = ThreadpoolController().select(user_api="blas")
            _limit = blas.limit(limits=1)
        _users += 1


def _leave():
    global _users, _limit
    with _lock:
        _users -= 1
        if _users == 0:
            _limit.restore_original_limits()
            _limit = None
