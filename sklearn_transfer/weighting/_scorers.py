"""Scorers that estimate a score on the target from labeled source samples."""

from inspect import signature

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.utils.validation import check_consistent_length

from sklearn_transfer._validation import (
    accepts_weights,
    as_target,
    column_or_1d,
    shorten,
    suggest_near,
)
from sklearn_transfer.weighting._importance import combine_weights
from sklearn_transfer.weighting._target_scorer import BaseTargetScorer


class _WeightedScorer(BaseTargetScorer):
    """Scorer that weights the source samples it scores by their likeness to the target.

    A subclass says in `_score_weighted` what it makes of the weights.
    """

    _learns_by = ("weighter", "representation")

    def __init__(self, scoring, *, X_target, weighter=None, representation=None):
        self.scoring = scoring
        self.X_target = X_target
        self.weighter = weighter
        self.representation = representation

    def _compute_score(self, estimator, X, y, own):
        metric = self._resolve_metric()
        return self._score_weighted(metric, estimator, X, y, *self._get_learned(X, y, own))

    def _learn(self, X, y, X_target, own):
        """Weights of mean 1 of the samples, and the mean of the estimate they come from."""
        weighter, _, weights = combine_weights(self, X, y, X_target, own)
        return weights, weighter.mean_weight_


class ImportanceWeightedScorer(_WeightedScorer):
    """Metric on source samples, weighted so that it estimates the one on the target.

    Use it as `scoring` in a search or cross-validation to choose models for a target that
    has no labels. Weights are estimated on the samples that are scored, so in a search on
    those of each validation fold, once per fold.

    Parameters
    ----------
    scoring : str or callable
        Name of a scikit-learn scorer, such as "accuracy" or "neg_mean_squared_error", whose
        metric takes `sample_weight`; or a callable `(estimator, X, y, sample_weight)`.
    X_target : array-like of shape (n_target, n_features), or sequence of n_target samples
        Samples of the target, of the kind that is scored. They are not copied: leave them
        as they are while the scorer is in use.
    weighter : estimator, default=None
        Estimates the weights. None is `KMM()`.
    representation : transformer, default=None
        Turns samples of both domains into the features that the weighter compares; a clone
        is fitted on the samples that are scored. None compares the samples themselves.

    See Also
    --------
    DEVScorer : The same with less variance where weights are not scaled to mean 1.
    ImportanceWeighted : Fit a model for the target.

    Notes
    -----
    With weights w of mean 1 and losses l of n samples it is mean(w l), for metrics that
    average over samples, where `sample_weight` multiplies w before it is scaled. In a search
    with metadata routing ask for it by `set_score_request(sample_weight=True)`. The score is
    unbiased only as far as the weights are the ratio of the
    densities, and noisy where they are few: with an effective sample size of 10 it averages
    over about 10 samples, and a warning says so.

    References
    ----------
    Sugiyama, M., Krauledat, M. and Mueller, K.-R. (2007). Covariate shift adaptation by
    importance weighted cross validation. JMLR 8.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn_transfer import KMM, ImportanceWeightedScorer
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(0, 1, (200, 1)), rng.normal(0.5, 1, (200, 1))
    >>> scorer = ImportanceWeightedScorer("r2", X_target=X_target, weighter=KMM(B=5))
    >>> cross_val_score(Ridge(), X, X[:, 0] ** 2, scoring=scorer).shape
    (5,)
    """

    def _resolve_metric(self):
        scorer = get_scorer(self.scoring)
        if hasattr(scorer, "_score_func"):
            takes = accepts_weights(scorer)
        else:
            takes = "sample_weight" in signature(scorer).parameters
        if not takes:
            raise TypeError(
                f"scoring={shorten(self.scoring)} takes no sample_weight, so it cannot be "
                "weighted: give another metric, such as 'accuracy' or "
                "'neg_mean_squared_error'"
            )
        return scorer

    def _score_weighted(self, scorer, estimator, X, y, weights, mean_weight):
        return scorer(estimator, X, y, sample_weight=weights)


