"""Tables of features of samples of both domains."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone

from sklearn_transfer._validation import validate_domains


def extract_features(user, representation, X, y, X_target, least=1):
    """Features of source and target, and the fitted representation or None.

    A clone of the representation learns from the source. Without one, the samples have to be
    features; errors name the `user`.
    """
    if representation is not None:
        representation = clone(representation).fit(X, y)
        X, X_target = representation.transform(X), representation.transform(X_target)
    elif np.ndim(X) != 2 and not hasattr(X, "columns"):
        raise ValueError(
            f"{user} compares samples by X itself, which must then be a table of numbers, and"
            f" got {type(X).__name__} of samples: pass representation=PretrainedFeatures() for"
            " images, PretrainedTextFeatures() for texts, or another transformer"
        )
    elif issparse(X):
        raise ValueError(
            f"{user} compares samples by X itself, which must then be dense, and got a sparse"
            " matrix: pass representation=TruncatedSVD(50) or another transformer"
        )
    return *validate_domains(X, X_target, least), representation
