"""Numbers, categories and dates as columns of numbers."""

import datetime
import warnings
from contextlib import suppress

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._validation import shorten
from sklearn_transfer.columns._dates import (
    ISO,
    UnclearOrderError,
    convert_to_utc,
    find_layout,
    parse_date,
)
from sklearn_transfer.columns._frames import (
    is_null,
    is_null_category,
    list_values,
    name_dtype,
    split_columns,
)
from sklearn_transfer.columns._strings import parse_number

_MICROSECONDS = 1_000_000


class AsNumbers(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Convert columns to float64, with durations in seconds and NaN for missing entries.

    Parameters
    ----------
    columns : list, default=()
        What messages call the columns.
    """

    def __init__(self, columns=()):
        self.columns = columns

    def fit(self, X, y=None):
        """Do nothing but count the columns."""
        self.n_features_in_ = len(split_columns(X))
        return self

    def transform(self, X):
        """Return the numbers."""
        if isinstance(X, np.ndarray) and X.dtype.kind in "fiub":
            return X.astype(np.float64)
        columns = split_columns(X)
        output = np.empty((len(X), len(columns)))
        for position, column in enumerate(columns):
            output[:, position] = self._convert(column, position)
        self._check_finite(output)
        return output

    def _check_finite(self, numbers):
        rows, positions = np.nonzero(np.isinf(numbers))
        if len(rows):
            position = positions[0]
            name = self.columns[position] if position < len(self.columns) else position
            raise ValueError(
                f"Column {shorten(name, 60)} has infinity in row {rows[0]}: give a number, or"
                " NaN for a missing entry"
            )

    def _convert(self, column, position):
        if name_dtype(column) in ("number", "bool"):
            with suppress(
                TypeError, ValueError
            ):  # of columns with missing values of their own
                return np.asarray(column, dtype=np.float64)
        values = list_values(column)
        numbers = [_read_number(value) for value in values]
        bad = [row for row, n in enumerate(numbers) if n is None and not is_null(values[row])]
        if bad:
            _warn_of_unread(bad, values, self.columns, position, "numbers")
        return [np.nan if number is None else number for number in numbers]


def _read_number(value):
    """Return a number, in seconds for a duration, or None."""
    if isinstance(value, str):
        return parse_number(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if is_null(value):
        return None
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        return None


def _warn_of_unread(rows, values, columns, position, what):
    name = columns[position] if position < len(columns) else position
    warnings.warn(
        f"In column {shorten(name, 60)}, {len(rows)} of {len(values)} entries are no {what}"
        f" and count as missing, first {shorten(values[rows[0]], 60)} in row {rows[0]}",
        UserWarning,
        stacklevel=2,
    )


class NumberScaler(StandardScaler):
    """Scaler that has no warning about columns in which all entries are missing."""

    def fit(self, X, y=None):
        """Learn means and standard deviations."""
        with np.errstate(invalid="ignore"):
            return super().fit(X, y)


class FillMissing(TransformerMixin, BaseEstimator):
    """Put 0 in the place of NaN, and mark the rows where a column had NaN in `fit`.

    Columns that are missing in the same rows share a mark.
    """

    def fit(self, X, y=None):
        """Learn which columns have missing entries."""
        self.n_features_in_ = X.shape[1]
        missing = np.isnan(X)
        patterns = {}
        for position in np.flatnonzero(missing.any(axis=0)):
            patterns.setdefault(missing[:, position].tobytes(), position)
        self.marked_ = np.array(list(patterns.values()), dtype=int)
        return self

    def transform(self, X):
        """Return filled columns, then marks."""
        check_is_fitted(self)
        missing = np.isnan(X)
        return np.hstack([np.where(missing, 0.0, X), missing[:, self.marked_]])

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns, and of marks with "missing"."""
        names = list(input_features)
        marks = [f"{names[position]}_missing" for position in self.marked_]
        return np.asarray(names + marks, dtype=object)


class AsWords(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Convert columns to an array of strings, with "missing" for missing entries.

    Whole numbers are written alike, whether they are stored as integers or as floats.
    """

    def fit(self, X, y=None):
        """Do nothing but count the columns."""
        self.n_features_in_ = len(split_columns(X))
        return self

    def transform(self, X):
        """Return the strings."""
        columns = split_columns(X)
        output = np.empty((len(X), len(columns)), dtype=object)
        for position, column in enumerate(columns):
            words = [write_category(value) for value in list_values(column)]
            output[:, position] = ["missing" if word is None else word for word in words]
        return output


def write_category(value):
    """Return the word by which a category is known, or None for a missing entry."""
    if is_null_category(value):
        return None
    if isinstance(value, float | np.floating) and value.is_integer():
        value = int(value)
    return str(value).strip()


class DateParts(TransformerMixin, BaseEstimator):
    """Year, month, day, weekday, hour, minute, second and seconds since 1970 of dates.

    Parameters
    ----------
    columns : list, default=()
        What messages call the columns.
    layouts : list of str or None, default=()
        How dates are written that are texts; None is found out.

    Attributes
    ----------
    parts_ : list of list of str
        Parts of each column: those that vary, and the seconds.
    """

    def __init__(self, columns=(), layouts=()):
        self.columns = columns
        self.layouts = layouts

    def fit(self, X, y=None):
        """Learn how dates are written, and which parts vary."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X, y=None):
        """Fit, and return the parts."""
        columns = split_columns(X)
        self.n_features_in_ = len(columns)
        layouts = self.layouts if len(self.layouts) else [None] * len(columns)
        self.layouts_ = [
            _find_layout(list_values(column), layout, name)
            for column, layout, name in zip(columns, layouts, self.columns, strict=True)
        ]
        parts = self._read_parts(columns)
        self.parts_ = [
            [
                name
                for name, values in found.items()
                if name == "total_seconds" or _has_several(values)
            ]
            for found in parts
        ]
        return self._join_parts(parts)

    def transform(self, X):
        """Return the parts; those of missing dates are NaN."""
        check_is_fitted(self)
        return self._join_parts(self._read_parts(split_columns(X)))

    def _read_parts(self, columns):
        return [
            compute_date_parts(self._read_dates(list_values(column), position))
            for position, column in enumerate(columns)
        ]

    def _read_dates(self, values, position):
        dates = [read_date(value, self.layouts_[position]) for value in values]
        bad = [row for row, d in enumerate(dates) if d is None and not is_null(values[row])]
        if bad:
            _warn_of_unread(bad, values, self.columns, position, "dates")
        return np.array(dates, dtype="datetime64[us]")

    def _join_parts(self, parts):
        pairs = zip(self.parts_, parts, strict=True)
        return np.column_stack([found[name] for kept, found in pairs for name in kept])

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns with those of the parts."""
        pairs = zip(input_features, self.parts_, strict=True)
        names = [f"{name}_{part}" for name, parts in pairs for part in parts]
        return np.asarray(names, dtype=object)


def _find_layout(values, layout, column):
    """Return how dates are written in a column that was not examined before."""
    texts = [value for value in values if isinstance(value, str) and not is_null(value)]
    if layout is not None or not texts:
        return layout
    try:
        return find_layout(list(dict.fromkeys(texts)))[0]
    except UnclearOrderError as error:
        raise ValueError(
            f"Column {shorten(column, 60)} holds dates such as {shorten(str(error), 40)} whose"
            " day and month cannot be told apart; convert them to dates first"
        ) from error


def read_date(value, layout):
    """Return a date and time in UTC without a zone, or None."""
    if isinstance(value, str):
        # Dates that were objects in `fit` are texts once they are read from a file.
        return parse_date(value, ISO if layout is None else layout)
    if is_null(value):
        return None
    value = getattr(value, "start_time", value)  # of a period of pandas
    if isinstance(value, datetime.datetime):
        return convert_to_utc(value)
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[us]").item()
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    return None


def compute_date_parts(dates):
    """Return the parts of an array of datetime64[us] by name, as floats; NaT gives NaN."""
    missing = np.isnat(dates)
    dates = np.where(missing, np.datetime64(0, "us"), dates)
    days, months = dates.astype("datetime64[D]"), dates.astype("datetime64[M]")
    years, seconds = dates.astype("datetime64[Y]"), dates - days
    first_thursday = 4  # 1 January 1970, if Monday is 1
    parts = {
        "year": years.astype(np.int64) + 1970,
        "month": (months - years).astype(np.int64) + 1,
        "day": (days - months).astype(np.int64) + 1,
        "weekday": (days.astype(np.int64) + first_thursday - 1) % 7 + 1,
        "hour": seconds // np.timedelta64(1, "h"),
        "minute": seconds // np.timedelta64(1, "m") % 60,
        "second": seconds // np.timedelta64(1, "s") % 60,
        "total_seconds": dates.astype(np.int64) / _MICROSECONDS,
    }
    return {name: np.where(missing, np.nan, values) for name, values in parts.items()}


def _has_several(values):
    present = values[~np.isnan(values)]
    return len(present) > 0 and bool(np.any(present != present[0]))
