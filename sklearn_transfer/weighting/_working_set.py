"""Solver of kernel mean matching that works on few rows at a time."""

from dataclasses import dataclass

import numpy as np

from sklearn_transfer._callbacks import NO_TASK
from sklearn_transfer.weighting._box_slab import (
    Region,
    WarmStart,
    find_multiplier,
    gather,
    minimize,
)

_FIRST = 300  # rows of the first working set
_LARGEST = 8000  # rows whose kernel matrix is held at once: 512 MB
_FEW = 1000  # rows below which the whole problem is one working set
_PROXIMAL = 1e-4  # first proximal term, a share of the kernel's mean diagonal
_SMALL = 1e-5  # objectives nearer to 0 than this share of the kernel's scale count as 0


@dataclass
class Solution:
    """Result of the solver; `gap` is in units of the objective."""

    x: np.ndarray
    gradient: np.ndarray
    objective: float
    gap: float
    n_iter: int


@dataclass
class Problem:
    """Minimize x'Kx / 2 - k'x over a region; K is a kernel of the rows of X."""

    kernel: object
    X: np.ndarray
    k: np.ndarray
    region: Region
    scale: float
    K: np.ndarray | None = None  # of all rows, where it is held

    def hold(self):
        """Compute K where it takes no more memory than the largest working set."""
        if len(self.X) <= _LARGEST:
            self.K = self.kernel.compute_matrix(self.X)

    def build_start(self):
        """Equal weights on the rows that look most like the target, 0 on the others."""
        n = len(self.k)
        total = n * min(1, self.region.B)
        n_rows = min(n, max(int(np.ceil(total / self.region.B)), _FIRST))
        rows = np.argsort(-self.k, kind="stable")[:n_rows]
        x = np.zeros(n)
        x[rows] = total / n_rows
        return np.minimum(x, self.region.B)

    def compute_gradient(self, x):
        """Kx - k from the columns where x is not 0."""
        rows = np.flatnonzero(x)
        return self.multiply(rows, x[rows]) - self.k

    def multiply(self, rows, v):
        """Some of K's columns times v."""
        if self.K is None:
            return self.kernel.multiply(self.X, self.X[rows], v)
        if len(rows) < len(self.K) / 4:  # else one pass over K is cheaper than a copy
            return v @ self.K[rows]
        x = np.zeros(len(self.K))
        x[rows] = v
        return self.K @ x

    def compute_matrix(self, rows):
        """K of some rows."""
        if self.K is None:
            return self.kernel.compute_matrix(self.X[rows])
        return self.K if len(rows) == len(self.K) else gather(self.K, rows, np.float64)

    def sum_all(self):
        """Sum of all of K."""
        return self.kernel.sum_all(self.X) if self.K is None else float(self.K.sum())

    def compute_objective(self, x, gradient):
        return float(x @ (gradient - self.k)) / 2

    def compute_allowed(self, objective, tol):
        """Gap that counts as solved."""
        return tol * max(abs(objective), _SMALL * self.scale, np.finfo(float).tiny)

    def build_result(self, x, n_iter):
        """The solution, with all values computed anew, free of accumulated rounding."""
        gradient = self.compute_gradient(x)
        objective = self.compute_objective(x, gradient)
        return Solution(x, gradient, objective, self.region.compute_gap(x, gradient), n_iter)


def solve(problem, tol, max_iter, whole=False, task=NO_TASK):
    """Minimize until the gap is at most tol of the objective, or max_iter rounds are over.

    A round solves the problem over the rows between the bounds and those that most want to
    leave one; the kernel's columns of rows that moved then bring the gradient up to date.
    `whole` takes all rows in each round. Rounds are subtasks of `task`, whose callbacks may
    end them.
    """
    matrix = _Matrix(problem)
    x = problem.build_start()
    gradient = problem.compute_gradient(x)
    size = _FIRST
    for n_iter in range(max_iter + 1):
        gap = problem.region.compute_gap(x, gradient)
        allowed = problem.compute_allowed(problem.compute_objective(x, gradient), tol)
        if gap <= allowed or n_iter == max_iter:
            break
        rows = (
            np.arange(len(x))
            if whole
            else _choose_working_set(x, gradient, problem.region, size)
        )
        with task.open("round") as round_task:
            x, gradient = _solve_rows(matrix, x, gradient, rows, 0.3 * allowed)
        size = min(2 * size, _LARGEST)
        if round_task.is_stopped:
            n_iter += 1
            break
    return problem.build_result(x, n_iter)


def _choose_working_set(x, gradient, region, size):
    """Rows between the bounds, and `size` others whose multiplier has the wrong sign."""
    n = len(x)
    free = (x > 0) & (x < region.B)
    n_free = np.count_nonzero(free)
    if n <= _FEW or (n <= _LARGEST and n_free > n / 2):
        return np.arange(n)
    level = find_multiplier(x, gradient, region.B)
    wrong = np.where(x > 0, gradient - level, level - gradient)
    wrong = np.where(free, np.abs(wrong), wrong)
    if n_free <= _LARGEST // 2:
        wrong[free] = np.inf
    n_rows = min(_LARGEST, n_free + size, np.count_nonzero(free | (wrong > 0)))
    return np.sort(np.argpartition(-wrong, max(n_rows, 2) - 1)[: max(n_rows, 2)])


def _solve_rows(matrix, x, gradient, rows, tol):
    """Weights and their gradient after a solve over some rows; the others stay fixed."""
    problem = matrix.problem
    K = matrix.get_rows(rows)
    held = x.sum() - x[rows].sum()
    region = Region(problem.region.B, problem.region.low - held, problem.region.high - held)
    c = gradient[rows] - K @ x[rows]
    if len(rows) < len(x):  # the rows will change, so a tenth of their gap is enough
        gap = region.compute_gap(x[rows], gradient[rows])
        tol = max(min(tol, 0.5 * gap), 0.1 * gap)
    part, K_part = minimize(K, c, region, x[rows], tol, matrix.warm)
    changed = part != x[rows]
    step = (part - x[rows])[changed]
    x = x.copy()
    x[rows] = part
    if len(rows) == len(x):
        return x, K_part + c
    return x, gradient + problem.multiply(rows[changed], step)


class _Matrix:
    """Kernel matrix of some rows, kept while the same rows are asked for."""

    def __init__(self, problem):
        self.problem = problem
        self.rows = self.K = None
        # The scale is n times the trace; a mean diagonal of 0 is a kernel that is 0.
        self.warm = WarmStart(_PROXIMAL * (problem.scale / len(problem.k) ** 2 or 1.0))

    def get_rows(self, rows):
        if not np.array_equal(self.rows, rows):
            self.rows = self.K = None  # two of them would take twice the memory
            self.K = self.problem.compute_matrix(rows)
            self.rows = rows
        return self.K
