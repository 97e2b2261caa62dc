"""Features that know the target, cross-fitted for estimators that follow."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, clone, is_classifier
from sklearn.utils import check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._modalities.samples import take_samples
from sklearn_transfer._sample_weight import validate_sample_weight
from sklearn_transfer._validation import check_feature_names_in, forget_fit, shorten
from sklearn_transfer.finetuning._base import _BaseFineTuned
from sklearn_transfer.finetuning._classifier import FineTunedClassifier
from sklearn_transfer.finetuning._cross_fitting import (
    compute_scale,
    compute_scores,
    divide_into_folds,
    find_rotation,
    join_rows,
)
from sklearn_transfer.finetuning.targets.columns import convert_target
from sklearn_transfer.finetuning.targets.rows import get_first_column, take_targets

_SEEDS = np.iinfo(np.int32).max


class FineTunedFeatures(TransformerMixin, TakesCallbacks, LinksToDocumentation, BaseEstimator):
    """Features of a network that is trained for the target, free of the row's own label.

    For tables in which images or texts stand beside numbers, and frozen features miss what
    matters for the target: an estimator of the whole table, such as gradient boosting, gets
    features of a fine-tuned network. A network that has seen the label of a row shows it in
    the features of that row, and an estimator fitted on them trusts them far too much. So
    `fit_transform` gives each row features of a network that was trained without its fold,
    and `transform` those of a network trained on all rows, as
    :class:`sklearn.preprocessing.TargetEncoder` does for categories [1]_.

    Parameters
    ----------
    estimator : FineTunedClassifier, FineTunedRegressor or None, default=None
        What is trained, once for each fold and once on all rows; None is
        ``FineTunedClassifier()``. It is cloned, and may read any kind of sample.
    cv : int, splitter or iterable, default=5
        Folds. A number divides the rows at random, with a fixed seed. A splitter or an
        iterable of train and test rows must hold each row out once and train on all others,
        and is not given y, so `StratifiedKFold` is refused. Rows that are equal, or in one of
        `groups`, are always in one fold. More folds train each network on more rows, and take
        longer.
    n_components : int or None, default=30
        Number of features, at most the rank of the frozen features of the rows; None is that
        rank.

    Attributes
    ----------
    estimator_ : estimator
        The one that was trained on all rows.
    n_components_ : int
        Number of features.
    folds_ : ndarray of shape (n_samples,)
        Number of the fold of each row; only after `fit_transform`.
    n_features_in_ : int
        Number of columns of X; only where the estimator has `preprocess=None`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only where `estimator_` has them.

    See Also
    --------
    FineTunedClassifier : Its own `transform` suits features of new rows alone.
    PretrainedFeatures : Frozen features, which see no label; try them first.
    sklearn.preprocessing.TargetEncoder : The same for categories.

    Notes
    -----
    Networks of different folds have features of their own, which no estimator could read side
    by side. They start from the same weights, and are turned to one basis: with B the scores
    of the rows on the principal components of the frozen features, and G the features of a
    network for the same rows, both centered, features are G Q with the Q of orthonormal
    columns that maximizes the trace of Q'G'B, the orthogonal Procrustes problem [2]_. Neither
    B nor the folds depend on y, and classes, `early_stopping` and scales of a network are
    those of the rows that it is trained on. Changing the target of a row therefore changes no
    bit of the features that `fit_transform` gives for this row, as long as `random_state` of
    the estimator is a number.

    ``fit_transform(X, y)`` differs from ``fit(X, y).transform(X)``, and only the former suits
    rows that another estimator is fitted on. Inside a Pipeline this happens by itself. Fitted
    before a cross-validation, on the rows that are held out later, the features leak their
    labels: keep this step in the Pipeline. Leaks beyond equal rows, such as near-duplicates or
    several photos of one object, need `groups`.

    It trains ``cv + 1`` networks. Activations of the frozen layers are computed once for all
    of them, unless the estimator has `cache=None` or augments without `n_views`. It hurts
    where rows are few, since the networks of the folds see fewer still, and is in vain where
    frozen features suffice. Rows of weight zero are left out of all trainings and of the
    basis, and get features all the same.

    References
    ----------
    .. [1] D. Micci-Barreca. "A Preprocessing Scheme for High-Cardinality Categorical
       Attributes in Classification and Prediction Problems". SIGKDD Explorations 3, 2001.
    .. [2] P. Schoenemann. "A Generalized Solution of the Orthogonal Procrustes Problem".
       Psychometrika 31, 1966.

    Examples
    --------
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_transfer import FineTunedClassifier, FineTunedFeatures
    >>> from sklearn_transfer.datasets import load_photo_crops
    >>> X, y = load_photo_crops(4, size=32, classes=["flower", "pagoda"], return_X_y=True)
    >>> tuner = FineTunedClassifier(freeze="deep", max_epochs=2, input_size=32)
    >>> features = FineTunedFeatures(tuner, cv=2, n_components=5)
    >>> features.fit_transform(X, y).shape
    (8, 5)
    >>> model = make_pipeline(features, HistGradientBoostingClassifier()).fit(X, y)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "transform"]), None],
        "cv": [Interval(Integral, 2, None, closed="left"), "cv_object"],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(self, estimator=None, *, cv=5, n_components=30):
        self.estimator = estimator
        self.cv = cv
        self.n_components = n_components

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, *, groups=None, **fit_params):
        """Train one network on all rows, for `transform` of new ones.

        Parameters
        ----------
        X : sequence of n_samples samples
            As the estimator takes them.
        y : array-like of shape (n_samples,) or (n_samples, n_tasks)
            Targets, as the estimator takes them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the loss, and in the basis.
        groups : array-like of shape (n_samples,), default=None
            Ignored here, where there are no folds.
        **fit_params : objects
            Passed to the fit of the estimator, such as `X_target`.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        TypeError, ValueError
            If the estimator is no fine-tuner, or where its fit raises.
        """
        self._fit_all(X, y, sample_weight, fit_params)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X, y, sample_weight=None, *, groups=None, **fit_params):
        """Train all networks; features of each row, of the network that did not see its fold.

        Parameters
        ----------
        X : sequence of n_samples samples
            As the estimator takes them.
        y : array-like of shape (n_samples,) or (n_samples, n_tasks)
            Targets, as the estimator takes them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the loss, and in the basis.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group, such as photos of one object, are in one fold.
        **fit_params : objects
            Passed to each fit of the estimator, such as `X_target`; what it holds must be no
            part of X.

        Returns
        -------
        features : ndarray of shape (n_samples, `n_components_`), float32
            One row per sample, for estimators that are fitted on these rows.

        Raises
        ------
        TypeError, ValueError
            If the estimator is no fine-tuner, if no folds can be made, or where its fit
            raises.
        """
        table = self._fit_all(X, y, sample_weight, fit_params, groups, has_folds=True)
        features = np.empty((len(table.weights), self.n_components_), dtype=np.float32)
        for fold in np.unique(self.folds_):
            held = self.folds_ == fold
            features[held] = self._fit_fold(table, np.flatnonzero(~held), fit_params)[held]
        return features

    def transform(self, X):
        """Features of the network that was trained on all rows.

        Parameters
        ----------
        X : sequence of n_samples samples
            New samples; those of `fit` have features that show their labels.

        Returns
        -------
        features : ndarray of shape (n_samples, `n_components_`), float32
            One row per sample.
        """
        check_is_fitted(self, "estimator_")
        return _turn(self._embed_tuned(self.estimator_, X), *self._rotation)

    def get_feature_names_out(self, input_features=None):
        """Names of the features: "tuned_0", "tuned_1", ...

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the names seen in `fit`, if there were any.

        Returns
        -------
        names : ndarray of str objects of shape (`n_components_`,)
            One name per column of `transform`.
        """
        check_is_fitted(self, "estimator_")
        check_feature_names_in(self, input_features)
        names = [f"tuned_{i}" for i in range(self.n_components_)]
        return np.asarray(names, dtype=object)

    def _fit_all(self, X, y, sample_weight, fit_params, groups=None, has_folds=False):
        """Fit the network of all rows; returns the `_Table` that it was fitted on."""
        forget_fit(self)
        if "sample_domain" in fit_params:
            raise ValueError(
                "sample_domain was given, but rows of a target have no features to be crossed:"
                " give them as X_target"
            )
        tuner = self._make_tuner()
        table = _Table(tuner, X, y, sample_weight)
        tuner._draw_seed()
        n_outputs = 2 if is_classifier(tuner) else 1
        frozen, digests, are_numbers = tuner._embed_start(table.samples, n_outputs)
        if has_folds:  # before any training, so that an error comes at once
            self.folds_ = divide_into_folds(join_rows(digests, groups), self.cv, table.weights)
        # Networks leave numbers of the table as they are, whose unit must not matter.
        scale = compute_scale(frozen, table.weights)
        self._scale = np.where(are_numbers, scale, 1.0)
        table.scores = compute_scores(frozen / self._scale, table.weights, self.n_components)
        self.n_components_ = table.scores.shape[1]
        self.estimator_ = clone(tuner).fit(X, y, sample_weight, **fit_params)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        tuned = self._embed_tuned(self.estimator_, X)
        self._rotation = find_rotation(tuned, table.scores, table.weights)
        return table

    def _fit_fold(self, table, rows, fit_params):
        """Features of all rows, of a network trained on some of them."""
        tuner = clone(table.tuner)
        try:
            tuner.fit(*table.take(rows), **fit_params)
        except ValueError as error:
            error.add_note(
                f"while a network was trained on {len(rows)} of {len(table.weights)} rows, as"
                f" cv={shorten(self.cv)} divides them"
            )
            raise
        tuned = self._embed_tuned(tuner, table.samples)
        return _turn(tuned, *find_rotation(tuned, table.scores, table.weights))

    def _embed_tuned(self, tuner, X):
        tuned = tuner._run_network(X, "embedding")
        # A bottleneck, which has a width of its own, mixes the numbers with all else.
        return tuned / self._scale if tuned.shape[1] == len(self._scale) else tuned

    def _make_tuner(self):
        """The estimator that is cloned for each training; all begin with the same numbers."""
        tuner = FineTunedClassifier() if self.estimator is None else clone(self.estimator)
        if not isinstance(tuner, _BaseFineTuned):
            raise TypeError(
                f"estimator={shorten(self.estimator)} trains no network: expected a"
                " FineTunedClassifier or FineTunedRegressor"
            )
        if not isinstance(tuner.random_state, Integral):
            seed = check_random_state(self.estimator.random_state).randint(_SEEDS)
            tuner.set_params(random_state=seed)
        tuner._validate_params()
        return tuner

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tuner = FineTunedClassifier() if self.estimator is None else self.estimator
        if isinstance(tuner, _BaseFineTuned):
            given = get_tags(tuner)
            tags.input_tags = given.input_tags
            tags.target_tags.multi_output = given.target_tags.multi_output
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class _Table:
    """Samples, targets and weights of a fit, of which folds are taken.

    `scores` are what features are aligned to.
    """

    def __init__(self, tuner, X, y, sample_weight):
        if y is None:
            raise ValueError(
                "This FineTunedFeatures estimator requires y to be passed, but the target y is"
                " None"
            )
        self.tuner, self.samples = tuner, tuner._check_samples(X, reset=True)
        self.y, self.is_weighted = convert_target(y), sample_weight is not None
        check_consistent_length(self.samples, get_first_column(self.y))
        n_rows = len(self.samples)
        self.weights = validate_sample_weight(sample_weight, np.zeros((n_rows, 1)))
        self.scores = None

    def take(self, rows):
        """Samples, targets and weights of some rows, as arguments of a fit."""
        weights = self.weights[rows] if self.is_weighted else None
        return take_samples(self.samples, rows), take_targets(self.y, rows), weights


def _turn(features, mean, rotation):
    """Features in the common basis; those that are missing count as the mean."""
    centered = np.where(np.isnan(features), 0, features - mean)
    return (centered @ rotation).astype(np.float32)
