"""Containers of samples of any kind, converted to a list or a numeric array."""

import os
from collections.abc import Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from sklearn_transfer._modalities.contents import BadSampleError, convert_tensor, is_tensor
from sklearn_transfer._validation import format_list, shorten

_named_rows = ContextVar("_named_rows", default=None)


@contextmanager
def name_rows(rows, column):
    """Context in which messages name rows as those of a column of a table.

    Sample number i is in row `rows[i]`, since samples that are missing are left out.
    """
    token = _named_rows.set((rows, column))
    try:
        yield
    finally:
        _named_rows.reset(token)


def label_row(row):
    """Return what messages call a row of X."""
    named = _named_rows.get()
    if named is None:
        return f"row {row}"
    rows, column = named
    return f"row {rows[row]} of column {shorten(column, 60)}"


def as_samples(X, kinds):
    """Return the samples of any container as a list or a numeric array.

    Parameters
    ----------
    X : container of n_samples samples
        A list, a tuple, an array, a Series, a table of one column, or a map-style dataset.
    kinds : str
        What a sample can be, for messages.

    Raises
    ------
    ValueError
        If X is a single sample, is lazy, or has no or several columns.
    """
    if isinstance(X, (str, bytes, os.PathLike)):
        raise ValueError(
            f"X must be a sequence of samples, got one {type(X).__name__}; "
            "put it into a list: [X]"
        )
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):  # of polars
        raise ValueError(
            f"X is a lazy {type(X).__name__}, and scikit-learn cannot select its rows; pass"
            " X.collect()"
        )
    names = _find_column_names(X)
    if names is not None:
        X = _take_only_column(X, names)
    samples = _to_list_or_array(X, kinds)
    if isinstance(samples, np.ndarray) and samples.dtype.kind in "OUT":
        samples = _list_objects(samples)
    if isinstance(samples, np.ndarray) and samples.ndim == 0:
        raise ValueError(
            f"X is an array of shape (), a single value of {samples.dtype}; expected samples"
        )
    if len(samples) == 0:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required")
    return samples


def _list_objects(X):
    if X.ndim == 2 and X.shape[1] == 1:
        X = X[:, 0]
    if X.ndim != 1:
        raise ValueError(
            f"X is an array of {X.dtype} with shape {X.shape}, expected (n_samples,)"
            " or (n_samples, 1)"
        )
    return X.tolist()


def _to_list_or_array(X, kinds):
    """Return a container as a list or a NumPy array, in the same order."""
    if isinstance(X, np.ndarray):
        return X
    if hasattr(X, "compute") and not hasattr(X, "__array__"):
        raise ValueError(
            f"X is a lazy {type(X).__name__}, and scikit-learn cannot select its rows; pass"
            " X.compute()"
        )
    if hasattr(X, "to_pylist"):  # pyarrow
        return X.to_pylist()
    if hasattr(X, "to_list"):  # pandas and polars
        return X.to_list()
    if is_tensor(X):
        return _convert_tensor_samples(X)
    if hasattr(X, "shape") and hasattr(X, "__array__"):
        return np.asarray(X)
    if isinstance(X, Sequence) or (hasattr(X, "__getitem__") and _is_dataset(X)):
        return [X[row] for row in range(len(X))]
    raise ValueError(
        f"X must be a list, tuple, array, Series or one-column DataFrame of samples,"
        f" got {type(X).__name__}; a sample is {kinds}{_suggest_repair(X)}"
    )


def _convert_tensor_samples(X):
    try:
        return convert_tensor(X)
    except BadSampleError as error:
        raise ValueError(f"X {error}") from error


def _is_dataset(X):
    """Whether X is a map-style dataset, which has a length and is indexed by row."""
    return hasattr(X, "__len__") and not hasattr(X, "keys")


def _suggest_repair(X):
    if hasattr(X, "keys"):
        return f". Select the column with the samples, one of {format_list(X.keys(), 5)}"
    if hasattr(X, "__iter__"):
        return ". scikit-learn selects rows by index: pass list(X)"
    return ""


def take_samples(samples, rows):
    """Return some of the samples that `as_samples` returned, or rows of a table of them."""
    if isinstance(samples, np.ndarray):
        return samples[rows]
    if hasattr(samples, "take"):
        return samples.take(rows)
    return [samples[i] for i in rows]


def _find_column_names(X):
    """Return the column names of a table of pandas, polars, pyarrow or a hub, else None."""
    if hasattr(X, "column_names"):
        return list(X.column_names)
    return list(X.columns) if hasattr(X, "columns") and hasattr(X, "shape") else None


def _take_only_column(X, names):
    if len(names) != 1:
        raise ValueError(
            f"X has {len(names)} columns {format_list(names, 5)}, expected the one with the"
            " samples; select it, for instance with ColumnTransformer"
        )
    return X[names[0]]
