"""Kernels and their bandwidths as functions of arrays, in float64 and bounded memory."""

import math

import numpy as np
from scipy.spatial.distance import pdist

BLOCK_BYTES = 2**23  # a block of kernel values stays in the processor's cache
_SAMPLED = 1000  # rows that a median of distances looks at: half a million pairs
_ROWS = 64  # at least in a block
_DEGREE = 3


def compute_median_gamma(X, Y):
    """Inverse bandwidth 1 / (2 s^2), s the median distance of all rows of X and Y."""
    return compute_gamma(compute_median_distance(X, Y))


def compute_gamma(distance):
    """1 / (2 s^2) of a distance s, clipped to the positive finite numbers."""
    limits, root = np.finfo(np.float64), math.sqrt(0.5) / distance
    return float(np.clip(root * root, limits.tiny, limits.max))


def compute_median_distance(X, Y):
    """Median distance s of all rows of X and Y.

    Of more than 1000 rows, evenly spaced ones are used, so that the result is deterministic.
    If more than half of the distances are 0, s is the median of the others; if all are 0,
    s is such that 1 / (2 s^2) is 1.
    """
    rows = np.concatenate([_pick_evenly(X, Y), _pick_evenly(Y, X)])
    scale = np.abs(rows - rows.mean(axis=0)).max()
    distances = pdist(rows / scale) if scale > 0 else np.zeros(1)
    if not distances.any():  # equal rows, whose mean may differ by rounding
        return math.sqrt(0.5)
    return float(scale * (np.median(distances) or np.median(distances[distances > 0])))


def _pick_evenly(X, other):
    """Evenly spaced rows of X, as many as its share of all rows."""
    share = len(X) * min(1, _SAMPLED / (len(X) + len(other)))
    return X[np.linspace(0, len(X) - 1, max(1, int(share))).round().astype(int)]


class Kernel:
    """Kernel between rows of arrays that went through `prepare`, computed in blocks.

    `kernel` is "rbf" (exp(-gamma |x - y|^2)), "linear" (x'y), "polynomial"
    ((gamma x'y + 1)^3) or a function of two arrays that returns the block. `distance`, s in
    gamma = 1 / (2 s^2), replaces gamma where s^2 may overflow or underflow.
    """

    def __init__(self, kernel, gamma, distance=None):
        self.kernel = kernel
        self.gamma = gamma
        self.distance = distance

    def prepare(self, *arrays):
        """Scale arrays for `compute_block`, and center them where the kernel allows it.

        Squared distances lose digits where rows lie far from the origin.
        """
        if self.kernel == "rbf":
            center = arrays[0].mean(axis=0)
            return [(X - center) * self._compute_root() * math.sqrt(2) for X in arrays]
        if self.kernel == "polynomial":
            return [self._compute_root() * X for X in arrays]
        return list(arrays)

    def _compute_root(self):
        return (
            math.sqrt(self.gamma) if self.distance is None else math.sqrt(0.5) / self.distance
        )

    def compute_block(self, X, Y):
        """Kernel values of all pairs, (len(X), len(Y))."""
        if self.kernel == "rbf":
            return _compute_rbf(X, Y)
        if self.kernel == "linear":
            return X @ Y.T
        if self.kernel == "polynomial":
            return (X @ Y.T + 1) ** _DEGREE
        return self._call_function(X, Y)

    def _call_function(self, X, Y):
        # Copies, since X may be the caller's array and a function may write to what it gets.
        block = np.asarray(self.kernel(X.copy(), Y.copy()), dtype=np.float64)
        if block.shape != (len(X), len(Y)):
            raise ValueError(
                f"kernel returned shape {block.shape} for {len(X)} and {len(Y)} rows; "
                f"it must return ({len(X)}, {len(Y)})"
            )
        if not np.isfinite(block).all():
            raise ValueError("kernel returned NaN or infinity; it must return finite numbers")
        return block

    def compute_diagonal(self, X):
        """Kernel of each row with itself."""
        if self.kernel == "rbf":
            return np.ones(len(X))
        if self.kernel == "linear":
            return np.einsum("ij,ij->i", X, X)
        if self.kernel == "polynomial":
            return (np.einsum("ij,ij->i", X, X) + 1) ** _DEGREE
        return np.array(
            [self.compute_block(X[i : i + 1], X[i : i + 1]).item() for i in range(len(X))]
        )

    def multiply(self, X, Y, v):
        """K(X, Y) v, a block of rows at a time."""
        if self.kernel == "linear":
            return X @ (v @ Y)
        result = np.empty(len(X))
        for rows in iterate_row_blocks(len(X), len(Y)):
            result[rows] = self.compute_block(X[rows], Y) @ v
        return result

    def map_features(self, X, landmarks, whiten):
        """K(X, landmarks) whiten, a block of rows at a time."""
        result = np.empty((len(X), whiten.shape[1]))
        for rows in iterate_row_blocks(len(X), len(landmarks)):
            result[rows] = self.compute_block(X[rows], landmarks) @ whiten
        return result

    def compute_matrix(self, X):
        """K(X, X), which is symmetric, from one half of it."""
        K = np.empty((len(X), len(X)))
        for rows in iterate_row_blocks(len(X), len(X)):
            K[rows, rows.start :] = self.compute_block(X[rows], X[rows.start :])
            K[rows.stop :, rows] = K[rows, rows.stop :].T
        return K

    def sum_all(self, X):
        """Sum of K(X, X), which is symmetric, from one half of it."""
        if self.kernel == "linear":
            together = X.sum(axis=0)
            return float(together @ together)
        total = 0.0
        for rows in iterate_row_blocks(len(X), len(X)):
            total += self.compute_block(X[rows], X[rows]).sum()
            if rows.stop < len(X):
                total += 2 * self.compute_block(X[rows], X[rows.stop :]).sum()
        return total


def iterate_row_blocks(n_rows, n_columns):
    """Slices of rows that are short enough for a block of kernel values in bounded memory.

    They are not shorter than 64 rows, as each block computes the norms of all columns.
    """
    step = max(_ROWS, BLOCK_BYTES // (8 * max(1, n_columns)))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def _compute_rbf(X, Y):
    """exp(-|x - y|^2 / 2) in the memory of one block."""
    block = X @ Y.T
    block -= 0.5 * np.einsum("ij,ij->i", X, X)[:, None]
    block -= 0.5 * np.einsum("ij,ij->i", Y, Y)
    np.minimum(block, 0, out=block)
    return np.exp(block, out=block)
