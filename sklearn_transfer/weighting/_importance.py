"""Estimators fitted with weights that make the source look like the target."""

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils._metadata_requests import _raise_for_params, _routing_enabled
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_method_params,
    _num_features,
    check_consistent_length,
    check_is_fitted,
)

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._sample_weight import compute_effective_size, validate_sample_weight
from sklearn_transfer._tables import BY_REPRESENTATION, explain_samples
from sklearn_transfer._validation import find_source_rows, split_domains
from sklearn_transfer.weighting._kmm import KMM
from sklearn_transfer.weighting._weighted_fit import (
    check_takes_weights,
    fit_with_weights,
    get_inner_routing,
    score_with_weights,
)

_ROUTED = (
    "fit",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score",
)


def combine_weights(owner, X, y, X_target, sample_weight):
    """Fitted weighter and representation, and the product of the user's weights and theirs.

    The product has mean 1. Rows that the user gives no weight are seen by neither.
    """
    if sample_weight is None:
        weighter, representation = fit_weighter(owner, X, y, X_target)
        return weighter, representation, weighter.weights_
    kept = np.flatnonzero(sample_weight)
    if len(kept) < len(sample_weight):
        X, y = _safe_indexing(X, kept), None if y is None else _safe_indexing(y, kept)
    weighter, representation = fit_weighter(owner, X, y, X_target)
    weights = sample_weight / sample_weight.max()
    weights[kept] *= weighter.weights_
    return weighter, representation, weights / weights.mean()


def fit_weighter(owner, X, y, X_target):
    """Fitted clones of a weighter and, where there is one, of a representation.

    `owner` has both as parameters. The representation learns from the source alone.
    """
    weighter = KMM() if owner.weighter is None else clone(owner.weighter)
    if owner.representation is None:
        tables = {"X": X, "X_target": getattr(X_target, "X", X_target)}
        with explain_samples(type(owner).__name__, BY_REPRESENTATION, **tables):
            _check_table(owner, X)
            return weighter.fit(X, y, X_target=X_target), None
    representation = clone(owner.representation).fit(X, y)
    target = None if X_target is None else representation.transform(X_target)
    return weighter.fit(representation.transform(X), y, X_target=target), representation


def _check_table(owner, X):
    try:
        _num_features(X)
    except TypeError:  # of one dimension
        raise ValueError(
            f"{type(owner).__name__} estimates weights from X itself, which must then be a "
            f"2D array of numbers, one row per sample; got {type(X).__name__} of samples. For "
            "images pass representation=PretrainedFeatures(), for a 1D array reshape your "
            "data."
        ) from None


def _has_method(name):
    def has_method(self):
        getattr(self.estimator_ if hasattr(self, "estimator_") else self.estimator, name)
        return True

    return has_method


