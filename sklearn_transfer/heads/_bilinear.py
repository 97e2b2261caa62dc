"""Bilinear compatibility of features and attributes, as functions of float64 arrays."""

import numpy as np
from scipy.linalg import eigh, solve


def solve_compatibility(X, Y, S, gamma, alpha):
    """V = (X'X + gamma I)^-1 X' Y S (S'S + alpha I)^-1, by the smaller matrix per side."""
    return solve_ridge(X, solve_ridge(S, Y.T, alpha).T, gamma)


def solve_ridge(X, Y, penalty):
    """(X'X + penalty I)^-1 X'Y, by X X' if that is smaller."""
    n, d = X.shape
    if d <= n:
        return solve(X.T @ X + penalty * np.eye(d), X.T @ Y, assume_a="pos")
    return X.T @ solve(X @ X.T + penalty * np.eye(n), Y, assume_a="pos")


def compute_mean_eigenvalue(X):
    """Mean of the eigenvalues of X'X that need not be 0: the unit of penalties."""
    return float(np.einsum("ij,ij->", X, X)) / min(X.shape) or 1.0


class RegularizationPath:
    """Solutions for many penalties from one eigenvalue decomposition of each side."""

    def __init__(self, X, Y, S):
        (self._U, self._x), (self._P, self._s) = _compute_spectrum(X), _compute_spectrum(S)
        self._X, self._S, self._Y = X, S, Y
        self._core = self._U.T @ Y @ self._P

    def iterate_scores(self, X, S, gammas, alphas):
        """Yield gamma, alpha and the scores x'Vs of other rows with other attributes."""
        rows, classes = X @ (self._X.T @ self._U), S @ (self._S.T @ self._P)
        for gamma in gammas:
            part = (rows / (self._x + gamma)) @ self._core
            for alpha in alphas:
                yield gamma, alpha, (part / (self._s + alpha)) @ classes.T

    def score_left_out(self, gamma, alpha):
        """Scores of the training rows, each by the solution without this row."""
        shares = self._x / (self._x + gamma)
        fitted = (self._U * shares) @ (self._U.T @ self._Y)
        own = np.einsum("ij,ij,j->i", self._U, self._U, shares)[:, None]
        rest = np.maximum(1 - own, np.finfo(float).eps)
        smooth = (self._P * (self._s / (self._s + alpha))) @ self._P.T
        return (fitted - own * self._Y) / rest @ smooth


def _compute_spectrum(X):
    """Eigenvectors U of X X' and their eigenvalues, without those that are 0."""
    n, d = X.shape
    values, vectors = eigh(X.T @ X if d < n else X @ X.T)
    kept = values > max(values[-1], 0) * max(n, d) * np.finfo(float).eps
    values, vectors = values[kept], vectors[:, kept]
    return (X @ vectors / np.sqrt(values) if d < n else vectors), values
