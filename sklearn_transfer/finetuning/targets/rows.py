"""Samples with their targets and weights: which of them count, and which are held out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_consistent_length

from sklearn_transfer._modalities.samples import take_samples
from sklearn_transfer._sample_weight import validate_sample_weight
from sklearn_transfer.finetuning.targets.columns import convert_target


@dataclass(frozen=True, eq=False)
class LabeledRows:
    """Samples, their targets and weights, and their row numbers in what the user passed."""

    samples: object
    y: object
    weights: np.ndarray
    numbers: np.ndarray

    def take(self, rows):
        """Samples, targets and weights of some rows."""
        return LabeledRows(
            take_samples(self.samples, rows),
            take_targets(self.y, rows),
            self.weights[rows],
            self.numbers[rows],
        )


def select_rows(samples, y, sample_weight=None, owner="estimator"):
    """`LabeledRows` of the samples whose weight is not zero; raises ValueError.

    `owner` is the name of the estimator that y is for.
    """
    if y is None:
        raise ValueError(
            f"This {owner} estimator requires y to be passed, but the target y is None"
        )
    y = convert_target(y)
    check_consistent_length(samples, get_first_column(y))
    weights = validate_sample_weight(sample_weight, np.zeros((len(samples), 1)))
    rows = LabeledRows(samples, y, weights, np.arange(len(samples)))
    kept = np.flatnonzero(weights > 0)
    return rows if len(kept) == len(weights) else rows.take(kept)


def split_rows(n_rows, strata, share, seed, given, advice):
    """Row numbers to train on and to validate on; raises ValueError where one would be empty.

    `strata` are codes whose shares are kept where that is possible, or None. Messages name
    the parameter `given`, and end with `advice`.
    """
    options = {"test_size": share, "random_state": seed}
    try:
        if strata is not None:
            splitter = StratifiedShuffleSplit(1, **options)
            return next(splitter.split(np.zeros(n_rows), strata))
    except ValueError:  # fewer rows to validate on than classes
        pass
    try:
        return next(ShuffleSplit(1, **options).split(np.zeros(n_rows)))
    except ValueError as error:
        raise ValueError(
            f"{given} holds {share:g} of {n_rows} samples out, which leaves none for one side;"
            f" {advice}"
        ) from error


def take_targets(y, rows):
    """Rows of targets in any container, a mapping of columns included."""
    if isinstance(y, Mapping):
        return {name: _safe_indexing(column, rows) for name, column in y.items()}
    return _safe_indexing(y, rows)


def get_first_column(y):
    """Targets, or the first column of a mapping of them."""
    y = convert_target(y)
    return next(iter(y.values()), ()) if isinstance(y, Mapping) else y
