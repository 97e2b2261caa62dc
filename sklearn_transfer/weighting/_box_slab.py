"""Quadratic programs over a box and a slab: 0 <= x <= B and low <= sum(x) <= high."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

_STEPS = 20  # accelerated steps where direct solves do not end
_PATIENCE = 3  # direct solves in a row without fewer rows on the wrong side
_LARGEST = 8000  # free rows that a direct solve takes: 512 MB
_ACCURATE = 0.005  # residual of a solve, a share of its right side, that is a step forward
_GATHERED = 64  # rows gathered at a time, which stay in the processor's cache


@dataclass
class Region:
    """0 <= x <= B and low <= sum(x) <= high."""

    B: float
    low: float
    high: float

    def project(self, v):
        """Nearest point of the region: v minus one number, clipped to the box."""
        x = np.clip(v, 0, self.B)
        total = x.sum()
        if self.low <= total <= self.high:
            return x
        return self._find_with_total(v, self.low if total < self.low else self.high)

    def _find_with_total(self, v, total):
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

    def find_vertex(self, gradient):
        """Feasible s of least gradient's: B where it is least, a remainder, then 0."""
        order = np.argsort(gradient, kind="stable")
        wanted = np.clip(self.B * np.count_nonzero(gradient < 0), self.low, self.high)
        s = np.zeros_like(gradient)
        s[order] = np.clip(wanted - self.B * np.arange(len(s)), 0, self.B)
        return s

    def compute_gap(self, x, gradient):
        """Largest gradient'(x - s) over feasible s: a bound of what is left to gain."""
        return float(gradient @ (x - self.find_vertex(gradient)))


@dataclass
class WarmStart:
    """State that one call of `minimize` passes to the next."""

    pull: float  # proximal term to begin with
    single: bool = True  # whether factors in single precision were accurate enough


def minimize(K, c, region, x, tol, warm, max_rounds=50):
    """Minimize x'Kx / 2 + c'x over a region, from x, until the gap is at most tol.

    Proximal points, each from direct solves, with a pull to where they start that shrinks;
    where direct solves do not end, accelerated projected gradients go on and the pull
    grows. Returns x and Kx, and leaves in `warm` what the next call begins with.
    """
    Kx = K @ x
    for _ in range(max_rounds):
        x, Kx, ended = _solve_direct(K, c, region, x, Kx, tol, warm)
        if region.compute_gap(x, Kx + c) <= tol:
            break
        if ended:
            warm.pull /= 8
        else:
            warm.pull *= 8
            x, Kx = _step_accelerated(K, c, region, x, Kx)
    return x, Kx


def _step_accelerated(K, c, region, x, Kx):
    """Nesterov's method with restarts where momentum points uphill [O'Donoghue 2015]."""
    length = 1 / max(np.abs(K).sum(axis=1).max(), np.finfo(float).tiny)
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


def _solve_direct(K, c, region, x, Kx, tol, warm):
    """Primal-dual active sets [Hintermueller 2002] from x: the best point, and if they ended.

    A direct solve over the rows between the bounds; rows that leave the box go to a bound
    and rows whose multiplier has the wrong sign leave it, all at once. The sets may cycle,
    which shows in the number of such rows. `warm.pull` |y - x|^2 / 2, a proximal term, ends
    that where K is nearly singular. What is returned is never worse than x.
    """
    start = x
    free, upper = _find_sets(x, Kx + c, region)
    base, K_base = x, Kx
    best, gap = x @ (Kx / 2 + c), region.compute_gap(x, Kx + c)
    fewest, patience = len(x) + 1, _PATIENCE
    while patience and np.count_nonzero(free) <= _LARGEST:
        constant = c - warm.pull * start
        y, Ky, level = _solve_free(K, constant, region, free, base, K_base, warm)
        below, above = free & (y <= 0), free & (y >= region.B)
        base = np.where(below, 0, np.where(above, region.B, y))
        inside = region.project(y)
        K_inside, K_base = (K @ np.stack([inside, base], axis=1)).T
        value, new_gap = inside @ (K_inside / 2 + c), region.compute_gap(inside, K_inside + c)
        # Near the optimum the gap still tells points apart whose values are equal in digits.
        rounding = 1e-13 * abs(best)
        if value < best - rounding or (value <= best + rounding and new_gap < gap):
            best, gap, x, Kx = value, new_gap, inside, K_inside
        gradient = Ky + warm.pull * y + constant - level
        leaves = ~free & np.where(upper, gradient > 0, gradient < 0)
        wrong = np.count_nonzero(below | above | leaves)
        if not wrong or gap <= tol:
            return x, Kx, True
        patience = _PATIENCE if wrong < fewest else patience - 1
        fewest = min(fewest, wrong)
        free, upper = (free & ~below & ~above) | leaves, (upper & ~leaves) | above
    return x, Kx, False


