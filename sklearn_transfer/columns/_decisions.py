"""Decision of the kind of each column, from its dtype and a sample of its entries."""

import datetime
import decimal
import numbers
import os
import re
import uuid
from collections import Counter
from collections.abc import Mapping

import numpy as np

from sklearn_transfer._modalities.contents import describe_sample
from sklearn_transfer._validation import shorten
from sklearn_transfer.columns._contents import identify_sample
from sklearn_transfer.columns._frames import is_null, list_values, name_dtype, pick_evenly
from sklearn_transfer.columns._kinds import Decision, Doubt
from sklearn_transfer.columns._strings import decide_strings, parse_number

# Entries of a column whose files are opened.
N_SAMPLED = 20
_FEWEST_ROWS = 20
_NAMES_OF_IDENTIFIERS = ("id", "uuid", "guid", "uid", "index", "rowid", "row_id", "unnamed: 0")
_NAMES_OF_CODES = frozenset(
    [
        *[
            "zip",
            "zipcode",
            "zip_code",
            "postcode",
            "postal_code",
            "postalcode",
            "plz",
            "fips",
        ],
        *["phone", "phone_number", "telephone", "isbn", "ean", "upc", "gtin", "ssn"],
    ]
)


def decide_column(column, name=None):
    """Return the `Decision`, or the `Doubt`, about a column.

    Parameters
    ----------
    column : Series or array
        The column.
    name : str, default=None
        Its name, which tells identifiers from other whole numbers.

    Raises
    ------
    ValueError
        If it holds complex numbers.
    """
    kind = name_dtype(column)
    if kind == "complex":
        raise ValueError(
            f"Complex data not supported, column {shorten(name, 60)} has {column.dtype}"
        )
    values = [value for value in list_values(column) if not is_null(value)]
    if not values:
        return Decision("drop", "all entries are missing")
    if kind == "number":
        return _decide_whole_numbers(values, name) or Decision("numeric", f"{column.dtype}")
    if kind in ("bool", "duration"):
        return Decision("numeric", f"{column.dtype}")
    if kind == "date":
        return Decision("datetime", f"{column.dtype}")
    if kind == "category":
        is_text = all(isinstance(value, str) for value in values)
        found = _decide_media(pick_evenly(values, N_SAMPLED)) if is_text else None
        if found is not None:
            return found
        n = len(set(values))
        return Decision("categorical", f"{column.dtype}".partition("(")[0] + f", {n} values")
    return decide_objects(values, name)


def _decide_whole_numbers(values, name):
    """Return what is decided about numbers that only count or identify rows, else None."""
    names_rows, names_codes = _is_name_of_identifiers(name), _is_name_of_codes(name)
    are_different = len(values) > 1 and len(set(values)) == len(values)
    if not (are_different or names_rows or names_codes):
        return None
    if not all(map(_is_whole, values)):
        return None
    if names_rows and are_different:
        return Decision(
            "drop", f"different whole numbers in a column named {shorten(name, 60)}"
        )
    if names_rows or names_codes:
        if set(values) <= {0, 1}:
            return None
        return Doubt(
            "holds whole numbers that its name calls identifiers or codes, which have no size",
            ("categorical", "drop", "numeric"),
        )
    least, most = int(min(values)), int(max(values))
    is_dense = most - least + 1 <= 1.25 * len(values)
    if name is not None and len(values) >= _FEWEST_ROWS and is_dense:
        return Doubt(
            f"holds different whole numbers from {least} to {most}, which may count the rows"
            " or measure something",
            ("drop", "numeric"),
        )
    return None


def _is_name_of_identifiers(name):
    """Whether a name is that of identifiers of rows, here or in another table."""
    word = str(name).strip().lower()
    is_short = word in _NAMES_OF_IDENTIFIERS or str(name).endswith(("Id", "ID"))
    return is_short or word.endswith(("_id", " id", "-id"))


def _is_name_of_codes(name):
    """Whether a name is that of codes written in digits."""
    return re.sub(r"[\s-]+", "_", str(name).strip().lower()) in _NAMES_OF_CODES


def _is_whole(value):
    try:
        return float(value).is_integer()
    except OverflowError:  # of an int beyond all floats
        return False


