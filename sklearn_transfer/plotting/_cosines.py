"""Cosines of the features of samples after the mean of some of them is subtracted."""

import numpy as np
from scipy.sparse import issparse

from sklearn_transfer._validation import shorten

_TINY = 1e-12


def compute_cosines(features, others):
    """Cosines of each row of others with each of features, whose mean is subtracted from both.

    Rows of features with a missing value are like none, with -inf. Both may be sparse.
    """
    features, others = (
        _validate(rows, name)
        for rows, name in ((features, "features"), (others, "features_new"))
    )
    if features.shape[1] != others.shape[1]:
        raise ValueError(
            f"features has {features.shape[1]} columns, and features_new {others.shape[1]}:"
            " give features of one transformer"
        )
    if not np.isfinite(_get_values(others)).all():
        raise ValueError("features_new holds NaN or infinity: give samples that can be read")
    if issparse(features) or issparse(others):
        return _compute_sparse(features, others)
    is_known = np.isfinite(features).all(axis=1)
    cosines = np.full((len(others), len(features)), -np.inf)
    if is_known.any():
        center = features[is_known].mean(axis=0)
        known = _scale_rows(features[is_known] - center)
        cosines[:, is_known] = _scale_rows(others - center) @ known.T
    return cosines


def _validate(rows, name):
    if not issparse(rows):
        rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(
            f"{name}={shorten(rows)} has the shape {rows.shape}, expected a row of features"
            " for each sample"
        )
    return rows


def _get_values(rows):
    return rows.data if issparse(rows) else rows


def _compute_sparse(features, others):
    """The same without centered features, which would not be sparse."""
    center = np.asarray(features.mean(axis=0)).ravel()
    products = others @ features.T
    products = products.toarray() if issparse(products) else np.asarray(products)
    along = [rows @ center for rows in (others, features)]
    norms = [
        np.sqrt(np.maximum(_compute_squares(rows) - 2 * part + center @ center, 0))
        for rows, part in zip((others, features), along, strict=True)
    ]
    products = products - along[0][:, None] - along[1] + center @ center
    return products / np.maximum(np.outer(*norms), _TINY)


def _compute_squares(rows):
    squares = rows.multiply(rows) if issparse(rows) else rows**2
    return np.asarray(squares.sum(axis=1)).ravel()


def _scale_rows(matrix):
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), _TINY)
