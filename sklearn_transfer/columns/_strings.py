"""Decisions about columns of strings: numbers, dates, categories, identifiers or texts."""

import math
import re

import numpy as np

from sklearn_transfer._validation import shorten
from sklearn_transfer.columns._dates import (
    DIGITS,
    UnclearOrderError,
    find_layout,
    is_date,
    parse_date,
)
from sklearn_transfer.columns._frames import pick_evenly
from sklearn_transfer.columns._kinds import MOST_CATEGORIES, Decision, Doubt

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_CODE = re.compile(r"0\d+")
# Numbers with units, a currency, separators of thousands or a decimal comma, and telephones.
# Nothing that was matched is given up again, so that long strings take no longer.
_MEASURE = re.compile(
    r"(?:[A-Z]{3}\s)?[^\w\s]{0,3}\s?[+-]?"
    r"(?:\d[\d.,:' \u00a0]*+[^\W\d_]{0,10}+[^\w\s]{0,2}+[ \u00a0]*+){1,4}+"
)
_MARKED = re.compile(r"[^\w\s]{0,3}\s?[+-]?\d[\d.,' \u00a0]*\s?[%\u20ac$\xa3\xa5]?")
_RANDOM = re.compile(
    r"\{?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\}?|(?:0x)?[0-9a-f]{16,128}", re.I
)
_N_COUNTED = 1000
_N_TRIED = 50
_FEWEST_IDENTIFIERS, _FEWEST_MARKED = 8, 12
_WORDS_OF_TEXT, _MOST_REPEATED = 3, 0.5
# Scripts that put no spaces between words, which have about two characters there.
_WITHOUT_SPACES = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]"
)


def parse_number(text):
    """Return the number that a text holds, or None; one too large for a float is none."""
    text = text.strip()
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def decide_strings(texts):
    """Return the decision, or the doubt, about a column by its strings.

    Parameters
    ----------
    texts : list of str
        All entries that are present.
    """
    distinct = list(dict.fromkeys(texts))
    n, share = len(texts), len(distinct) / len(texts)
    few = len(distinct) <= MOST_CATEGORIES and (share <= _MOST_REPEATED or len(distinct) == 1)
    found = _decide_dates(distinct, few)
    if found is None:
        found = _decide_numbers(distinct, few, share)
    if found is None and share > 0.5 and all(map(_RANDOM.fullmatch, distinct)):
        found = Decision("drop", f"random identifiers such as {shorten(distinct[0], 40)}")
    if found is None:
        found = _decide_measures(distinct, few)
    return _decide_words(distinct, few, share, n) if found is None else found


def _decide_dates(distinct, few):
    try:
        layout, n_dates = find_layout(distinct)
    except UnclearOrderError as error:
        return Doubt(
            f"holds dates such as {shorten(str(error), 40)} whose day and month cannot be told"
            " apart; convert them to dates first",
            ("drop", "categorical"),
        )
    if n_dates == len(distinct) and (layout != DIGITS or len(distinct) >= 3):
        seen = f"{n_dates} distinct dates such as {shorten(distinct[0], 40)}"
        return Decision("datetime", seen, layout)
    if n_dates < len(distinct):
        found = _find_second_layout(distinct, layout)
        if found is not None:
            return found
    if n_dates >= 0.8 * len(distinct) and not few and layout != DIGITS:
        other = next(text for text in distinct if parse_date(text, layout) is None)
        return Doubt(
            f"holds {n_dates} distinct dates and {len(distinct) - n_dates} other entries such"
            f" as {shorten(other, 40)}",
            ("datetime", "categorical"),
        )
    return None


def _find_second_layout(distinct, layout):
    """Return the doubt about dates that are written in several ways, or None."""
    if not all(map(is_date, pick_evenly(distinct, _N_TRIED))):
        return None
    if layout is None:
        others = [text for text in distinct if _find_shape(text) != _find_shape(distinct[0])]
        first = distinct[0]
    else:
        others = [text for text in distinct if parse_date(text, layout) is None]
        first = next(text for text in distinct if parse_date(text, layout) is not None)
    other = others[0] if others else distinct[-1]
    return Doubt(
        f"holds dates that are written in several ways, such as {shorten(first, 40)} and"
        f" {shorten(other, 40)}; write them in one way, or convert them to dates first",
        ("drop", "categorical"),
    )


def _decide_numbers(distinct, few, share):
    parsed = [parse_number(text) is not None for text in distinct]
    n_numbers = sum(parsed)
    if n_numbers == len(distinct):
        code = next((text for text in distinct if _CODE.fullmatch(text.strip())), None)
        if code is None:
            return Decision(
                "numeric", f"numbers written as text, such as {shorten(distinct[0], 40)}"
            )
        if share <= _MOST_REPEATED:
            return Decision(
                "categorical", f"digits with leading zeros, such as {shorten(code, 40)}"
            )
        return Doubt(
            f"holds digits with leading zeros, such as {shorten(code, 40)}, which may be"
            " identifiers, categories or numbers",
            ("drop", "categorical", "numeric"),
        )
    if n_numbers >= 0.8 * len(distinct) and not few:
        other = distinct[parsed.index(False)]
        return Doubt(
            f"holds {n_numbers} distinct numbers and {len(distinct) - n_numbers} other entries"
            f" such as {shorten(other, 40)}",
            ("numeric", "categorical"),
        )
    return None


def _decide_measures(distinct, few):
    """Return the doubt about numbers with units or separators, or None."""
    # A few measures that repeat may be categories, but a dozen of decimal commas are numbers.
    if few and len(distinct) < _FEWEST_MARKED:
        return None
    if not all(map((_MARKED if few else _MEASURE).fullmatch, distinct)):
        return None
    shapes = set(map(_find_shape, distinct))
    if len(shapes) > 0.2 * len(distinct) + 4:
        return None
    return Doubt(
        "holds numbers with units, separators or other marks, such as"
        f" {shorten(distinct[0], 40)}; if they measure something, convert them to numbers",
        ("drop", "categorical"),
    )


def _find_shape(text):
    """Return a text with 0 for each number."""
    return re.sub(r"\d+", "0", text)


def _decide_words(distinct, few, share, n):
    counted = pick_evenly(distinct, _N_COUNTED)
    n_words = np.mean([_count_words(text) for text in counted])
    seen = f"{len(distinct)} distinct strings in {n} rows, {n_words:.1f} words on average"
    ends = {text.strip()[0] + text.strip()[-1] for text in counted}
    if not few and ends <= {"{}", "[]"}:
        return Doubt(
            f"holds records such as {shorten(distinct[0], 40)}; give their parts as columns",
            ("drop", "text"),
        )
    if n_words >= _WORDS_OF_TEXT and not few:
        return Decision("text", seen)
    is_code = [" " not in text and any(map(str.isdigit, text)) for text in counted]
    if len(distinct) >= _FEWEST_IDENTIFIERS and share >= 0.95 and np.mean(is_code) > 0.9:
        return Doubt(
            f"holds codes such as {shorten(distinct[0], 40)}, nearly all different, which may"
            " be identifiers or categories",
            ("drop", "categorical"),
        )
    return Decision("categorical", seen)


def _count_words(text):
    return len(text.split()) + len(_WITHOUT_SPACES.findall(text)) / 2
