"""Validation of sample weights, and their effective sample size."""

import numpy as np
from sklearn.utils.validation import _check_sample_weight


def validate_sample_weight(sample_weight, X, name="sample_weight"):
    """Validate the weights of the rows of X, and return a float64 copy; None gives 1 each.

    Weights must be finite and at least 0, and one of them above 0.
    """
    if sample_weight is not None:
        given = np.asarray(sample_weight)
        if given.size and not given.any():
            raise ValueError(
                f"{name} is zero in every row: give at least one row a weight above 0"
            )
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, copy=True)
    negative = np.flatnonzero(weights < 0)
    if len(negative):
        raise ValueError(
            f"{name} is {weights[negative[0]]:.4g} in row {negative[0]}: give weights of at "
            "least 0, where 0 leaves a row out"
        )
    return weights


def compute_effective_size(weights):
    """(sum of weights)^2 / (sum of squared weights) of weights whose mean is 1."""
    return float(len(weights) ** 2 / (weights @ weights))
