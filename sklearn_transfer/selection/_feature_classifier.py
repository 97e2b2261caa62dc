"""Classifier of features that needs no tuning, and whether they share a unit."""

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.extmath import randomized_svd
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_transfer.weighting._classifiers import draw_stratified_folds

_FOLDS = 3
_ROWS = 1000
_ERRORS = 2.0  # standard errors from which fewer wrong predictions count


class CommonUnitScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Center features, and divide all of them by one number.

    That number is the standard deviation along the first principal component, so neither the
    unit of the features nor the penalty that a classifier expects for features of deviation 1
    matters. Unlike a `StandardScaler` it does not enlarge features that hardly vary in the
    rows of `fit`, and which may vary in other domains.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,)
        Means of the features.
    unit_ : float
        The number that centered features are divided by; 1 where all rows are equal.
    """

    def fit(self, X, y=None):
        """Learn means and the unit."""
        X = validate_data(self, X, dtype=np.float64)
        self.mean_ = X.mean(axis=0)
        centered = X - self.mean_
        largest = np.abs(centered).max()
        self.unit_ = 1.0
        if largest > 0:
            value = randomized_svd(centered / largest, 1, random_state=0)[1][0]
            self.unit_ = float(largest * value / np.sqrt(len(X)))
        return self

    def transform(self, X):
        """Center and divide rows."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return (X - self.mean_) / self.unit_


def build_feature_classifier():
    """Logistic regression on features of a common unit, such as those of a network."""
    return make_pipeline(CommonUnitScaler(), LogisticRegression(max_iter=1000))


def find_different_units(X, y, random_state):
    """Whether standardized features are classified better than features as they are.

    The two are compared by cross-validation on at most 1000 rows of the source.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Features of the source.
    y : ndarray of shape (n_samples,)
        Their labels.
    random_state : RandomState
        Draws rows and folds.

    Returns
    -------
    differ : bool
        True if standardizing corrects more rows than chance explains.
    """
    rows = random_state.permutation(len(X))[:_ROWS]
    X, codes = X[rows], np.unique(y[rows], return_inverse=True)[1]
    folds = draw_stratified_folds(codes, _FOLDS, random_state)
    as_they_are = build_feature_classifier()
    standardized = make_pipeline(StandardScaler(), clone(as_they_are))
    corrected = np.concatenate(
        [
            _find_wrong(as_they_are, X, codes, folds == fold)
            - _find_wrong(standardized, X, codes, folds == fold)
            for fold in np.unique(folds)
        ]
    )
    error = corrected.std() / np.sqrt(len(corrected))
    return bool(corrected.mean() > _ERRORS * error)


def _find_wrong(model, X, codes, is_held):
    """1.0 for each held-out row that a model of the other rows predicts wrongly, else 0.0."""
    seen = codes[~is_held]
    if len(np.unique(seen)) < 2:
        return np.ones(is_held.sum())
    found = model.fit(X[~is_held], seen).predict(X[is_held])
    return (found != codes[is_held]).astype(np.float64)