class DEVScorer(_WeightedScorer):
    """Deep embedded validation: importance-weighted score with a control variate.

    Use it as `ImportanceWeightedScorer`, with a weighter whose estimate does not have mean 1
    by construction (`ULSIF`, `DomainClassifierWeights`): what its mean misses is used to
    correct the score, which lowers its variance.

    Parameters
    ----------
    scoring : {"accuracy", "neg_log_loss", "neg_mean_absolute_error", \
"neg_mean_squared_error"} or callable
        Score of each sample, greater is better; or a callable `(estimator, X, y)` that
        returns an array of shape (n_samples,).
    X_target : array-like of shape (n_target, n_features), or sequence of n_target samples
        Samples of the target, of the kind that is scored. They are not copied: leave them
        as they are while the scorer is in use.
    weighter : estimator, default=None
        Estimates the weights. None is `KMM()`.
    representation : transformer, default=None
        Turns samples of both domains into the features that the weighter compares; a clone
        is fitted on the samples that are scored. None compares the samples themselves.

    See Also
    --------
    ImportanceWeightedScorer : Any metric, without the control variate.

    Notes
    -----
    With scores s and weights w as estimated, before they are scaled to mean 1, the score is
    mean(w s) + eta (mean(w) - 1), eta = -Cov(w s, w) / Var(w), as the true ratio of the
    densities has mean 1. Where the mean of the weights is 1 nothing is corrected.

    References
    ----------
    You, K., Wang, X., Long, M. and Jordan, M. (2019). Towards accurate model selection in
    deep unsupervised domain adaptation. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn_transfer import DEVScorer
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(200, 2)), rng.normal(0.5, 1, size=(200, 2))
    >>> scorer = DEVScorer("neg_log_loss", X_target=X_target)
    >>> scores = cross_val_score(LogisticRegression(), X, X[:, 0] > 0, scoring=scorer)
    >>> bool((scores < 0).all())
    True
    """

    def _resolve_metric(self):
        if callable(self.scoring):
            return self.scoring
        if self.scoring not in _SAMPLE_SCORES:
            raise ValueError(
                f"scoring={shorten(self.scoring)} is none of {sorted(_SAMPLE_SCORES)}, "
                "which score single samples: give one of them or a callable that returns a "
                "score for "
                f"each sample.{suggest_near(self.scoring, _SAMPLE_SCORES)}"
            )
        return _SAMPLE_SCORES[self.scoring]

    def _score_weighted(self, scores_of, estimator, X, y, weights, mean_weight):
        scores = np.asarray(scores_of(estimator, X, y), dtype=np.float64)
        if scores.shape != weights.shape:
            raise ValueError(
                f"scoring returned shape {scores.shape} for {len(weights)} samples; it must "
                "return a score for each"
            )
        return compute_dev(scores, weights * mean_weight)


def compute_dev(scores, ratio):
    """Mean of scores by deep embedded validation [You 2019].

    `ratio` is the density of the target over that of the source, not scaled to mean 1.
    """
    mean, variance = ratio.mean(), ratio.var()
    weighted = ratio * scores
    eta = 0.0
    if variance > 1e-12 * mean**2:
        eta = -np.mean((weighted - weighted.mean()) * (ratio - mean)) / variance
    return float(weighted.mean() + eta * (mean - 1))


def _score_accuracy(estimator, X, y):
    return np.asarray(estimator.predict(X)) == column_or_1d(y)


def _score_log_likelihood(estimator, X, y):
    """Logarithm of the probability of each label, cut off where the probability is 0."""
    probabilities = np.asarray(estimator.predict_proba(X))
    places = {label: place for place, label in enumerate(estimator.classes_)}
    labels = column_or_1d(y)
    unknown = [label for label in np.unique(labels) if label not in places]
    if unknown:
        raise ValueError(
            f"y holds {shorten(unknown[0])}, which is none of the classes that the "
            "estimator was fitted on, so its log loss is infinite. Stratify the folds."
        )
    columns = [places[label] for label in labels]
    likelihood = probabilities[np.arange(len(labels)), columns]
    return np.log(np.maximum(likelihood, np.finfo(probabilities.dtype).eps))


def _compute_errors(estimator, X, y):
    predictions, y = np.asarray(estimator.predict(X)), np.asarray(as_target(y))
    check_consistent_length(predictions, y)
    # One column and none are the same, and would broadcast to all pairs of samples.
    predictions, y = predictions.reshape(len(y), -1), y.reshape(len(y), -1)
    if predictions.shape != y.shape:
        raise ValueError(
            f"y has {y.shape[1]} outputs and the predictions have {predictions.shape[1]}: "
            "score the estimator on targets of the kind it was fitted on"
        )
    return predictions - y


def _score_absolute_error(estimator, X, y):
    return -np.abs(_compute_errors(estimator, X, y)).mean(axis=1)


def _score_squared_error(estimator, X, y):
    return -(_compute_errors(estimator, X, y) ** 2).mean(axis=1)


_SAMPLE_SCORES = {
    "accuracy": _score_accuracy,
    "neg_log_loss": _score_log_likelihood,
    "neg_mean_absolute_error": _score_absolute_error,
    "neg_mean_squared_error": _score_squared_error,
}
