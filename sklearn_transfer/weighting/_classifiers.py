"""Default classifier, and class probabilities of rows left out of its fit."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

_FLOOR = 1e-300  # probabilities are numbers whose logarithm is one


def build_default_classifier():
    """Logistic regression on scaled features, which takes features of any unit."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def predict_log_probabilities(model, X, n_classes):
    """Logarithms of the probabilities of classes 0 to n_classes - 1.

    A class that the model has not seen gets the smallest probability.
    """
    found = np.full((len(X), n_classes), _FLOOR)
    found[:, model.classes_] = np.maximum(model.predict_proba(X), _FLOOR)
    return np.log(found)


def draw_stratified_folds(codes, n_folds, random_state):
    """Number of the fold of each row, at random; each class is spread evenly from fold 0 on.

    Small classes thus lose as many rows to a fold as others do, so that the remaining rows
    are not biased toward the classes that are missing in it.
    """
    folds = np.empty(len(codes), dtype=int)
    for code in np.unique(codes):
        rows = random_state.permutation(np.flatnonzero(codes == code))
        folds[rows] = np.arange(len(rows)) % n_folds
    if not folds.any():  # one row per class: all would be left out at once
        folds = random_state.permutation(len(codes)) % n_folds
    return folds
