"""Gaussian kernels at some target rows, on which ratios of densities are built."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from sklearn_transfer._kernels import compute_median_gamma, iterate_row_blocks

# Widths that cross-validation compares, as multiples of the median distance.
WIDTHS = (0.15, 0.25, 0.4, 0.6, 0.8, 1.0, 1.4, 2.0, 3.0)
_LARGEST = 700  # logarithm of the largest ratio, whose exponential is a number


class Moments(NamedTuple):
    """Means of kernels over the rows of a domain, and of their products, by gamma."""

    means: np.ndarray
    products: np.ndarray


class GaussianBasis:
    """Kernels exp(-gamma |x - c|^2) at centers c drawn from the target.

    Rows are centered and scaled by the median distance, so that squares neither overflow nor
    lose digits; squared distances are in that unit and `relative` gammas too.
    """

    def __init__(self, X, T, n_centers, random_state):
        self.median = compute_median_gamma(X, T)
        self.shift = T.mean(axis=0)
        n_centers = min(n_centers, len(T))
        rows = np.sort(random_state.choice(len(T), n_centers, replace=False))
        self.centers = T[rows]
        self._scaled = self._scale(self.centers)
        self._norms = np.einsum("ij,ij->i", self._scaled, self._scaled)

    def _scale(self, X):
        return np.sqrt(self.median) * (X - self.shift)

    def list_gammas(self, gamma):
        """Candidates, largest width last, of a parameter: a float, "median", "cv", a grid."""
        if isinstance(gamma, str):
            widths = (1.0,) if gamma == "median" else WIDTHS
            return self.median / np.square(widths)
        return np.atleast_1d(np.asarray(gamma, dtype=np.float64))

    def compute_squared_distances(self, X):
        """Squared distances of all rows to all centers, in units of the median's."""
        X = self._scale(X)
        block = -2 * (X @ self._scaled.T)
        block += np.einsum("ij,ij->i", X, X)[:, None]
        block += self._norms
        return np.maximum(block, 0, out=block)

    def compute_exponents(self, X, gamma):
        """Logarithms of the kernels, (len(X), n_centers)."""
        block = self.compute_squared_distances(X)
        block *= -gamma / self.median
        return block

    def compute_log_means(self, X, gammas):
        """Logarithms of the means of the kernels over X, one row per gamma."""
        sums = np.full((len(gammas), len(self.centers)), -np.inf)
        for rows in iterate_row_blocks(len(X), len(self.centers)):
            block = self.compute_squared_distances(X[rows])
            for total, gamma in zip(sums, gammas, strict=True):
                found = logsumexp(-gamma / self.median * block, axis=0)
                np.logaddexp(total, found, out=total)
        return sums - np.log(len(X))

    def compute_moments(self, X, gammas):
        """Means of the kernels and of their products over X."""
        n_centers = len(self.centers)
        first = np.zeros((len(gammas), n_centers))
        second = np.zeros((len(gammas), n_centers, n_centers))
        for rows in iterate_row_blocks(len(X), n_centers):
            block = self.compute_squared_distances(X[rows])
            for i, gamma in enumerate(gammas):
                values = np.exp(-gamma / self.median * block)
                first[i] += values.sum(axis=0)
                second[i] += values.T @ values
        return Moments(first / len(X), second / len(X))


class LogRatio:
    """Sum of kernels with positive coefficients, given by their logarithms."""

    def __init__(self, basis, gamma, log_coefs):
        self.basis, self.gamma, self.log_coefs = basis, gamma, log_coefs

    def __call__(self, X):
        """Values at rows; beyond exp(700) they are that."""
        found = np.empty(len(X))
        for rows in iterate_row_blocks(len(X), len(self.log_coefs)):
            exponents = self.basis.compute_exponents(X[rows], self.gamma) + self.log_coefs
            found[rows] = logsumexp(exponents, axis=1)
        return np.exp(np.minimum(found, _LARGEST))


class Ratio:
    """Sum of kernels with any coefficients, cut off at 0."""

    def __init__(self, basis, gamma, coefs):
        self.basis, self.gamma, self.coefs = basis, gamma, coefs

    def __call__(self, X):
        """Values at rows."""
        found = np.empty(len(X))
        for rows in iterate_row_blocks(len(X), len(self.coefs)):
            found[rows] = (
                np.exp(self.basis.compute_exponents(X[rows], self.gamma)) @ self.coefs
            )
        return np.maximum(found, 0)
