"""Tables of features of samples of both domains."""

from scipy.sparse import issparse
from sklearn.base import clone

from sklearn_transfer._tables import BY_REPRESENTATION
from sklearn_transfer._validation import validate_domains


def extract_features(user, representation, X, y, X_target, least=1):
    """Features of source and target, and the fitted representation or None.

    A clone of the representation learns from the source. Without one, the samples have to be
    features; errors name the `user`.
    """
    if representation is not None:
        representation = clone(representation).fit(X, y)
        X, X_target = representation.transform(X), representation.transform(X_target)
    elif issparse(X):
        raise ValueError(
            f"{user} compares samples by X itself, which must then be dense, and got a sparse"
            " matrix: pass representation=TruncatedSVD(50) or another transformer"
        )
    return *validate_domains(X, X_target, user, least, BY_REPRESENTATION), representation
