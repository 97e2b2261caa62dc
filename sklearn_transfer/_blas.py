"""Threads of BLAS, which many fits of small models are better off without."""

from threadpoolctl import threadpool_limits

# On 2 cores a logistic regression on 200 to 1000 rows of 1280 features took 3 to 6 times as
# long with two threads as with one, and on 5000 rows twice as long.
_FEW_ROWS = 4000


def blas_for(n_rows):
    """Context in which BLAS has one thread, if operations are on few rows.

    Threads then wait for each other longer than they work. It limits the process, not what
    joblib starts beside it.
    """
    return threadpool_limits(1 if n_rows <= _FEW_ROWS else None, user_api="blas")
