"""Base classes of aligners: validation, and which rows are mapped as source or target."""

from abc import abstractmethod

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._strays import find_strays, warn_of_strays
from sklearn_transfer._validation import (
    find_source_rows,
    forget_fit,
    read_domain_mask,
    validate_data,
    validate_source_and_target,
)


class BaseAligner(TransformerMixin, TakesCallbacks, LinksToDocumentation, BaseEstimator):
    """Maps of source and target rows into one space; a subclass is only the algorithm.

    It learns in `_align`, and maps rows of a domain in `_map_source` and `_map_target`.
    """

    _parameter_constraints: dict = {}

    @abstractmethod
    def _align(self, X_source, X_target, y_source):
        """Learn the maps; sets attributes of its own."""

    @abstractmethod
    def _align_alone(self, X_source):
        """Learn the maps without a target."""

    @abstractmethod
    def _map_source(self, X):
        """Rows of the source, seen in fit or not, in the common space: a new array."""

    @abstractmethod
    def _map_target(self, X):
        """Rows of the target in the common space: a new array."""

    def _map_training(self, X_source):
        """The source rows that `_align` saw, in the common space."""
        return self._map_source(X_source)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, X_target=None, sample_domain=None):
        """Learn the maps of source and target.

        A few rows that lie far from all others of both domains are left out, with a
        UserWarning that names them; they are mapped as the others are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Source samples, or samples of both domains where `sample_domain` is given.
        y : array-like of shape (n_samples,), default=None
            Labels of X, which only some aligners use; those of target rows are not read.
        X_target : array-like of shape (n_target, n_features) or TargetDomain, default=None
            Target samples. In a search give a `TargetDomain`, which is never sliced.
        sample_domain : array-like of shape (n_samples,), default=None
            At least 0 for rows of X that belong to the source, negative for those of the
            target.

        Returns
        -------
        self : object
            Without a target nothing is adapted, and a UserWarning says so.
        """
        forget_fit(self)
        self._learn(*validate_source_and_target(self, X, y, X_target, sample_domain))
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None, *, X_target=None, sample_domain=None):
        """Learn the maps, and map X: rows of the source unless `sample_domain` says else.

        This differs from `fit(X, ...).transform(X)`, where rows count as the target's. Rows
        far from all others are left out of what is learned, as in `fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Source samples, or samples of both domains where `sample_domain` is given.
        y : array-like of shape (n_samples,), default=None
            Labels of X, which only some aligners use; those of target rows are not read.
        X_target : array-like of shape (n_target, n_features) or TargetDomain, default=None
            Target samples. In a search give a `TargetDomain`, which is never sliced.
        sample_domain : array-like of shape (n_samples,), default=None
            At least 0 for rows of X that belong to the source, negative for those of the
            target.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            All rows of X in their order, each mapped as its domain is.
        """
        forget_fit(self)
        source, target, y_source = validate_source_and_target(
            self, X, y, X_target, sample_domain
        )
        self._learn(source, target, y_source)
        mapped = self._map_training(source)
        if sample_domain is None:
            return mapped
        is_source = find_source_rows(X, y, sample_domain)
        return _join_domains(
            is_source, mapped, None if target is None else self._map_target(target)
        )

    def _learn(self, X_source, X_target, y_source):
        self.adapts_ = X_target is not None
        if not self.adapts_:
            self._align_alone(X_source)
            return
        strays, others = find_strays(X_source, X_target)
        if not strays.any() and not others.any():
            self._align(X_source, X_target, y_source)
            return
        found = [("the source", strays), ("the target", others)]
        warn_of_strays(type(self).__name__, found, stacklevel=4)
        self._align_beside(strays, others, X_source, X_target, y_source)

    def _align_beside(self, strays, others, X_source, X_target, y_source):
        """Learn the maps where rows of both masks lie far from all others."""
        if y_source is not None:
            y_source = _safe_indexing(y_source, np.flatnonzero(~strays))
        self._align(X_source[~strays], X_target[~others], y_source)

    def transform(self, X, *, sample_domain=None):
        """Map rows of the target, or of the domains that `sample_domain` tells.

        In a Pipeline this is what `predict` and `score` do, also to the held-out source rows
        of a search, whose scores then mean little: give it a scorer that holds target rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples, seen in fit or not.
        sample_domain : array-like of shape (n_samples,), default=None
            At least 0 for rows to map as those of the source, negative for the target. By
            default all rows count as the target's.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            All rows of X in their order, each mapped as its domain is.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        if sample_domain is None:
            return self._map_target(X)
        source = read_domain_mask(X, None, sample_domain)
        mapped = self._map_source(X[source]) if source.any() else None
        others = self._map_target(X[~source]) if not source.all() else None
        return _join_domains(source, mapped, others)


def center_rows(X):
    """Mean of the rows, and the centered rows, exactly 0 in constant columns."""
    mean = X.mean(axis=0)
    constant = np.ptp(X, axis=0) == 0
    mean[constant] = X[0, constant]
    return mean, X - mean


def _join_domains(is_source, source, target):
    """Rows of both domains, either of which may be None, in the order of the mask."""
    width = (target if source is None else source).shape[1]
    rows = np.empty((len(is_source), width))
    if source is not None:
        rows[is_source] = source
    if target is not None:
        rows[~is_source] = target
    return rows


class ColumnAligner(OneToOneFeatureMixin, BaseAligner):
    """An aligner that moves source rows within the target's space, and no target row."""

    def _align_alone(self, X_source):
        """Learn nothing, as source rows then stay where they are too."""

    def _map_target(self, X):
        return X.copy()

    def _map_source(self, X):
        return self._move(X) if self.adapts_ else X.copy()

    @abstractmethod
    def _move(self, X):
        """Move source rows to where the target lies."""


class ComponentAligner(ClassNamePrefixFeaturesOutMixin, BaseAligner):
    """An aligner whose space has columns of its own, `n_components_` of them."""

    @property
    def _n_features_out(self):
        return self.n_components_
