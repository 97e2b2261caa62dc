"""Scores of a candidate on target rows and on held-out source rows."""

from dataclasses import dataclass, field

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from sklearn_transfer.selection._label_free import estimate_accuracy
from sklearn_transfer.selection._target_fit import (
    fit_for_target,
    fit_reverse,
    predict_source_probabilities,
)
from sklearn_transfer.weighting._scorers import compute_dev


@dataclass(frozen=True, eq=False)
class Domains:
    """Labeled samples of the source and samples of the target, as a candidate takes them."""

    X: object
    y: np.ndarray
    X_target: object
    classes: np.ndarray

    @property
    def codes(self):
        """Numbers of the classes of the source rows."""
        return np.searchsorted(self.classes, self.y)

    def take(self, rows):
        """The same with some of the source rows only."""
        X = _safe_indexing(self.X, rows)
        return Domains(X, self.y[rows], self.X_target, self.classes)

    def fit(self, estimator):
        """Clone of an estimator, fitted for the target."""
        return fit_for_target(clone(estimator), self.X, self.y, X_target=self.X_target)

    def predict_target(self, model):
        """Probabilities of the classes for target rows."""
        found = np.asarray(model.predict_proba(self.X_target), dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(bad):
            raise ValueError(
                f"predict_proba is not finite in row {bad[0]} of X_target: give a classifier"
                " that can predict every target row"
            )
        return _align(found, model, self.classes)

    def predict_source(self, model):
        """Probabilities of the classes for source rows, which aligners map as such."""
        return _align(predict_source_probabilities(model, self.X), model, self.classes)


def _align(probabilities, model, classes):
    found = np.zeros((len(probabilities), len(classes)))
    found[:, np.searchsorted(classes, model.classes_)] = probabilities
    return found


@dataclass(frozen=True)
class FoldScores:
    """Scores that need source rows which the model has not seen, as means over folds."""

    scores: dict = field(default_factory=dict)
    accuracy: float | None = None
    accuracy_error: float | None = None


def score_folds(estimator, domains, folds, ratio):
    """`FoldScores` of an estimator, refitted without each fold that leaves two classes.

    Parameters
    ----------
    estimator : classifier
        It is cloned.
    domains : Domains
        Samples of both domains.
    folds : ndarray of shape (n_source,)
        Number of the fold of each source row.
    ratio : ndarray of shape (n_source,)
        Density of the target over that of the source at each source row.
    """
    found = [
        _score_fold(estimator, domains, folds == fold, ratio[folds == fold])
        for fold in range(folds.max() + 1)
        if len(np.unique(domains.codes[folds != fold])) > 1
    ]
    if not found:
        return FoldScores()
    means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    accuracies = np.array([one["atc"] for one in found])
    # Folds share target rows and most source rows, so their spread alone is too small.
    least = np.sqrt(max(means["atc"] * (1 - means["atc"]), 0) / len(domains.y))
    spread = accuracies.std(ddof=1) if len(accuracies) > 1 else 0.0
    error = max(float(spread), float(least))
    accuracy = means.pop("atc")
    return FoldScores(means, accuracy, error)


def _score_fold(estimator, domains, is_held, ratio):
    seen = domains.take(np.flatnonzero(~is_held))
    held = domains.take(np.flatnonzero(is_held))
    model = seen.fit(estimator)
    source, target = held.predict_source(model), held.predict_target(model)
    is_right = (source.argmax(axis=1) == held.codes).astype(np.float64)
    return {
        "importance-weighted": float(np.average(is_right, weights=ratio)),
        "dev": compute_dev(is_right, ratio),
        "reverse": _score_reverse(estimator, seen, held, target),
        "atc": estimate_accuracy(source, held.codes, target),
    }


def _score_reverse(estimator, seen, held, target):
    """Accuracy on held-out source rows of a model that learns the predictions for the target.

    It is that of guessing the most frequent class where only one class is predicted.
    """
    labels = held.classes[target.argmax(axis=1)]
    model = fit_reverse(estimator, held.X_target, labels, X_target=seen.X)
    found = Domains(None, held.y, held.X, held.classes).predict_target(model)
    return float(np.mean(found.argmax(axis=1) == held.codes))
