"""Errors about texts, images and sounds where tables of numbers are expected."""

import os
import reprlib
from contextlib import contextmanager

import numpy as np

# What a user of tables of numbers does with samples, where {features} makes features of them.
BY_FEATURES = "pass features of them, such as {features}.fit_transform({name})"
BY_REPRESENTATION = "pass representation={features}"
_FOR_COLUMN = "drop or encode that column; ColumnTransformer can apply {features} to it"
_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp")
SOUND_ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus")
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = 60


@contextmanager
def explain_samples(user, repair=BY_FEATURES, **tables):
    """Context in which an error about texts or images says how they become numbers.

    Parameters
    ----------
    user : str
        What takes tables of numbers.
    repair : str
        What to do, with {features} for what makes features and {name} for the table.
    **tables : array-like
        What may hold samples instead of numbers, by the name of the parameter.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        for name, X in tables.items():
            found = _find_sample(X)
            if found is not None:
                extractor, what, is_column = found
                advice = _FOR_COLUMN if is_column else repair
                raise ValueError(
                    f"{name} holds {what}, and {user} takes a table of numbers:"
                    f" {advice.format(features=f'{extractor}()', name=name)}"
                ) from error
        raise


def find_extractor(X):
    """Return the name of what makes features of the samples in X; None for a table."""
    found = _find_sample(X)
    return None if found is None or found[2] else found[0]


def _find_sample(X):
    """Return what makes features of samples in X, words for the first one, and its place.

    The place is whether it is in a column among others. Without samples in X this is None.
    """
    shape = getattr(X, "shape", ())
    if len(shape) > 2:
        return "PretrainedFeatures", f"an array of shape {tuple(shape)}, as images have", False
    is_numeric = getattr(getattr(X, "dtype", None), "kind", "O") in "fiubc"
    if is_numeric or hasattr(X, "nnz"):  # sparse
        return None
    names = list(X.columns) if hasattr(X, "columns") else None
    rows = X.to_numpy() if hasattr(X, "to_numpy") else X
    for row, entries in enumerate(rows if hasattr(rows, "__len__") else ()):
        is_single = np.ndim(entries) != 1 if isinstance(entries, np.ndarray) else True
        is_single &= not isinstance(entries, list | tuple)
        for column, value in enumerate([entries] if is_single else entries):
            kind = _name_kind(value)
            if kind is not None:
                is_column = names is not None and len(names) > 1
                at = f" of column {names[column]!r}" if is_column else ""
                shown = (
                    _SHOWN.repr(str(value)) if isinstance(value, str) else type(value).__name__
                )
                return kind[0], f"{kind[1]}, such as {shown} in row {row}{at}", is_column
    return None


def _name_kind(value):
    """Return what makes features of a sample, and what it is; None for numbers and others."""
    if isinstance(value, str):
        is_image = value.lower().endswith(_IMAGE_ENDINGS) or value.startswith("data:image")
        if is_image and "\n" not in value:
            return "PretrainedFeatures", "files of images"
        is_sound = value.lower().endswith(SOUND_ENDINGS) or value.startswith("data:audio")
        if is_sound and "\n" not in value:
            return "PretrainedAudioFeatures", "files of sounds"
        return None if _is_number(value) else ("PretrainedTextFeatures", "texts")
    is_picture = hasattr(value, "getbands") or (
        hasattr(value, "shape") and len(value.shape) > 1
    )
    if isinstance(value, os.PathLike) and str(value).lower().endswith(SOUND_ENDINGS):
        return "PretrainedAudioFeatures", "files of sounds"
    if isinstance(value, bytes | os.PathLike) or is_picture:
        return "PretrainedFeatures", "images"
    return None


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