class ImportanceWeighted(
    MetaEstimatorMixin, TakesCallbacks, LinksToDocumentation, BaseEstimator
):
    """Fit an estimator on weighted source samples, so that it performs well on the target.

    Use it where target inputs are distributed differently from the labeled ones and you
    have some of them without labels. Weights are estimated in each `fit`, so those of a
    cross-validation belong to its training fold.

    Parameters
    ----------
    estimator : estimator
        Classifier or regressor whose `fit` takes `sample_weight`, or a Pipeline or
        meta-estimator of such. An error names one that does not before anything is fitted.
    weighter : estimator, default=None
        Estimates the weights: `KMM` or another one of this package. None is `KMM()`.
    representation : transformer, default=None
        A clone is fitted on the source and turns samples of both domains into the features
        that the weighter compares, such as `PretrainedFeatures()`; `estimator` still gets X
        as it is. None compares X itself.

    Attributes
    ----------
    estimator_ : estimator
        Clone of `estimator`, fitted with `weights_`.
    weighter_ : estimator
        Fitted weighter.
    representation_ : transformer or None
        Fitted representation, if there is one.
    weights_ : ndarray of shape (n_source,)
        Weights of the source samples: at least 0, mean 1. Where `fit` was given
        `sample_weight`, the product of both, scaled to mean 1.
    ess_ : float
        Effective sample size of these weights.
    classes_ : ndarray of shape (n_classes,)
        Labels, where `estimator` is a classifier.
    n_features_in_ : int
        Number of features, where `estimator` tells it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `estimator` tells them.

    See Also
    --------
    KMM : The default weighter.
    ImportanceWeightedScorer : Score models for the target without its labels.
    TargetDomain : A target that searches do not slice.

    Notes
    -----
    Weights go to what predicts: the last step of a Pipeline, and the estimators inside a
    stack, an ensemble, a calibration or a search, which is scored with them as well. Other
    steps get them only where `set_fit_request(sample_weight=True)` asks for it. Whether
    scikit-learn's metadata routing is on makes no difference: requests that were left open
    are answered on a clone.

    This is a metadata router. It consumes `sample_weight`, `X_target` and `sample_domain`,
    and with routing on passes all else to what asks for it inside `estimator`: `groups` to
    the splitter of a search, `X_val` and `y_val` to a fine-tuner. A part that asks for
    `X_target` as well, such as an aligner, gets the target in either form it was given;
    a request for it that was left open counts as False.

    In a search or cross-validation this is the outermost estimator, and the target travels
    as `fit(X, y, X_target=TargetDomain(X_target))`, next to `sample_weight`, which is sliced
    with X. With routing on, `set_fit_request(X_target=True, sample_weight=True)` asks for
    both. As a step of a Pipeline it needs metadata routing: the same request on it,
    `transform_input=["X_target"]` on the Pipeline, and the target as a plain array.
    `CalibratedClassifierCV` works around and inside. Inside `StackingClassifier` it does
    not: scikit-learn offers the target to the final estimator as well; stack inside this
    estimator instead.

    References
    ----------
    Shimodaira, H. (2000). Improving predictive inference under covariate shift by weighting
    the log-likelihood function. Journal of Statistical Planning and Inference 90.

    Sugiyama, M., Krauledat, M. and Mueller, K.-R. (2007). Covariate shift adaptation by
    importance weighted cross validation. JMLR 8.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn_transfer import KMM, ImportanceWeighted
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(0, 1, (300, 1)), rng.normal(1.5, 0.5, (200, 1))
    >>> model = ImportanceWeighted(LinearRegression(), KMM(B=20))
    >>> model = model.fit(X, np.sin(X[:, 0]), X_target=X_target)
    >>> plain = LinearRegression().fit(X, np.sin(X[:, 0]))
    >>> bool(model.score(X_target, np.sin(X_target[:, 0])) > 0)
    True
    >>> bool(plain.score(X_target, np.sin(X_target[:, 0])) > 0)
    False
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"])],
        "weighter": [HasMethods(["fit"]), None],
        "representation": [HasMethods(["fit", "transform"]), None],
    }

    def __init__(self, estimator, weighter=None, *, representation=None):
        self.estimator = estimator
        self.weighter = weighter
        self.representation = representation

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X, y=None, sample_weight=None, *, X_target=None, sample_domain=None, **params
    ):
        """Estimate weights of the source, then fit the estimator on it with them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sequence of n_samples samples
            Source samples, or samples of both domains where `sample_domain` is given; of any
            kind that `estimator` and `representation` take, such as paths.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets of X; those of rows of the target domain are not read.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of your own, at least 0, by which those of the domain are multiplied.
            `estimator` gets the product with the sum of your weights, so that their scale
            means to it what it means without a domain. Rows of weight 0 are not seen by the
            weighter and the representation, which count all others alike.
        X_target : samples as X or TargetDomain, default=None
            Target samples. In a search give a `TargetDomain`, which is never sliced.
        sample_domain : array-like of shape (n_samples,), default=None
            At least 0 for rows of X that belong to the source, negative for those of the
            target.
        **params : dict
            Metadata for `estimator`, with scikit-learn's metadata routing on. Where
            `sample_domain` is given, those with an entry for each row of X are reduced to
            the rows of the source.

        Returns
        -------
        self : object
            Fitted. Without a target all weights are 1, and a UserWarning says so.

        Raises
        ------
        TypeError
            If `estimator`, or the part of it that predicts, takes no `sample_weight`, or if
            nothing in it asks for one of `params`.
        ValueError
            If `sample_weight` is negative in a row or 0 in all, or `params` are given while
            metadata routing is off, among other causes.
        """
        check_takes_weights(self.estimator, type(self).__name__)
        _raise_for_params(params, self, "fit")
        if sample_domain is not None and np.asarray(sample_weight).ndim > 0:
            rows = np.flatnonzero(find_source_rows(X, y, sample_domain))
            check_consistent_length(X, sample_weight)
            sample_weight = _safe_indexing(sample_weight, rows)
        X, y, target, params = self._split_and_route(X, y, X_target, sample_domain, params)
        if sample_weight is not None:
            sample_weight = validate_sample_weight(sample_weight, X)
        found = combine_weights(self, X, y, target, sample_weight)
        self.weighter_, self.representation_, self.weights_ = found
        self.ess_ = compute_effective_size(self.weights_)
        scale = 1.0 if sample_weight is None else sample_weight.mean()
        weights = scale * self.weights_
        self.estimator_ = fit_with_weights(self.estimator, X, y, weights, **params)
        return self

    def _split_and_route(self, X, y, X_target, sample_domain, params):
        """Source rows, their y, target rows, and the metadata of the inner fit."""
        source, y_source, target = split_domains(X, y, X_target, sample_domain)
        if sample_domain is not None and params:
            rows = np.flatnonzero(find_source_rows(X, y, sample_domain))
            params = _check_method_params(X, params, rows)
        # The object given as X_target may hold more than rows, such as labels of a few.
        domains = {"X_target": target if X_target is None else X_target}
        return source, y_source, target, self._select_metadata("fit", params | domains)

    def _select_metadata(self, method, params):
        """Return the metadata that the inner `method` asks for."""
        _raise_for_params(params, self, method, allow=["X_target"])
        if not _routing_enabled():
            return {}
        params = {name: value for name, value in params.items() if value is not None}
        return process_routing(self, method, **params).estimator[method]

    def get_metadata_routing(self):
        """Metadata that this estimator consumes, and what it routes to the inner one.

        Returns
        -------
        routing : MetadataRouter
            With nothing for `estimator` where a part of it does not support routing.
        """
        mapping = MethodMapping()
        for method in _ROUTED:
            mapping.add(caller=method, callee=method)
        router = MetadataRouter(owner=self).add_self_request(self)
        inner = get_inner_routing(self.estimator)
        return router.add(estimator=inner, method_mapping=mapping)

    @available_if(_has_method("predict"))
    def predict(self, X, **params):
        """Predictions of the fitted estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sequence of n_samples samples
            Samples of either domain.

        **params : dict
            Metadata for the same method of `estimator`, with metadata routing on.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            One prediction per sample.
        """
        return self._predict_by("predict", X, params)

    @available_if(_has_method("predict_proba"))
    def predict_proba(self, X, **params):
        """Probabilities of the classes, from the fitted estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sequence of n_samples samples
            Samples of either domain.

        **params : dict
            Metadata for the same method of `estimator`, with metadata routing on.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._predict_by("predict_proba", X, params)

    @available_if(_has_method("predict_log_proba"))
    def predict_log_proba(self, X, **params):
        """Logarithms of the probabilities of the classes, from the fitted estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sequence of n_samples samples
            Samples of either domain.

        **params : dict
            Metadata for the same method of `estimator`, with metadata routing on.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._predict_by("predict_log_proba", X, params)

    @available_if(_has_method("decision_function"))
    def decision_function(self, X, **params):
        """Confidence scores of the fitted estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sequence of n_samples samples
            Samples of either domain.

        **params : dict
            Metadata for the same method of `estimator`, with metadata routing on.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            As the estimator gives them.
        """
        return self._predict_by("decision_function", X, params)

    @available_if(_has_method("score"))
    def score(self, X, y, *, sample_weight=None, sample_domain=None, **params):
        """Score of the fitted estimator on labeled samples, which counts them alike.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or sequence of n_samples samples
            Samples with labels; the target's for an honest figure, if you have some.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the score; None counts them alike.
        sample_domain : array-like of shape (n_samples,), default=None
            Where given, rows with a negative number (target) are not counted: their y is a
            placeholder.

        **params : dict
            Metadata for `score` of `estimator`, with metadata routing on.

        Returns
        -------
        score : float
            What `estimator` calls its score: accuracy or R^2, mostly.
        """
        estimator = self._get_fitted()
        if sample_domain is not None:
            rows = np.flatnonzero(find_source_rows(X, y, sample_domain))
            params = _check_method_params(X, params, rows)
            X, y = _safe_indexing(X, rows), _safe_indexing(y, rows)
            if sample_weight is not None:
                sample_weight = _safe_indexing(sample_weight, rows)
        params = self._select_metadata("score", params)
        if sample_weight is None:
            return estimator.score(X, y, **params)
        return score_with_weights(estimator, X, y, sample_weight, **params)

    def _predict_by(self, method, X, params):
        """Result of a method of the fitted estimator, with the metadata it asks for."""
        function = getattr(self._get_fitted(), method)
        return function(X, **self._select_metadata(method, params))

    def _get_fitted(self):
        check_is_fitted(self, "estimator_")
        return self.estimator_

    @property
    def classes_(self):
        """Labels known to the fitted classifier."""
        return self._get_fitted_attribute("classes_")

    @property
    def n_features_in_(self):
        """Number of features that the fitted estimator has seen."""
        return self._get_fitted_attribute("n_features_in_")

    @property
    def feature_names_in_(self):
        """Names of the features that the fitted estimator has seen."""
        return self._get_fitted_attribute("feature_names_in_")

    def _get_fitted_attribute(self, name):
        if not hasattr(self, "estimator_"):
            raise AttributeError(f"{type(self).__name__} is not fitted yet, so has no {name}")
        return getattr(self.estimator_, name)

    def __sklearn_tags__(self):
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags = inner.classifier_tags
        tags.regressor_tags = inner.regressor_tags
        tags.target_tags = inner.target_tags
        tags.input_tags = inner.input_tags
        tags.non_deterministic = inner.non_deterministic
        if self.representation is None:
            tags.input_tags.sparse = False  # as the weighter
        return tags
