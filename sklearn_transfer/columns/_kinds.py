"""Kinds of columns, and records of what was decided about them."""

from typing import NamedTuple

KINDS = ("image", "text", "audio", "numeric", "categorical", "datetime", "drop")
# Categories that are encoded one by one; more of them by the n-grams of their letters.
MOST_CATEGORIES = 40


class Decision(NamedTuple):
    """Kind of a column, the reason, and for dates how they are written."""

    kind: str
    reason: str
    layout: str | None = None


class Doubt(NamedTuple):
    """Reason why a column can be taken in several ways, and the kinds it may have."""

    reason: str
    kinds: tuple


class Column(NamedTuple):
    """One column of a table and what it was taken for.

    Parameters
    ----------
    name : str or int
        Name of the column, or its position in an array.
    kind : str
        "image", "text", "audio", "numeric", "categorical", "datetime", "drop", or "specific"
        for one with a transformer of its own.
    reason : str
        Why.
    """

    name: object
    kind: str
    reason: str

    def __str__(self):
        return f"{self.name}: {self.kind} ({self.reason})"
