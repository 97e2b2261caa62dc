"""Access to the columns of tables of pandas, polars, pyarrow and NumPy, by position."""

import numbers
from contextlib import suppress

import numpy as np
from sklearn.utils import check_array

from sklearn_transfer._modalities.contents import is_missing

# Strings that stand for a missing value, as in skrub.
_NULL_STRINGS = frozenset(
    [
        *["", "?", "...", "null", "NULL", "None", "none", "nan", "NaN", "-nan", "-NaN", "NaT"],
        *["NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "<NA>"],
        *["1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"],
    ]
)
# Of these, categories: Namibia, and a level such as that of pain.
_NULL_CATEGORIES = frozenset(["NA", "None", "none"])


def as_table(X):
    """Return X as a table of pandas or polars, or an array with two dimensions.

    Raises ValueError or TypeError for anything else.
    """
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):
        raise ValueError(
            f"X is a lazy {type(X).__name__}, and scikit-learn cannot select its rows; pass"
            " X.collect()"
        )
    if hasattr(X, "compute") and hasattr(X, "columns"):
        raise ValueError(
            f"X is a lazy {type(X).__name__}, and scikit-learn cannot select its rows; pass"
            " X.compute()"
        )
    if hasattr(X, "column_names") and hasattr(X, "to_pandas"):  # pyarrow
        X = X.to_pandas()
    if is_frame(X):
        if min(X.shape) == 0:
            raise ValueError(
                f"X is a table of shape {X.shape}, with 0 sample(s) or 0 feature(s), while a"
                " minimum of 1 is required"
            )
        return X
    if isinstance(X, (list, tuple)):
        X = _convert_rows(X)
    dtype = None if getattr(getattr(X, "dtype", None), "kind", "O") in "OUSMm" else "numeric"
    return check_array(X, dtype=dtype, ensure_all_finite="allow-nan" if dtype else False)


def _convert_rows(X):
    """Return rows as an array of objects, unless all entries are numbers."""
    with suppress(ValueError):
        objects = np.array(X, dtype=object)
        if objects.ndim == 2 and not all(
            isinstance(value, numbers.Number) for value in objects.ravel()
        ):
            return objects
    return X


def is_frame(X):
    """Whether X is a table of pandas or polars."""
    return hasattr(X, "columns") and getattr(X, "ndim", 2) == 2 and hasattr(X, "shape")


def list_names(X):
    """Return the names of the columns of a frame, or their positions in an array."""
    return list(X.columns) if is_frame(X) else list(range(X.shape[1]))


def make_unique(names):
    """Return names as distinct strings: repeated ones end in _2, _3 and so on."""
    names = [str(name) for name in names]
    found, taken = [], set(names)
    for name in names:
        number, unique = 2, name
        if name in found:
            while (unique := f"{name}_{number}") in taken:
                number += 1
        taken.add(unique)
        found.append(unique)
    return found


def replace_names(X, names):
    """Return a frame with other names, which shares its data; arrays are returned as is."""
    # Names in polars are distinct strings already.
    return X.set_axis(names, axis=1) if hasattr(X, "set_axis") else X


def take_column(X, position):
    """Return one column of a table as a Series or an array."""
    if hasattr(X, "iloc"):
        return X.iloc[:, position]
    return X.to_series(position) if is_frame(X) else X[:, position]


def split_columns(X):
    """Return all columns of a table, a Series or an array."""
    if getattr(X, "ndim", 2) == 1:
        return [X]
    return [take_column(X, position) for position in range(X.shape[1])]


def list_values(column):
    """Return the entries of a column as Python objects."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "Mm":
        column = column.astype(f"{column.dtype.kind}8[us]")  # others are listed as integers
    if hasattr(column, "to_list"):
        return column.to_list()
    return column.tolist() if hasattr(column, "tolist") else list(column)


def name_dtype(column):
    """Return "number", "complex", "bool", "date", "duration", "category" or "object"."""
    dtype = column.dtype
    name = str(dtype).lower()
    if name.startswith(("categorical", "category", "enum")):
        return "category"
    if name.startswith("period"):
        return "date"
    kind = getattr(dtype, "kind", None)
    if kind is None:  # polars
        if dtype.is_numeric():
            return "number"
        for start in ("bool", "date", "duration"):
            if name.startswith(start):
                return start
        return "object"
    kinds = {"i": "number", "u": "number", "f": "number", "c": "complex", "b": "bool"}
    return {**kinds, "M": "date", "m": "duration"}.get(kind, "object")


def is_null(value):
    """Whether a value is missing, or a string that stands for a missing value."""
    if isinstance(value, str):
        return value.strip() in _NULL_STRINGS
    return is_missing(value)


def is_null_category(value):
    """Whether a value is missing among categories, where some words have a meaning."""
    is_word = isinstance(value, str) and value.strip() in _NULL_CATEGORIES
    return not is_word and is_null(value)


def pick_evenly(values, most):
    """Return at most so many of the values, evenly spread over all of them."""
    if len(values) <= most:
        return list(values)
    rows = np.linspace(0, len(values) - 1, most).round().astype(int)
    return [values[row] for row in rows]