def decide_objects(values, name=None):
    """Return the decision, or the doubt, about entries that are present, of any type."""
    types = Counter(map(_name_type, values))
    if types.keys() <= {"string", "path", "bytes", "media", "mapping", "pair", "array"}:
        found = _decide_media(pick_evenly(values, N_SAMPLED))
        if found is not None:
            return found
    if types.keys() == {"string"}:
        found = decide_strings(values)
        if found[0] == "numeric":
            return _decide_whole_numbers([float(value) for value in values], name) or found
        return found
    if types.keys() <= {"number", "bool"}:
        return _decide_whole_numbers(values, name) or Decision("numeric", "numbers")
    if types.keys() <= {"number", "string"}:
        others = [v for v in values if isinstance(v, str) and parse_number(v) is None]
        if not others:
            return Decision("numeric", "numbers, some of which are written as text")
    if len(types) == 1:
        simple = {"date": ("datetime", "dates"), "duration": ("numeric", "durations")}
        simple["identifier"] = ("drop", "random identifiers")
        (kind,) = types
        if kind in simple:
            return Decision(*simple[kind])
    listed = " and ".join(
        f"{count} of type {shorten(_find_type(values, kind), 40)}"
        for kind, count in types.most_common(3)
    )
    kinds = ("text", "categorical") if "string" in types else ("drop",)
    media = {"array": "image", "pair": "audio"}
    kinds += tuple(media[kind] for kind in types if kind in media and len(types) == 1)
    first = {"number": "numeric", "date": "datetime"}
    if "string" in types and len(types) == 2:
        kinds = (*(first[kind] for kind in types if kind in first), *kinds[::-1])
    if types.keys() == {"array"}:
        listed += f", such as {describe_sample(values[0])}"
    return Doubt(f"mixes entries: {listed}" if len(types) > 1 else f"holds {listed}", kinds)


def _find_type(values, kind):
    return next(type(value).__name__ for value in values if _name_type(value) == kind)


def _name_type(value):
    if isinstance(value, str):
        return "string"
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, numbers.Complex | decimal.Decimal):
        return "number"
    if isinstance(value, datetime.date | np.datetime64):  # also pandas.Timestamp
        return "date"
    if isinstance(value, datetime.timedelta):
        return "duration"
    simple = {
        "path": os.PathLike,
        "bytes": bytes | bytearray | memoryview,
        "mapping": Mapping,
        "pair": tuple,
        "identifier": uuid.UUID,
    }
    for kind, types in simple.items():
        if isinstance(value, types):
            return kind
    if hasattr(value, "getbands"):
        return "media"
    return "array" if hasattr(value, "shape") else type(value).__name__


def _decide_media(sampled):
    """Return what is decided by the content of a sample of entries, else None."""
    found = [identify_sample(value) for value in sampled]
    counts, n = Counter(found), len(sampled)
    images = counts["image"] + counts["lost image"]
    sounds = counts["audio"] + counts["lost audio"]
    if counts["image"] and counts["audio"]:
        return Doubt("holds images and sounds", ("image", "audio"))
    for kind, total in (("image", images), ("audio", sounds)):
        if not total:
            continue
        example = describe_sample(sampled[_find_first(found, (kind, f"lost {kind}"))])
        if not counts[kind] and total <= 0.5 * n:
            continue  # some texts end with the name of a file
        if counts[kind] and total > 0.5 * n:
            noun = {"image": "images", "audio": "sounds"}[kind]
            return Decision(kind, f"{counts[kind]} of {n} sampled entries are {noun}")
        if total > 0.5 * n:
            return Doubt(
                f"holds paths that end like those of {kind} files, such as {example}, where"
                f" there is no such file, or none with {kind} content; give paths that exist"
                " from the current folder",
                ("drop", kind, "text", "categorical"),
            )
        return Doubt(
            f"mixes {total} {kind} files, such as {example}, with {n - total} other entries,"
            " among those that were sampled",
            ("drop", kind),
        )
    return _decide_other_files(sampled, found, counts)


def _decide_other_files(sampled, found, counts):
    """Return the doubt about addresses, and about other files and bytes, else None."""
    n = len(sampled)
    words = {
        "url": "holds addresses such as {}, which are not downloaded; save them as files and"
        " give their paths",
        "file": "holds paths of files that are neither images nor sounds, such as {}; read"
        " them and give what they hold",
        "folder": "holds paths of folders, such as {}",
        "content": "holds bytes that are neither an image nor a sound, such as {}",
    }
    for kind, text in words.items():
        if counts[kind] > 0.5 * n:
            example = describe_sample(sampled[_find_first(found, (kind,))])
            return Doubt(
                text.format(example),
                ("drop",) if kind == "content" else ("drop", "categorical"),
            )
    return None


def _find_first(found, kinds):
    return next(row for row, kind in enumerate(found) if kind in kinds)
