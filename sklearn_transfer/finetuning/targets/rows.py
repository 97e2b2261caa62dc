"""Samples with their targets and weights: which of them count, and which are held out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_consistent_length

from sklearn_transfer._modalities.samples import take_samples
from sklearn_transfer._sample_weight import validate_sample_weight
from sklearn_transfer._validation import format_list
from sklearn_transfer.finetuning.targets.columns import (
    convert_target,
    find_missing,
    make_table,
)


@dataclass(frozen=True, eq=False)
class LabeledRows:
    """Samples, their targets and weights, and their row numbers in what the user passed.

    Numbers are ``~i`` for row i of `X_target`; see `describe_row`.
    """

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


def join_rows(rows, more):
    """`LabeledRows` of two, the second of which may lack some targets."""
    samples = _join_samples(rows.samples, more.samples)
    y = _join_targets(make_table(rows.y), make_table(more.y))
    weights = np.concatenate([rows.weights, more.weights])
    return LabeledRows(samples, y, weights, np.concatenate([rows.numbers, more.numbers]))


def _join_samples(samples, more):
    if hasattr(samples, "join"):  # rows of a table
        return samples.join(more)
    are_arrays = all(_may_be_input(part) for part in (samples, more))
    if are_arrays and samples.shape[1:] == more.shape[1:]:
        return np.concatenate([samples, more])
    return [*samples, *more]  # of arrays of images, views that take no memory


def _may_be_input(samples):
    """Whether samples may be an array that the network takes, which has to stay an array."""
    return isinstance(samples, np.ndarray) and (
        samples.ndim <= 2 or samples.dtype == np.float32
    )


def _join_targets(table, more):
    if len(table.columns) != len(more.columns) or _has_other_names(table, more):
        raise ValueError(
            f"y_target has {_describe_columns(more)} and y has {_describe_columns(table)}:"
            " both must hold the same outputs in the same order"
        )
    columns = list(map(_join_column, table.columns, more.columns))
    if table.flat:
        return columns[0]
    if table.names is not None:
        return dict(zip(table.names, columns, strict=True))
    kinds = {column.dtype.kind for column in columns}
    return np.column_stack(
        columns if len(kinds) == 1 else [column.astype(object) for column in columns]
    )


def _has_other_names(table, more):
    return None not in (table.names, more.names) and table.names != more.names


def _describe_columns(table):
    names = "" if table.names is None else f" {format_list(table.names)}"
    return f"{len(table.columns)} columns{names}"


def _join_column(column, more):
    """Entries of two columns, of the type of the first where that can hold all of them."""
    present = ~find_missing(more)
    values = more[present]
    if column.dtype.kind in "biuf" and _are_equal(values, column.dtype):
        values = values.astype(column.dtype)
    if present.all() and values.dtype.kind == column.dtype.kind:
        return np.concatenate([column, values])
    joined = np.concatenate([column.astype(object), np.full(len(more), None)])
    joined[len(column) + np.flatnonzero(present)] = values.tolist()
    return joined


def _are_equal(values, dtype):
    """Whether numbers do not change by conversion to a type."""
    try:
        with np.errstate(invalid="ignore"):  # infinity has no integer
            return bool((values.astype(dtype) == values).all())
    except (TypeError, ValueError, OverflowError):
        return False


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
