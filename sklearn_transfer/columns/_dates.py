"""Dates that are written as text."""

import datetime
import re

_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S", "T%H:%M:%S.%f", " %I:%M %p")
_DAY_FIRST = ("%d/%m/%Y", "%d-%m-%Y", "%d/%m/%y", "%d-%m-%y", "%d %m %Y")
_MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%m-%d-%y", "%m %d %Y")
_PLAIN = (
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%d %B %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%B %d, %Y",
    "%b %d, %Y",
    "%B %d %Y",
    "%b %d %Y",
    "%a, %d %b %Y",
    "%A, %d %B %Y",
    "%B %Y",
    "%b %Y",
    "%Y-%m",
    "%m/%Y",
)
ISO, DIGITS = "iso", "%Y%m%d"
_LIKE_DATE = re.compile(r"\d.*[-/.: ].*\d|[A-Za-z]{3,9}\.? \d{4}|\d{8}")
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?\Z")
_N_FIRST, _N_TRIED = 6, 50
_LONGEST = 40


class UnclearOrderError(ValueError):
    """Day and month of dates such as 03/04/2024 cannot be told apart."""


def parse_date(text, layout):
    """Return the date and time of a text in UTC, without a zone; None if it is no date."""
    text = text.strip()
    try:
        if layout == ISO:
            date = datetime.datetime.fromisoformat(text) if _ISO.match(text) else None
        else:
            date = datetime.datetime.strptime(text, layout)
    except ValueError:
        return None
    return None if date is None else convert_to_utc(date)


def convert_to_utc(date):
    """Return a date and time in UTC, without a zone; the first or last where there is none."""
    if date.tzinfo is None:
        return date
    try:
        return date.astimezone(datetime.UTC).replace(tzinfo=None)
    except (OverflowError, ValueError):  # the latter from pandas
        is_early = date.year < 1000
        return datetime.datetime.min if is_early else datetime.datetime.max


def find_layout(texts):
    """Return how most of the texts are written as dates, and how many; None and 0 if none.

    Parameters
    ----------
    texts : list of str
        Distinct entries.

    Raises
    ------
    UnclearOrderError
        If the day may be the month, and the month the day.
    """
    tried = texts[:: max(1, len(texts) // _N_TRIED)]
    if not any(len(text) <= _LONGEST and _LIKE_DATE.search(text) for text in tried):
        return None, 0
    possible = [layout for layout in _list_layouts() if _count_dates(tried[:_N_FIRST], layout)]
    counts = {layout: _count_dates(tried, layout) for layout in possible}
    if not counts:
        return None, 0
    best = max(counts, key=counts.get)
    if counts[best] < 0.5 * len(tried):
        return None, 0
    found = _count_dates(texts, best)
    other = _find_other_order(best)
    if other is not None:
        n_other = _count_dates(texts, other)
        if n_other == found:
            raise UnclearOrderError(texts[0])
        best, found = (other, n_other) if n_other > found else (best, found)
    return best, found


def is_date(text):
    """Whether a text is a date in any of the layouts."""
    try:
        return find_layout([text])[1] == 1
    except UnclearOrderError:
        return True


def _list_layouts():
    yield ISO
    yield DIGITS
    for date in (*_PLAIN, *_DAY_FIRST, *_MONTH_FIRST):
        yield from (date + time for time in _TIMES)


def _find_other_order(layout):
    """Return the layout with day and month exchanged, or None where these are clear."""
    for first, second in (*zip(_DAY_FIRST, _MONTH_FIRST, strict=True),):
        if layout.startswith(first):
            return layout.replace(first, second, 1)
        if layout.startswith(second):
            return layout.replace(second, first, 1)
    return None


def _count_dates(texts, layout):
    if layout != DIGITS:
        return sum(parse_date(text, layout) is not None for text in texts)
    dates = [
        parse_date(text, layout) for text in texts if re.fullmatch(r"\d{8}", text.strip())
    ]
    return sum(date is not None and 1900 <= date.year < 2100 for date in dates)
