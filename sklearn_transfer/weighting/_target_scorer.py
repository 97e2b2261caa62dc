"""Base of scorers that own samples of the target."""

import pickle
from abc import ABC, abstractmethod

import joblib
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing

from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._sample_weight import validate_sample_weight
from sklearn_transfer._validation import as_target, split_domains

_KEPT = 64  # folds of which a scorer remembers what it learned: all candidates share them


class BaseTargetScorer(LinksToDocumentation, BaseEstimator, ABC):
    """Scorer of labeled source samples that owns samples of the target, `X_target`.

    A subclass says in `_learn` what it learns of the samples that are scored and the target,
    which is remembered by content, and in `_compute_score` what it makes of that for an
    estimator. Metadata routing hands it `sample_weight` only after
    `set_score_request(sample_weight=True)`.
    """

    _learns_by = ("representation",)  # names of the parameters that `_learn` reads

    def set_score_request(self, *, sample_weight):
        """Say whether metadata routing hands weights of the samples to the scorer.

        Parameters
        ----------
        sample_weight : bool or str
            True where they are wanted, or the name under which they are passed. Before any
            call they are not wanted.

        Returns
        -------
        self : object
            The scorer.
        """
        request = self._get_metadata_request()
        request.score.add_request(param="sample_weight", alias=sample_weight)
        self._metadata_request = request
        return self

    def __call__(self, estimator, X, y, sample_weight=None):
        """Score a fitted estimator on labeled source samples.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X : array-like of shape (n_samples, n_features), or sequence of n_samples samples
            Source samples that the estimator was not fitted on.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of your own, at least 0, by which those of the domain, where there are
            any, are multiplied. Samples of weight 0 are left out.

        Returns
        -------
        score : float
            Greater is better.
        """
        y, own = as_target(y), None
        if sample_weight is not None:
            own = validate_sample_weight(sample_weight, X)
        if own is not None and not own.all():
            kept = np.flatnonzero(own)
            X, y, own = _safe_indexing(X, kept), _safe_indexing(y, kept), own[kept]
        return float(self._compute_score(estimator, X, y, own))

    @abstractmethod
    def _compute_score(self, estimator, X, y, own):
        """Score of an estimator; `own` are the user's weights, above 0, or None."""

    @abstractmethod
    def _learn(self, X, y, X_target, own):
        """Learn what is the same for all estimators that are scored on these samples."""

    def _get_learned(self, X, y, own=None):
        """What `_learn` returns, computed once for the same content of its arguments."""
        X_target, kept = self._get_target(), self._get_kept()
        parameters = [getattr(self, name) for name in self._learns_by]
        try:
            key = joblib.hash([parameters, X, y, own])
        except pickle.PicklingError:  # of a function that has no name, such as a lambda
            return self._learn(X, y, X_target, own)
        if key not in kept:
            found = self._learn(X, y, X_target, own)
            if len(kept) >= _KEPT:
                kept.pop(next(iter(kept)))
            kept[key] = found
        return kept[key]

    def _get_target(self):
        """Samples of the target, without their holder."""
        if self.X_target is None:
            raise ValueError(
                f"{type(self).__name__} got X_target=None: give it samples of the target"
            )
        return split_domains(None, None, self.X_target, None)[2]

    def _get_kept(self):
        """What was learned so far, by content, with this target."""
        target, kept = self.__dict__.get("_kept", (None, {}))
        if target is not self.X_target:
            kept = {}
            self._kept = self.X_target, kept
        return kept

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("_kept", None)
        return state
