"""Quadratic programs over a box and a slab: 0 <= x <= B and low <= sum(x) <= high."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

_STEPS = 20  # accelerated steps where direct solves do not end
_PATIENCE = 3  # direct solves in a row without fewer rows on the wrong side
_LARGEST = 8000  # free rows that a direct solve takes: 512 MB


@dataclass
class Region:
    """0 <= x <= B and low <= sum(x) <= high."""

    B: float
    low: float
    high: float

    def project(self, v):
        """Nearest point of the region: v less one number, clipped to the box."""
        x = np.clip(v, 0, self.B)
        total = x.sum()
        if self.low <= total <= self.high:
            return x
        return self._with_total(v, self.low if total < self.low else self.high)

    def _with_total(self, v, total):
        """clip(v - t, 0, B) with that sum, which is piecewise linear in t."""
        corners = np.concatenate([v - self.B, v])
        order = np.argsort(corners, kind="stable")
        corners = corners[order]
        slopes = np.cumsum(np.where(order < len(v), 1.0, -1.0))
        fallen = np.concatenate([[0], np.cumsum(slopes[:-1] * np.diff(corners))])
        place = np.searchsorted(fallen, len(v) * self.B - total)
        t = corners[max(place - 1, 0)]  # the left end of the piece that has this sum
        for _ in range(2):  # exact within the piece; once more against rounding
            x = np.clip(v - t, 0, self.B)
            inside = (v - t > 0) & (v - t <= self.B)
            t += (x.sum() - total) / max(1, inside.sum())
        return np.clip(v - t, 0, self.B)

    def vertex(self, gradient):
        """Feasible s of least gradient's: B where it is least, a remainder, then 0."""
        order = np.argsort(gradient, kind="stable")
        wanted = np.clip(self.B * np.count_nonzero(gradient < 0), self.low, self.high)
        s = np.zeros_like(gradient)
        s[order] = np.clip(wanted - self.B * np.arange(len(s)), 0, self.B)
        return s

    def gap(self, x, gradient):
        """Largest gradient'(x - s) over feasible s: a bound of what is left to gain."""
        return float(gradient @ (x - self.vertex(gradient)))


def minimise(K, c, region, x, tol, pull, max_rounds=50):
    """Minimise x'Kx / 2 + c'x over a region, from x, until the gap is at most tol.

    Proximal points, each from direct solves, with a `pull` to where they start that
    shrinks; where direct solves do not end, accelerated projected gradients go on and the
    pull grows. Returns x, Kx and the pull to begin the next call with.
    """
    Kx = K @ x
    length = 1 / max(np.abs(K).sum(axis=1).max(), np.finfo(float).tiny)
    for _ in range(max_rounds):
        x, Kx, ended = _direct(K, c, region, x, Kx, tol, pull)
        if region.gap(x, Kx + c) <= tol:
            break
        if ended:
            pull /= 8
        else:
            pull *= 8
            x, Kx = _accelerated(K, c, region, x, Kx, length)
    return x, Kx, pull


def _accelerated(K, c, region, x, Kx, length):
    """Nesterov's method with restarts where momentum points uphill [O'Donoghue 2015]."""
    y, Ky, t = x, Kx, 1.0
    for _ in range(_STEPS):
        new = region.project(y - length * (Ky + c))
        K_new = K @ new
        if (y - new) @ (new - x) > 0:
            t = 1.0
        t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
        momentum = (t - 1) / t_new
        y, Ky = new + momentum * (new - x), K_new + momentum * (K_new - Kx)
        x, Kx, t = new, K_new, t_new
    return x, Kx


def _direct(K, c, region, x, Kx, tol, pull):
    """Primal-dual active sets [Hintermueller 2002] from x: the best point, and if they ended.

    A direct solve over the rows between the bounds; rows that leave the box go to a bound
    and rows whose multiplier has the wrong sign leave it, all at once. The sets may cycle,
    which shows in the number of such rows. `pull` |y - x|^2 / 2, a proximal term, ends that
    where K is nearly singular. What is returned is never worse than x.
    """
    start, free, upper = x, (x > 0) & (x < region.B), x >= region.B
    best, fewest, patience = x @ (Kx / 2 + c), len(x) + 1, _PATIENCE
    while patience and np.count_nonzero(free) <= _LARGEST:
        y, level = _solve_free(K, c - pull * start, region, free, upper, pull)
        inside = region.project(y)
        K_inside = K @ inside
        value = inside @ (K_inside / 2 + c)
        if value < best:
            best, x, Kx = value, inside, K_inside
        below, above = free & (y <= 0), free & (y >= region.B)
        gradient = K @ y + c + pull * (y - start) - level
        leaves = ~free & np.where(upper, gradient > 0, gradient < 0)
        wrong = np.count_nonzero(below | above | leaves)
        if not wrong or region.gap(x, Kx + c) <= tol:
            return x, Kx, True
        patience = _PATIENCE if wrong < fewest else patience - 1
        fewest = min(fewest, wrong)
        free, upper = (free & ~below & ~above) | leaves, (upper & ~leaves) | above
    return x, Kx, False


def _solve_free(K, c, region, free, upper, pull):
    """Least value over the free rows, others at their bounds, and the sum's multiplier."""
    x = np.where(upper, region.B, 0.0)
    free = np.flatnonzero(free)
    if len(free) == 0:
        return x, 0.0
    target = -(K @ x + c)[free] if upper.any() else -c[free]
    plain, ones = _solved(K[np.ix_(free, free)], target, pull)
    total = plain.sum() + x.sum()
    level = (np.clip(total, region.low, region.high) - total) / ones.sum()
    x[free] = plain + level * ones
    return x, level


def _solved(K, target, pull):
    """(K + pull)^-1 of a vector and of ones, with the ridge that rounding needs."""
    ridge = 1e-13 * np.abs(np.diagonal(K)).sum() + np.finfo(float).tiny
    K[np.diag_indices_from(K)] += pull + ridge
    sides = np.stack([target, np.ones_like(target)], axis=1)
    try:
        return cho_solve(cho_factor(K, check_finite=False), sides, check_finite=False).T
    except np.linalg.LinAlgError:  # a user's function that is no kernel, or rounding
        return np.linalg.solve(K, sides).T
