"""Numbers, categories and dates of tables, against scikit-learn, pandas and skrub."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import MultimodalVectorizer
from sklearn_transfer.columns._dates import UnclearOrderError, find_layout, parse_date
from sklearn_transfer.columns._plain import AsNumbers, AsWords, DateParts, FillMissing


def test_numbers_equal_those_of_an_imputer_and_a_scaler():
    X = np.random.default_rng(0).normal(3, 2, (30, 4))
    X[::4, 1], X[::7, 3] = np.nan, np.nan
    marks = np.isnan(X[:, [1, 3]])
    scaler = StandardScaler().fit(X)
    filled = SimpleImputer().fit_transform(X)
    expected = np.hstack([scaler.transform(filled), marks])
    np.testing.assert_allclose(MultimodalVectorizer().fit_transform(X), expected, atol=1e-12)


def test_columns_that_are_missing_together_share_a_mark():
    X = np.array([[np.nan, np.nan, 1.0], [2.0, 3.0, np.nan], [1.0, 1.0, 1.0]])
    filler = FillMissing().fit(X)
    names = ["a", "b", "c", "a_missing", "c_missing"]
    assert filler.get_feature_names_out(["a", "b", "c"]).tolist() == names
    assert filler.transform(X)[:, 3:].tolist() == [[1, 0], [0, 1], [0, 0]]


ONE_AND_HALF = [
    pd.Series(["1.5", " 2 ", "N/A"]),
    pd.Series([1.5, 2, None]),
    pd.Series([1.5, 2, None], dtype="Float64"),
    pd.Series([1.5, "2", None], dtype=object),
    pd.Series([decimal.Decimal("1.5"), 2, None], dtype=object),
    pl.Series(["1.5", "2", None]),
    pl.Series([1.5, 2, None]),
    pl.Series([datetime.timedelta(seconds=1.5), datetime.timedelta(seconds=2), None]),
    pd.Series(pd.to_timedelta([1.5, 2, None], unit="s")),
]


@pytest.mark.parametrize("case", range(len(ONE_AND_HALF)))
def test_numbers_are_read_from_columns_of_any_type(case):
    numbers = AsNumbers(["a"]).fit_transform(ONE_AND_HALF[case].to_frame())
    np.testing.assert_array_equal(numbers, [[1.5], [2.0], [np.nan]])


def test_other_entries_among_numbers_are_missing_with_a_warning():
    fitted = AsNumbers(["age"]).fit(pd.DataFrame({"age": [1, 2]}))
    message = "In column 'age', 1 of 3 entries are no numbers.*first 'old' in row 1"
    with pytest.warns(UserWarning, match=message):
        numbers = fitted.transform(pd.DataFrame({"age": ["1", "old", None]}))
    np.testing.assert_array_equal(numbers, [[1], [np.nan], [np.nan]])


def test_whole_numbers_are_the_same_category_as_floats():
    table = pd.DataFrame({"a": [1, 2, None], "b": ["x ", None, "x"]})
    words = AsWords().fit_transform(table)
    assert words.tolist() == [["1", "x"], ["2", "missing"], ["missing", "x"]]


def test_some_words_for_missing_are_categories():
    table = pd.DataFrame({"country": ["DE", "NA", None, "n/a", "none"]})
    assert AsWords().fit_transform(table)[:, 0].tolist() == [
        "DE",
        "NA",
        "missing",
        "missing",
        "none",
    ]


def test_infinity_is_named_with_its_column():
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, np.inf]})
    with pytest.raises(ValueError, match="Column 'b' has infinity in row 1"):
        MultimodalVectorizer().fit(table)


def test_a_column_without_a_number_is_zero_and_silent():
    specific = [("numeric", ["a"]), ("datetime", ["b"])]
    table = pd.DataFrame({"a": [None, None], "b": [None, None]})
    vectorizer = MultimodalVectorizer(specific_transformers=specific)
    assert vectorizer.fit_transform(table).tolist() == [[0, 1, 0, 1]] * 2


def test_numbers_can_be_passed_through_to_trees():
    table = pd.DataFrame({"a": ["1", None, "3"], "b": [True, False, None]})
    found = MultimodalVectorizer(numeric="passthrough").fit_transform(table)
    np.testing.assert_array_equal(found, [[1, 1], [np.nan, 0], [3, np.nan]])


DATES = ["2024-02-29 13:45:10", None, "1969-12-31 23:59:59", "2001-01-01 00:00:00"]


@pytest.mark.parametrize("make", [list, pd.to_datetime], ids=["texts", "dates"])
def test_parts_of_dates_equal_those_of_pandas(make):
    table = pd.DataFrame({"d": make(DATES)})
    parts = DateParts(["d"]).fit(table)
    dates = pd.to_datetime(pd.Series(DATES))
    accessor = dates.dt
    expected = {
        "year": accessor.year,
        "month": accessor.month,
        "day": accessor.day,
        "weekday": accessor.day_of_week + 1,
        "hour": accessor.hour,
        "minute": accessor.minute,
        "second": accessor.second,
        "total_seconds": (dates - pd.Timestamp(0)).dt.total_seconds(),
    }
    assert parts.parts_ == [list(expected)]
    np.testing.assert_array_equal(
        parts.transform(table), np.column_stack([*expected.values()])
    )


def test_parts_of_dates_equal_those_of_skrub():
    skrub = pytest.importorskip("skrub")
    dates = pd.Series(pd.to_datetime(DATES), name="d")
    encoder = skrub.DatetimeEncoder(resolution="second", add_weekday=True)
    theirs = encoder.fit_transform(dates)
    ours = pd.DataFrame(
        DateParts(["d"]).fit_transform(dates.to_frame()),
        columns=DateParts(["d"]).fit(dates.to_frame()).get_feature_names_out(["d"]),
    )
    assert set(theirs.columns) == set(ours.columns)
    np.testing.assert_allclose(ours[theirs.columns].to_numpy(), theirs.to_numpy(), rtol=1e-6)


def test_parts_that_do_not_vary_are_left_out():
    parts = DateParts(["d"]).fit(pd.DataFrame({"d": ["2024-01-05", "2024-01-12"]}))
    assert parts.get_feature_names_out(["d"]).tolist() == ["d_day", "d_total_seconds"]


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("2024-03-15", "iso"),
        ("2024-03-15T13:30:00", "iso"),
        ("2024-03-15 13:30:00Z", "iso"),
        ("2024-03-15 15:30+02:00", "iso"),
        ("20240315", "%Y%m%d"),
        ("2024/03/15", "%Y/%m/%d"),
        ("15/03/2024", "%d/%m/%Y"),
        ("03/15/2024 01:30 PM", "%m/%d/%Y %I:%M %p"),
        ("15.03.24", "%d.%m.%y"),
        ("15 March 2024", "%d %B %Y"),
        ("Mar 15, 2024", "%b %d, %Y"),
        ("Fri, 15 Mar 2024 13:30:00", "%a, %d %b %Y %H:%M:%S"),
    ],
)
def test_usual_layouts_are_found(text, layout):
    assert find_layout([text]) == (layout, 1)
    date = parse_date(text, layout)
    assert date.date() == datetime.date(2024, 3, 15)
    assert date.hour in (0, 13)
    assert date.tzinfo is None


@pytest.mark.parametrize(
    "text", ["15", "3.14", "a1-b2", "2024-13-45", "1/2", "about 2020", ""]
)
def test_other_texts_are_no_dates(text):
    assert find_layout([text]) == (None, 0)


def test_an_unclear_order_of_day_and_month_is_refused():
    with pytest.raises(UnclearOrderError, match="03/04/2024"):
        find_layout(["03/04/2024", "05/06/2024"])
    assert find_layout(["03/04/2024", "25/06/2024"]) == ("%d/%m/%Y", 2)
    with pytest.raises(ValueError, match="Column 'd' holds dates such as '03/04/2024' whose"):
        DateParts(["d"]).fit(pd.DataFrame({"d": ["03/04/2024"]}))


def test_dates_of_another_layout_are_missing_with_a_warning():
    parts = DateParts(["d"]).fit(pd.DataFrame({"d": ["2024-01-05", "2024-02-12"]}))
    with pytest.warns(UserWarning, match="In column 'd', 1 of 2 entries are no dates"):
        found = parts.transform(pd.DataFrame({"d": ["2024-01-05", "5.1.2024"]}))
    assert np.isnan(found).all(axis=1).tolist() == [False, True]


def test_dates_are_read_from_iso_texts_if_they_were_dates_in_fit():
    days = ["2024-01-05", "2024-02-12"]
    parts = DateParts(["d"]).fit(pd.DataFrame({"d": pd.to_datetime(days)}))
    expected = parts.transform(pd.DataFrame({"d": pd.to_datetime(days)}))
    np.testing.assert_array_equal(parts.transform(pd.DataFrame({"d": days})), expected)


def test_dates_with_a_zone_are_taken_in_utc():
    times = pd.date_range("2024-01-01 00:30", periods=3, freq="D", tz="Europe/Berlin")
    text = pd.DataFrame({"d": [time.isoformat() for time in times]})
    dates = pd.DataFrame({"d": times})
    seconds = [DateParts(["d"]).fit_transform(table)[:, -1] for table in (text, dates)]
    np.testing.assert_array_equal(*seconds)
    assert seconds[0][0] == pd.Timestamp("2023-12-31 23:30").timestamp()


def test_tables_of_polars_have_the_same_parts():
    table = pd.DataFrame({"d": pd.to_datetime(DATES)})
    np.testing.assert_array_equal(
        DateParts(["d"]).fit_transform(pl.from_pandas(table)),
        DateParts(["d"]).fit_transform(table),
    )
