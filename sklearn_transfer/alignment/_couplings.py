"""Couplings of two sets of equally weighted rows, as functions of cost matrices.

`ot` is the module POT, which its caller imports where it is installed.
"""

import warnings

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import xlogy

_SIMPLEX_STEPS = 10**8  # ends long after what fits memory
_UNDERFLOW = 300  # cost over reg up to which exp, and scalings that balance it, are numbers


def solve_exact(ot, M):
    """Plan of least cost, and whether the network simplex has converged."""
    a, b = _build_uniform(M)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the log says it too
        plan, log = ot.emd(a, b, M, numItermax=_SIMPLEX_STEPS, log=True)
    return plan, log["warning"] is None


class Sinkhorn:
    """Entropic plans for costs that change a little from call to call.

    A plan takes `max_iter` iterations at most, and all of them together `most`.
    """

    def __init__(self, ot, shape, reg, max_iter, most, tol):
        self.ot = ot
        self.a, self.b = np.full(shape[0], 1 / shape[0]), np.full(shape[1], 1 / shape[1])
        self.reg = reg
        self.max_iter = max_iter
        self.most = most
        self.tol = tol
        self.potentials = None
        self.method = "sinkhorn"
        self.n_iter = 0
        self.error = np.inf

    def __call__(self, M):
        """Compute the plan, and set `error` to the share of mass that misses its marginals."""
        M = M - M.min()
        # Kernel values are an order of magnitude faster, the log domain never underflows.
        if M.max() > _UNDERFLOW * self.reg:
            self.method = "sinkhorn_log"
        with np.errstate(over="ignore"):  # of scalings that the log domain does not need
            plan, log = self.ot.sinkhorn(
                self.a,
                self.b,
                M,
                self.reg,
                method=self.method,
                numItermax=max(1, min(self.max_iter, self.most - self.n_iter)),
                stopThr=self.tol / np.sqrt(len(self.b)),  # of a 2-norm; ours is a sum
                log=True,
                warn=False,
                warmstart=self.potentials,
            )
        self.potentials = _read_potentials(log)
        self.n_iter += log["niter"] + 1
        rows, columns = plan.sum(axis=1) - self.a, plan.sum(axis=0) - self.b
        self.error = float(np.abs(rows).sum() + np.abs(columns).sum())
        return plan

    @property
    def is_spent(self):
        """Whether no iterations are left."""
        return self.n_iter >= self.most


def _read_potentials(log):
    if "log_u" in log:
        return log["log_u"], log["log_v"]
    return np.log(log["u"]), np.log(log["v"])


def solve_concave_groups(sinkhorn, M, one_hot, eta, max_iter, tol):
    """Plan with a penalty on the root of the mass that a class sends to a target row.

    Linear upper bounds of the penalty are minimized in turn. Returned with the mass that the
    last round moved.
    """
    plan, moved = sinkhorn(M), np.inf
    for _ in range(max_iter):
        sent = one_hot.T @ plan
        slope = 0.5 / np.sqrt(sent + 1e-3)
        before, plan = plan, sinkhorn(M + eta * one_hot @ slope)
        moved = float(np.abs(plan - before).sum())
        if moved <= tol or sinkhorn.is_spent:
            break
    return plan, moved


def solve_convex_groups(sinkhorn, M, one_hot, eta, max_iter, tol):
    """Plan with a penalty on the length of what a class sends to a target row.

    Generalized conditional gradients, with the entropy in the line search. Returned with the
    last gap, an upper bound of how much lower the objective could be.
    """
    reg = sinkhorn.reg

    def compute_value(plan):
        lengths = np.sqrt(one_hot.T @ plan**2).sum()
        return (plan * M).sum() + reg * xlogy(plan, plan).sum() + eta * lengths

    plan, gap = sinkhorn(M), np.inf
    for _ in range(max_iter):
        lengths = np.sqrt(one_hot.T @ plan**2)
        slope = M + eta * plan / np.maximum(one_hot @ lengths, 1e-300)
        best = sinkhorn(slope)
        gap = float(
            ((plan - best) * slope).sum()
            + reg * (xlogy(plan, plan).sum() - xlogy(best, best).sum())
        )
        if gap <= tol or sinkhorn.is_spent:
            break
        step = minimize_scalar(
            lambda t, start=plan, end=best: compute_value((1 - t) * start + t * end),
            bounds=(0, 1),
            method="bounded",
            options={"xatol": 1e-6},
        ).x
        plan = (1 - step) * plan + step * best
    return plan, gap


def _build_uniform(M):
    n, m = M.shape
    return np.full(n, 1 / n), np.full(m, 1 / m)
