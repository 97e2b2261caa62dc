"""Reading and checking of the vectors that describe classes."""

from collections.abc import Mapping

import numpy as np
from sklearn.utils.multiclass import unique_labels

from sklearn_transfer._validation import check_array, column_or_1d, format_list, shorten

_FORMS = (
    "a mapping from label to vector, a pair (vectors, labels), or a DataFrame whose index "
    "holds the labels"
)


def read_labeled_vectors(attributes):
    """Read the labels, sorted, and their vectors as rows of a float64 copy."""
    labels, vectors = _split_attributes(attributes)
    labels = column_or_1d(np.asarray(labels))
    if not len(labels):
        raise ValueError(f"attributes is empty: give {_FORMS}")
    vectors = _validate_vectors(vectors)
    if len(vectors) != len(labels):
        raise ValueError(
            f"attributes has {len(vectors)} vectors and {len(labels)} labels: give one vector "
            "per label"
        )
    distinct, order = np.unique(labels, return_index=True)
    if len(distinct) < len(labels):
        twice = next(c for c in distinct.tolist() if (labels == c).sum() > 1)
        raise ValueError(
            f"attributes describes {shorten(twice)} more than once: give one vector per class"
        )
    return distinct, vectors[order]


def _split_attributes(attributes):
    if isinstance(attributes, Mapping):
        return list(attributes), list(attributes.values())
    if hasattr(attributes, "index") and hasattr(attributes, "to_numpy"):
        return attributes.index.to_numpy(), attributes.to_numpy()
    if isinstance(attributes, tuple) and len(attributes) == 2:
        return attributes[1], attributes[0]
    raise ValueError(f"attributes is of type {type(attributes).__name__}; expected {_FORMS}")


def _validate_vectors(vectors):
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
