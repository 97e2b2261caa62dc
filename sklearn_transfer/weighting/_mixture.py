"""Proportions of a mixture whose components are known: a concave program on the simplex."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.optimize import nnls

_RIDGE = 1e-10  # of each component's curvature: components may be equal
_HALVINGS = 30
_DECREASE = 1e-4  # least share of the decrease that the slope promises


class Mixture(NamedTuple):
    """Proportions, a bound of how much more likely the best are, and rounds taken."""

    proportions: np.ndarray
    gap: float
    n_iter: int


def compute_log(values):
    """Logarithms, -inf at 0 without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(values)


def fit_mixture(log_densities, tol, max_iter, start=None, weights=None):
    """Proportions p of components that maximize mean_j log(sum_l p_l density_jl).

    `log_densities` has one row per sample, each with at least one finite value. A row may be
    shifted by any constant; `weights` of rows have sum 1. Sequential quadratic programming:
    each round solves the second-order model with p >= 0, where the sum of p has a price of 1
    and so is 1 at the optimum. The gradient bounds what is missing: the gap is
    max_l mean_j(density_jl / mixture_j) - 1.
    """
    A = np.exp(log_densities - log_densities.max(axis=1, keepdims=True))
    n_components = A.shape[1]
    p = np.full(n_components, 1 / n_components) if start is None else start.copy()
    w = np.full(len(A), 1 / len(A)) if weights is None else weights
    for n_iter in range(max_iter + 1):
        D = A / (A @ p)[:, None]
        gains = w @ D
        gap = float(gains.max() - 1)
        if gap <= tol or n_iter == max_iter:
            break
        p = _improve(A, w, D, gains, p)
    return Mixture(p, max(0.0, gap), n_iter)


def _improve(A, w, D, gains, p):
    """Proportions of a greater likelihood: a step of Newton's kind, of EM's or to a vertex.

    Only the last brings back a component that is 0 where the second-order model misleads.
    """
    em = p * gains
    best, least = em / em.sum(), _compute_loss(A, w, em / em.sum())
    vertex = np.zeros(len(p))
    vertex[gains.argmax()] = 1
    newton = _find_newton_point(D, w, gains)
    value = _compute_loss(A, w, p)
    for aim in (newton, vertex):
        if aim is None:
            continue
        found = _search_line(A, w, gains, p, aim, value)
        if found is not None and (loss := _compute_loss(A, w, found)) < least:
            best, least = found, loss
            break
    return best


def _search_line(A, w, gains, p, aim, value):
    """A point between p and `aim` where the loss falls as its slope promises, or None."""
    direction = aim - p
    slope = min(0.0, float((1 - gains) @ direction))
    size = 1.0
    for _ in range(_HALVINGS):
        candidate = p + size * direction
        if _compute_loss(A, w, candidate) <= value + _DECREASE * size * slope:
            return np.maximum(candidate, 0) / candidate.sum()
        size /= 2
    return None


def _find_newton_point(D, w, gains):
    """Minimizer of the second-order model over p >= 0, or None where it is not found."""
    curvature = (D * w[:, None]).T @ D
    scale = 1 / np.sqrt(np.maximum(np.diag(curvature), np.finfo(float).tiny))
    curvature *= scale * scale[:, None]
    curvature[np.diag_indices_from(curvature)] += _RIDGE
    try:
        root = cholesky(curvature, lower=False)
        aim = solve_triangular(root, scale * (2 * gains - 1), trans="T")
        return scale * nnls(root, aim)[0]
    except (LinAlgError, RuntimeError):  # the latter where NNLS takes too many rounds
        return None


def _compute_loss(A, w, p):
    """Negative log-likelihood with the price of the sum."""
    mixture = A @ p
    return np.inf if mixture.min() <= 0 else float(p.sum() - w @ np.log(mixture))
