"""Columns of y in any container, and which of their entries are missing."""

import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Number

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite

from sklearn_transfer._validation import (
    as_target,
    check_class_labels,
    check_consistent_length,
    format_list,
    shorten,
)

_LABELS = "biufUO"  # kinds of arrays that hold labels


@dataclass(frozen=True, eq=False)
class Table:
    """y as columns, each a 1-D array of any dtype."""

    columns: list[np.ndarray]
    names: list[str] | None
    flat: bool  # y was 1-D

    def __len__(self):
        return len(self.columns[0])


@dataclass(frozen=True, eq=False)
class Block:
    """The columns of one task, what messages call it and each of them, and its rule."""

    values: list[np.ndarray]
    where: str
    column_labels: list[str]
    strict: bool  # a missing class or number is an error

    def __len__(self):
        return len(self.values[0])


def describe_row(number):
    """Name of a row by its number, which is ``~i`` for row i of `X_target`."""
    return f"row {number}" if number >= 0 else f"X_target, row {~number}"


class RowError(ValueError):
    """Error in one row of y: its number, and the text before and after the number."""

    def __str__(self):
        row, before, rest = self.args
        return f"{before} {describe_row(row)}{rest}"


@contextmanager
def rename_rows(numbers):
    """Context in which errors name a row of a part by its number in the whole."""
    try:
        yield
    except RowError as error:
        row, before, rest = error.args
        raise RowError(int(numbers[row]), before, rest) from None


def make_table(y) -> Table:
    """Columns of an array, list, sparse matrix, Series, DataFrame or mapping."""
    if y is None:
        raise ValueError(
            "Fine-tuning requires y to be passed, but the target y is None: give a label or a"
            " number for each row of X"
        )
    y = convert_target(y)
    if isinstance(y, Mapping):
        return _make_named_table(y.keys(), y.values())
    if hasattr(y, "get_columns"):  # polars
        return _make_named_table(y.columns, y.get_columns())
    if hasattr(y, "columns") and hasattr(y, "iloc"):  # pandas
        return _make_named_table(y.columns, [y.iloc[:, j] for j in range(y.shape[1])])
    values = _to_array(y)
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] == 0):
        raise ValueError(
            "y should be a 1d array, or a 2d array with one column per output; got an array"
            f" of shape {values.shape} instead"
        )
    if values.ndim == 1:
        return Table([values], None, True)
    listed = isinstance(y, list | tuple)
    columns = [_tighten(column) if listed else column for column in values.T]
    return Table(columns, None, False)


def convert_target(y):
    """Target as an array, list, frame, Series, sparse matrix or mapping of columns."""
    if hasattr(y, "column_names"):  # a table of pyarrow or of a model hub
        y = {name: y[name] for name in y.column_names}
    if isinstance(y, Mapping):
        return {name: as_target(column) for name, column in y.items()}
    return as_target(y)


def _make_named_table(names, columns):
    names = [str(name) for name in names]
    columns = [_to_array(column) for column in columns]
    if not columns or any(column.ndim != 1 for column in columns):
        raise ValueError(
            f"y has columns {format_list(names)}: it must have at least one, and each must "
            "be a 1d array"
        )
    check_consistent_length(*columns)
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(
            f"y has several columns of the name {shorten(repeated[0])}: rename them"
        )
    return Table(columns, names, False)


def _to_array(values):
    """Any array-like as an ndarray in which missing entries can still be found."""
    if issparse(values):
        return values.toarray()
    if isinstance(values, list | tuple):
        return _convert_list(values)
    if (
        hasattr(values, "null_count") and values.null_count()
    ):  # polars: integers would turn to float
        return _convert_list(values.to_list())
    if hasattr(getattr(values, "dtype", None), "na_value") and values.isna().any():  # pandas
        return np.asarray(values, dtype=object)
    values = np.asarray(values)
    values = values.astype(object) if values.dtype.kind == "T" else values
    _check_not_nested(values)
    return values


def _convert_list(values):
    # As objects, because numpy turns NaN among strings into the string "nan".
    try:
        array = np.array(values, dtype=object)
    except ValueError:  # arrays of unequal length
        array = np.array([values, None], dtype=object)[:1]
    _check_not_nested(array)
    return _tighten(array) if array.ndim == 1 else array


def _check_not_nested(values):
    nested = list | tuple | set | np.ndarray
    if values.dtype == object and any(isinstance(value, nested) for value in values.flat):
        raise ValueError(
            "y holds sequences where labels are expected. For several labels per row give a"
            " matrix of 0 and 1: sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y)."
        )


def _tighten(values):
    """An array of objects as one of strings or numbers, if it holds nothing else."""
    if all(isinstance(value, str) for value in values):
        return values.astype(str)
    if _are_numbers(values) and not find_missing(values).any():
        return np.asarray(values.tolist())
    return values  # integers beside NaN would turn to float


def _are_numbers(values):
    return all(isinstance(value, Number | np.bool_) for value in values)


def find_missing(values) -> np.ndarray:
    """Mask of NaN, NaT, None and pandas' NA in a column."""
    if values.dtype.kind in "fc":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind != "O":
        return np.zeros(len(values), dtype=bool)
    na = getattr(sys.modules.get("pandas"), "NA", None)  # compares to nothing but itself
    found = [value is None or value is na or value != value for value in values]
    return np.array(found, dtype=bool)


def read_labels(values, where):
    """Labels of a column that are present, of one kind, and a mask of the missing."""
    missing = find_missing(values)
    labels = values[~missing]
    if labels.dtype.kind == "O" and _are_numbers(labels):
        labels = np.asarray(labels.tolist())
    strings = labels.dtype.kind != "O" or all(isinstance(v, str) for v in labels)
    if labels.dtype.kind not in _LABELS or not strings:
        sorts = sorted({type(label).__name__ for label in labels})
        raise ValueError(
            f"{where} holds labels of type {', '.join(sorts)}: they must be all strings, all "
            "numbers or all booleans. Convert them, for example with y.astype(str)."
        )
    return labels, missing


def check_labels(labels, where):
    """Raise scikit-learn's error where labels are not classes but continuous numbers."""
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name=where)
    try:
        check_class_labels(labels)
    except ValueError as error:
        if where == "y":
            raise
        raise ValueError(f"{where}: {error}") from error


def read_numbers(values, where) -> np.ndarray:
    """A column as float64, with NaN where it is missing."""
    found = np.full(len(values), np.nan)
    present = ~find_missing(values)
    try:
        if values.dtype.kind not in "biufO":
            raise TypeError(f"dtype {values.dtype}")
        found[present] = values[present].astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} must hold numbers: {error}") from error
    return found


def is_indicator(table) -> bool:
    """Whether y holds 0, 1 and missing entries only."""
    return all(_is_binary(column) for column in table.columns)


def _is_binary(values):
    if values.dtype.kind not in "biufO":
        return False
    present = values[~find_missing(values)]
    if present.dtype.kind == "O" and not _are_numbers(present):
        return False
    return bool(np.isin(present.astype(np.float64), (0, 1)).all())
