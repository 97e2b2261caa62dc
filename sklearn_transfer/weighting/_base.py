"""Base classes of weighters: validation, the missing target, and fitted attributes."""

import warnings
from abc import abstractmethod
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._sample_weight import compute_effective_size
from sklearn_transfer._strays import find_strays, warn_of_strays
from sklearn_transfer._validation import forget_fit, validate_data, validate_source_and_target

_FEW = 0.1  # effective share of the source under which weights rest on too few rows


class BaseWeighter(TakesCallbacks, LinksToDocumentation, BaseEstimator):
    """Weights of source samples; a subclass is only the algorithm.

    It returns weights from `_estimate`, non-negative and in the order of the source rows.
    """

    _parameter_constraints: dict = {}
    _repair_of_samples = (
        "fit this weighter on features of them, such as {features}.fit_transform({name}), or"
        " give it to ImportanceWeighted with representation={features}"
    )

    @abstractmethod
    def _estimate(self, X_source, X_target, y_source):
        """Weights of the source rows, not scaled; sets attributes of its own."""

    def _estimate_beside(self, strays, X_source, X_target, y_source):
        """Estimate the weights where source rows of a mask lie far from all others.

        Subclasses override this if such rows would sway the weights of the others.
        """
        return self._estimate(X_source, X_target, y_source)

    def _check_source(self, n):
        """Raise an error if the parameters allow no solution for n source rows."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, X_target=None, sample_domain=None):
        """Estimate the weights of the source samples.

        A few target rows that lie far from all others of both domains are left out, with a
        UserWarning that names them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Source samples, or samples of both domains where `sample_domain` is given.
        y : array-like of shape (n_samples,), default=None
            Labels of X, which only some weighters use; those of target rows are not read.
        X_target : array-like of shape (n_target, n_features) or TargetDomain, default=None
            Target samples. In a search give a `TargetDomain`, which is never sliced.
        sample_domain : array-like of shape (n_samples,), default=None
            At least 0 for rows of X that belong to the source, negative for those of the
            target.

        Returns
        -------
        self : object
            With one weight per source row in `weights_`. Without a target all are 1, and a
            UserWarning says so.
        """
        forget_fit(self)
        source, target, y = validate_source_and_target(self, X, y, X_target, sample_domain)
        self._check_source(len(source))
        weights = np.ones(len(source))
        if target is not None:
            strays, target = self._split_strays(source, target)
            estimate = (
                partial(self._estimate_beside, strays) if strays.any() else self._estimate
            )
            weights = estimate(source, target, y)
        self.mean_weight_ = float(weights.mean())
        if self.mean_weight_ == 0:
            self._warn_of_zero()
            weights = np.ones(len(source))
        self.weights_ = weights / weights.mean()
        self.ess_ = compute_effective_size(self.weights_)
        if self.ess_ < _FEW * len(source):
            self._warn_of_few()
        elif 0 < self.mean_weight_ < _FEW:
            self._warn_of_little()
        return self

    def _split_strays(self, source, target):
        """Mask of source rows far from all others, and the target without such rows."""
        strays, others = find_strays(source, target)
        if others.any():
            warn_of_strays(type(self).__name__, [("the target", others)], stacklevel=4)
            target = target[~others]
        return strays, target

    def _warn_of_few(self):
        n = len(self.weights_)
        warnings.warn(
            f"The weights amount to {self.ess_:.3g} of {n} source samples: few of them lie "
            "where the target does. Expect a noisy model; fewer features, a smoother "
            "representation or smaller weights (KMM: a lower B) raise the number.",
            UserWarning,
            stacklevel=4,
        )

    def _warn_of_little(self):
        warnings.warn(
            f"The estimate averages {self.mean_weight_:.2g} over the source, where the "
            "ratio of the densities averages 1: most of the target lies where the source has "
            "no samples. Do not reweight: look at the features, or collect labels there.",
            UserWarning,
            stacklevel=4,
        )

    def _warn_of_zero(self):
        warnings.warn(
            "The estimate is 0 at every source sample, so the weights are left equal: none of "
            "them lies where the target does. Look at the features, or collect labels there.",
            UserWarning,
            stacklevel=4,
        )


class RatioWeighter(BaseWeighter):
    """Weighter that estimates the ratio of the densities, target over source, anywhere.

    A subclass sets `_ratio_`, a function from validated rows to the ratio as `_estimate`
    returns it, when it has seen a target.
    """

    _ratio_ = None

    def _estimate_beside(self, strays, X_source, X_target, y_source):
        weights = np.empty(len(X_source))
        weights[~strays] = self._estimate(X_source[~strays], X_target, None)
        weights[strays] = self._ratio_(self._clip_strays(X_source[strays], X_source[~strays]))
        return weights

    def _clip_strays(self, rows, others):
        """Points at which the ratio of rows far from all others is evaluated."""
        return rows

    def predict_weights(self, X):
        """Weights of samples that need not have been in `fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples of any domain.

        Returns
        -------
        weights : ndarray of shape (n_samples,)
            At least 0 and on the scale of `weights_`: the estimated ratio over
            `mean_weight_`. Without a target in `fit`, or with an estimate of 0 at every
            source sample, all are 1.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        if self._ratio_ is None or self.mean_weight_ == 0:
            return np.ones(len(X))
        return self._ratio_(X) / self.mean_weight_
