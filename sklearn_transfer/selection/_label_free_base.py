"""Base of scorers that judge a model by its predictions for the target."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from sklearn.base import is_regressor

from sklearn_transfer._validation import column_or_1d, format_list
from sklearn_transfer.selection._collapse import (
    TargetShares,
    estimate_target_shares,
    find_collapse,
)
from sklearn_transfer.selection._representation import extract_features
from sklearn_transfer.weighting._target_scorer import BaseTargetScorer

PENALTY = 3.0  # of a model that leaves classes out: scores lie between -1 and 1


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of the target without a model."""

    shares: TargetShares
    neighbors: np.ndarray | None = None


class GuardedScorer(BaseTargetScorer):
    """Scorer that learns which classes the target is likely to hold."""

    def __init__(self, *, X_target, representation=None):
        self.X_target = X_target
        self.representation = representation

    def _learn(self, X, y, X_target, own):
        features, others, _ = extract_features(
            type(self).__name__, self.representation, X, y, X_target
        )
        shares = estimate_target_shares(features, column_or_1d(y), others)
        return Evidence(shares, self._find_neighbors(others))

    def _find_neighbors(self, others):
        """Neighbors of each target row, where the scorer compares them."""
        return None


class ProbabilityScorer(GuardedScorer):
    """Scorer that judges a classifier by its probabilities for the target.

    A subclass says in `_rate` what it makes of the probabilities. Models that leave out a
    class that the target is likely to hold get `PENALTY` less.
    """

    def _compute_score(self, estimator, X, y, own):
        classes = get_classes(self, estimator)
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"{type(self).__name__} scores probabilities, and {type(estimator).__name__} "
                "has no predict_proba: wrap it in CalibratedClassifierCV, or use "
                "ReverseValidationScorer, which needs only predict"
            )
        evidence = self._get_learned(X, y)
        found = np.asarray(estimator.predict_proba(self._get_target()), dtype=np.float64)
        score = self._rate(estimator, classes, found, evidence, X, y, own)
        predicted = np.bincount(found.argmax(axis=1), minlength=len(classes)) / len(found)
        if find_collapse(predicted, classes, evidence.shares):
            score -= PENALTY
        return score

    @abstractmethod
    def _rate(self, estimator, classes, found, evidence, X, y, own):
        """Score by probabilities `found` of target rows, from -1 to 1."""


def get_classes(scorer, estimator):
    """Classes of a fitted classifier, at least two; raises for all else."""
    name = type(scorer).__name__
    if is_regressor(estimator):
        raise TypeError(
            f"{name} scores classifiers and got the regressor {type(estimator).__name__}: use "
            "ReverseValidationScorer or ImportanceWeightedScorer"
        )
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise TypeError(
            f"{name} got {type(estimator).__name__}, which has no classes_: give a fitted "
            "classifier"
        )
    if np.ndim(classes) != 1 or isinstance(classes[0], np.ndarray):
        raise ValueError(
            f"{name} got a classifier of {len(classes)} outputs: give one for each output"
        )
    if len(classes) < 2:
        raise ValueError(
            f"{name} got a classifier of one class, {format_list(classes)}: give one that "
            "was fitted on at least two"
        )
    return np.asarray(classes)