def _find_sets(x, gradient, region):
    """Masks of the rows between the bounds or about to leave one, and of the others at B."""
    upper = x >= region.B
    free = (x > 0) & ~upper
    level = find_multiplier(x, gradient, region.B)
    leaves = ~free & np.where(upper, gradient > level, gradient < level)
    return free | leaves, upper & ~leaves


def find_multiplier(x, gradient, B):
    """Multiplier of the sum: the gradient between the bounds, or midway if all are at one.

    Midway, the row that loses most by a step down and the row that gains most by a step up
    both have a gradient on the wrong side of it, if any pair has.
    """
    free = (x > 0) & (x < B)
    if free.any():
        return gradient[free].mean()
    down = gradient[x > 0].max(initial=-np.inf)
    up = gradient[x < B].min(initial=np.inf)
    return (down + up) / 2 if up < down < np.inf else 0.0


def _solve_free(K, c, region, free, base, K_base, warm):
    """Least value over the free rows, others as in `base`: y, Ky and the sum's multiplier.

    The solve is for the step from `base`, so single precision costs little where factors in
    it are accurate to some digits; where they are not, double precision takes over.
    """
    free = np.flatnonzero(free)
    if len(free) == 0:
        return base, K_base, 0.0
    gradient = (K_base + warm.pull * base + c)[free]
    middle = gradient.mean()
    allowed = _ACCURATE * np.linalg.norm(gradient - middle) + 1e-12 * np.linalg.norm(c)
    for dtype in (np.float32, np.float64) if warm.single else (np.float64,):
        step, ones = _solve_rows(K, free, dtype, middle - gradient, warm.pull)
        total = base.sum() + step.sum() - middle * ones.sum()
        level = (np.clip(total, region.low, region.high) - total) / ones.sum()
        y = base.copy()
        y[free] += step + (level - middle) * ones
        Ky = K @ y
        left = np.linalg.norm((Ky + warm.pull * y + c)[free] - level)
        if left <= allowed:
            break
        warm.single = False
    return y, Ky, level


@np.errstate(over="ignore", invalid="ignore")  # numbers that single precision lacks
def _solve_rows(K, rows, dtype, target, pull):
    """(K + pull)^-1 of a vector and of ones over some rows; NaN where precision is short."""
    sides = np.stack([target, np.ones_like(target)], axis=1).astype(dtype)
    try:
        # The transpose is the same matrix, in the order that LAPACK takes without a copy.
        shifted = _shift_diagonal(K, rows, dtype, pull).T
        factor = cho_factor(shifted, overwrite_a=True, check_finite=False)
        return cho_solve(factor, sides, check_finite=False).T.astype(np.float64)
    except np.linalg.LinAlgError:  # a user's function that is no kernel, or rounding
        if dtype == np.float32:
            return np.full_like(sides, np.nan, dtype=np.float64).T
        return np.linalg.solve(_shift_diagonal(K, rows, dtype, pull), sides).T


def _shift_diagonal(K, rows, dtype, pull):
    """Those rows and columns of K, with `pull` and the ridge that rounding needs added."""
    part = gather(K, rows, dtype)
    diagonal = np.diagonal(K)[rows]
    ridge = 1e-13 * np.abs(diagonal).sum() + np.finfo(float).tiny
    part[np.diag_indices_from(part)] = diagonal + (pull + ridge)
    return part


def gather(K, rows, dtype):
    """Those rows and columns of K."""
    part = np.empty((len(rows), len(rows)), dtype)
    for start in range(0, len(rows), _GATHERED):
        some = slice(start, start + _GATHERED)
        part[some] = np.take(K[rows[some]], rows, axis=1, mode="clip")
    return part
