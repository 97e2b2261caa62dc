"""Reading and checking of the vectors, or the words, that describe classes."""

import warnings
from collections.abc import Mapping

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.multiclass import unique_labels

from sklearn_transfer._callbacks import NO_TASK, fit_and_transform
from sklearn_transfer._validation import check_array, column_or_1d, format_list, shorten
from sklearn_transfer.heads._rows import normalize_rows

_FORMS = (
    "a mapping from label to vector, a pair (vectors, labels), or a DataFrame whose index "
    "holds the labels; with a describer, texts in place of vectors, or a list of names"
)


class Describer:
    """Turns texts that describe classes into vectors, by an estimator of the user.

    Parameters
    ----------
    estimator : estimator or None
        It has `transform`. None: texts are refused.
    is_fitted : bool
        Whether it is used as it is; otherwise a clone is fitted on the first texts.
    task : Task, default=NO_TASK
        That fit is a subtask of it.
    """

    def __init__(self, estimator, is_fitted=False, task=NO_TASK):
        self.estimator, self.is_fitted, self.task = estimator, is_fitted, task

    def embed(self, texts):
        """Vector of length one for each text."""
        if self.estimator is None:
            raise ValueError(
                f"attributes holds texts, such as {shorten(texts[0])}, and describer=None: "
                "pass describer=PretrainedTextFeatures(), or another estimator that turns "
                "texts into vectors in the space of X, or give the vectors themselves"
            )
        if not self.is_fitted:
            self.estimator, self.is_fitted = clone(self.estimator), True
            with self.task.open("fit-describer", inner=self.estimator):
                vectors = fit_and_transform(self.estimator, texts)
        else:
            vectors = self.estimator.transform(texts)
        vectors = vectors.toarray() if issparse(vectors) else vectors
        vectors = check_array(vectors, dtype=np.float64, input_name="output of describer")
        return normalize_rows(vectors.copy())


def read_descriptions(attributes, describer):
    """Read the labels, sorted, and their vectors as rows of a float64 copy.

    Texts are turned into vectors by a `Describer`; those of one class are averaged.
    """
    labels, values = _split_attributes(attributes)
    labels = _read_labels(labels)
    if not len(labels):
        raise ValueError(f"attributes is empty: give {_FORMS}")
    if len(values) != len(labels):
        raise ValueError(
            f"attributes has {len(values)} vectors and {len(labels)} labels: give one vector "
            "per label"
        )
    distinct, order = np.unique(labels, return_index=True)
    if len(distinct) < len(labels):
        twice = next(c for c in distinct.tolist() if (labels == c).sum() > 1)
        raise ValueError(
            f"attributes describes {shorten(twice)} more than once: give one vector per class"
        )
    if any(map(_holds_texts, values)):
        vectors = _embed_texts(labels, values, describer)
    else:
        vectors = _validate_vectors(values)
    return distinct, vectors[order]


def _read_labels(labels):
    """Array of labels; numpy would turn the others of a mixture into strings."""
    given = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    missing = [label for label in given if label is None or is_scalar_nan(label)]
    missing += [label for label in given if is_pandas_na(label)]
    if missing:
        raise ValueError(
            f"attributes describes the label {shorten(missing[0])}, which is a missing value: "
            "give each class a label, and leave out descriptions of none"
        )
    if len({isinstance(label, str) for label in given}) > 1:
        other = next(label for label in given if not isinstance(label, str))
        raise ValueError(
            f"attributes describes {shorten(other)}, of type {type(other).__name__}, beside "
            "labels that are strings: give labels of one type, that of y"
        )
    return column_or_1d(np.asarray(labels))


def _split_attributes(attributes):
    if isinstance(attributes, Mapping):
        return list(attributes), list(attributes.values())
    if hasattr(attributes, "index") and hasattr(attributes, "to_numpy"):
        return attributes.index.to_numpy(), attributes.to_numpy()
    if _holds_texts(attributes) and not isinstance(attributes, str):
        return list(attributes), list(attributes)
    if isinstance(attributes, tuple) and len(attributes) == 2:
        return attributes[1], attributes[0]
    raise ValueError(f"attributes is of type {type(attributes).__name__}; expected {_FORMS}")


def _holds_texts(value):
    """Whether a description is a text, or begins with one."""
    if isinstance(value, str):
        return True
    value = _list_entries(value)
    return len(value) > 0 and isinstance(value[0], str)


def _list_entries(value):
    """Entries of a sequence or Series; a single description is the only one."""
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    is_sequence = isinstance(value, list | tuple) or np.ndim(value) > 0
    return list(value) if is_sequence else [value]


def _embed_texts(labels, values, describer):
    """Mean of the vectors of the texts of each class."""
    groups = [_list_entries(value) for value in values]
    for label, group in zip(labels.tolist(), groups, strict=True):
        for text in group:
            if not isinstance(text, str):
                raise ValueError(
                    f"attributes describes {shorten(label)} by {shorten(text)}, and other "
                    "classes by texts: give a text, or a list of texts, for each class"
                )
        if not group:
            raise ValueError(
                f"attributes describes {shorten(label)} by no text: give at least one"
            )
    vectors = describer.embed([text for group in groups for text in group])
    ends = np.cumsum([len(group) for group in groups])
    return np.stack([part.mean(axis=0) for part in np.split(vectors, ends[:-1])])


def _validate_vectors(vectors):
    first = next(iter(vectors))
    if first is None or isinstance(first, bytes) or is_pandas_na(first):
        raise ValueError(
            f"attributes describes a class by {shorten(first)}: give a vector, or a text as a "
            "string, for each class"
        )
    if isinstance(vectors, list):
        widths = sorted({np.shape(v) for v in vectors})
        if len(widths) > 1:
            raise ValueError(
                f"attributes holds vectors of shapes {widths[0]} and {widths[1]}: give all "
                "classes the same attributes"
            )
    return check_array(vectors, dtype=np.float64, input_name="attributes")


def match_descriptions(seen, labels, vectors):
    """All labels, in a type that also holds those of y, and a mask of those seen."""
    unique_labels(seen, labels)  # refuses a mixture of numbers and strings
    missing = np.setdiff1d(seen, labels)
    if len(missing):
        raise ValueError(
            f"attributes has no vector for {format_list(missing, 5)}, which y holds: describe "
            "each class of y, and those without samples that are to be predicted"
        )
    labels = np.unique(np.concatenate([seen, labels]))
    return labels, vectors, np.isin(labels, seen)


def require_attributes(attributes):
    """Raise ValueError for None, with which cosines cannot be computed."""
    if attributes is None:
        raise ValueError(
            "method='cosine' compares X with attributes, and got none: pass "
            "fit(..., attributes=attributes), for example embeddings of the class names"
        )


def warn_of_no_attributes():
    """Warn that only classes of y are known."""
    warnings.warn(
        "ZeroShotClassifier got no attributes, so it knows the classes of y and no other: "
        "pass fit(..., attributes=attributes)",
        UserWarning,
        stacklevel=6,
    )
