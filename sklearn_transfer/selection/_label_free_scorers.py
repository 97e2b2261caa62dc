"""Scorers that choose classifiers for a target by their predictions there."""

import numpy as np

from sklearn_transfer._validation import column_or_1d, shorten, suggest_near
from sklearn_transfer.selection._collapse import limit_accuracy
from sklearn_transfer.selection._label_free import (
    compute_bnm_parts,
    compute_infomax_parts,
    estimate_accuracy,
)
from sklearn_transfer.selection._label_free_base import ProbabilityScorer
from sklearn_transfer.selection._neighbors import compute_neighbor_information, find_neighbors
from sklearn_transfer.selection._target_fit import predict_source_probabilities

_SHARES = ("estimated", "uniform")
_CONFIDENCES = ("maximum", "entropy")


class _DiversityScorer(ProbabilityScorer):
    """Scorer that rewards confident predictions, in shares of the classes that it expects."""

    def __init__(self, *, X_target, representation=None, shares="estimated"):
        super().__init__(X_target=X_target, representation=representation)
        self.shares = shares

    def _rate(self, estimator, classes, found, evidence, X, y, own):
        _check_option("shares", self.shares, _SHARES)
        shares = None
        if self.shares == "estimated" and evidence.shares.is_estimate:
            shares = evidence.shares.spread(classes)
        parts = self._compute_parts(found, evidence.neighbors, shares)
        return float(np.clip(parts.mean(), -1, 1))


class InfoMaxScorer(_DiversityScorer):
    """Mutual information of target samples and their predicted classes.

    Use it to choose classifiers for a target without labels whose classes are separated by
    regions of few samples. It is large if each prediction is confident and the classes are
    predicted in the expected shares.

    Parameters
    ----------
    X_target : array-like of shape (n_target, n_features), or sequence of n_target samples
        Samples of the target, of the kind that is scored, or a `TargetDomain`. They are not
        copied: leave them as they are while the scorer is in use.
    representation : transformer, default=None
        Turns samples into the features from which shares of classes are estimated; a clone
        is fitted on the samples that are scored. None takes the samples themselves, which
        must then be a table of numbers.
    shares : {"estimated", "uniform"}, default="estimated"
        Shares of the classes in which predictions are expected. "estimated" takes those
        estimated in the target where samples of a class look the same in both domains, and
        equal ones elsewhere; "uniform" always takes equal ones, as in the paper.

    See Also
    --------
    NeighborInformationScorer : Compares predictions for samples that lie together.
    BNMScorer : The same aim by the nuclear norm.
    ATCScorer : An estimate of the accuracy.
    rank_adaptations : Compare ways to adapt, and choose one.

    Notes
    -----
    With probabilities p of target samples, K classes, expected shares w and entropy H the
    score is ::

        1 - (KL(mean p || w) + mean H(p)) / log K

    which for equal shares is the mutual information (H(mean p) - mean H(p)) / log K. The
    largest value is 1; values under -1 are set to -1. Nothing in it says whether
    predictions are right: a model that is confidently wrong in the expected shares scores 1.
    With equal shares, models that predict classes alike are preferred where the classes of
    the target are not, so a shift of style together with one of the shares misleads it.

    *Guard.* A logistic regression, cross-fitted on the samples that are scored, estimates
    the shares of the classes in the target and their errors [2]_. If a test finds that
    samples of a class differ between the domains, the shares of the scored samples take the
    place of these. A class is likely to be in the target if its share less z errors exceeds
    0.02 / K, where z is 1 for two classes, and 2.1 for ten, so that one of all absent classes
    is taken for present with a probability of about 0.16. A model that predicts such a class
    for less than a tenth of its share less z errors gets 3 less, and so does not win against
    one that predicts it: its score lies between -4 and -2. Classes are predicted where their
    probability is largest, whatever threshold `predict` may have.

    In 200 simulations of two classes, told apart but for 2 % of samples, one of which makes
    up 10 % of the target, the guard found 88 %, 99 % and 100 % of models of one class with 20,
    40 and 100 scored samples, and 81 %, 94 % and 100 % where equal classes are shifted by half
    their distance, which looks like a shift of shares. Where the target holds one class, it
    was wrong about 20 %, 9 % and 10 % of such models (`benchmarks/collapse.py`). With fewer
    than 10 scored samples, or samples of one class, there is no guard, so stratify the folds
    and do not make them small. In a search the scores are means over folds, so a model that is
    guarded against in one of many folds may win. Weights of samples change nothing, except
    that samples of weight 0 are left out.

    References
    ----------
    .. [1] Liang, J., Hu, D. and Feng, J. (2020). Do we really need to access the source
       data? Source hypothesis transfer for unsupervised domain adaptation. ICML.
    .. [2] Alexandari, A., Kundaje, A. and Shrikumar, A. (2020). Maximum likelihood with
       bias-corrected calibration is hard-to-beat at label shift adaptation. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_transfer import InfoMaxScorer
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = rng.integers(2, size=(2, 150))
    >>> X, X_target = (rng.normal(3.0 * t[:, None], 1, (150, 2)) for t in (y, y_target))
    >>> scorer = InfoMaxScorer(X_target=X_target)
    >>> search = GridSearchCV(LogisticRegression(), {"C": [1e-4, 1.0]}, scoring=scorer)
    >>> search.fit(X, y).best_params_
    {'C': 1.0}
    """

    def _compute_parts(self, found, neighbors, shares):
        return compute_infomax_parts(found, shares=shares)


class BNMScorer(_DiversityScorer):
    """Nuclear norm of the matrix of probabilities for target samples.

    Use it as `InfoMaxScorer`. Between models that are uncertain of few samples it depends less
    on how uncertain they are.

    Parameters
    ----------
    X_target : array-like of shape (n_target, n_features), or sequence of n_target samples
        Samples of the target, of the kind that is scored, or a `TargetDomain`. They are not
        copied: leave them as they are while the scorer is in use.
    representation : transformer, default=None
        Turns samples into the features from which shares of classes are estimated; a clone
        is fitted on the samples that are scored. None takes the samples themselves, which
        must then be a table of numbers.
    shares : {"estimated", "uniform"}, default="estimated"
        Shares of the classes in which predictions are expected, as in `InfoMaxScorer`.

    See Also
    --------
    InfoMaxScorer : The same aim by entropies; says how collapsed models are guarded against.
    NeighborInformationScorer : Compares predictions for samples that lie together.

    Notes
    -----
    With the m x K matrix P of probabilities and expected shares w the score is the sum of
    the singular values of ``P diag(w)^(1/2)`` over ``sqrt(m)``, from 0 to 1. For confident
    predictions in shares s it is ``sum_k sqrt(s_k w_k)``, which is largest, 1, at s = w. For
    equal shares it is the batch nuclear norm over its largest value ``sqrt(m K)`` [1]_. With
    fewer samples than classes it is over ``sqrt(m^2 / K)`` in place of ``sqrt(m)``.

    It misleads where `InfoMaxScorer` does. A model that leaves out a class that the target is
    likely to hold gets 3 less, by the rule of `InfoMaxScorer`.

    References
    ----------
    .. [1] Cui, S., Wang, S., Zhuo, J., Li, L., Huang, Q. and Tian, Q. (2020). Towards
       discriminability and diversity: batch nuclear-norm maximization under label
       insufficient situations. CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_transfer import BNMScorer
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = rng.integers(2, size=(2, 150))
    >>> X, X_target = (rng.normal(3.0 * t[:, None], 1, (150, 2)) for t in (y, y_target))
    >>> model = LogisticRegression().fit(X[:50], y[:50])
    >>> bool(0.8 < BNMScorer(X_target=X_target)(model, X[50:], y[50:]) < 1)
    True
    """

    def _compute_parts(self, found, neighbors, shares):
        return compute_bnm_parts(found, shares=shares)


class NeighborInformationScorer(_DiversityScorer):
    """Information that predicted classes of neighbors in the target have of each other.

    Use it to choose classifiers for a target without labels whose classes form clusters in
    its features. Unlike `InfoMaxScorer` it notices models whose boundary runs through
    clusters, however confident they are, and so `rank_adaptations` chooses by it.

    Parameters
    ----------
    X_target : array-like of shape (n_target, n_features), or sequence of n_target samples
        Samples of the target, at least two, of the kind that is scored, or a `TargetDomain`.
        They are not copied: leave them as they are while the scorer is in use.
    representation : transformer, default=None
        Turns samples into the features in which neighbors are found and shares of classes
        estimated; a clone is fitted on the samples that are scored. None takes the samples
        themselves, which must then be a table of numbers.
    shares : {"estimated", "uniform"}, default="estimated"
        Shares of the classes in which predictions are expected, as in `InfoMaxScorer`.
    n_neighbors : int, default=10
        Number of neighbors of each target sample; at most n_target - 1 are used.

    See Also
    --------
    InfoMaxScorer : Needs no neighbors; says how collapsed models are guarded against.
    rank_adaptations : Compare ways to adapt, and choose one by this score.

    Notes
    -----
    With J the mean over target samples of the products p_i q_i', made symmetric, where p_i
    are the probabilities of sample i and q_i the mean ones of its neighbors, s the sums of
    the rows of J, and expected shares w, the score is ::

        1 - (KL(s || w) + H(J) - H(s)) / log K

    which for equal shares is the mutual information of the two sides of J over log K: the
    objective of invariant information clustering [1]_, with neighbors in place of augmented
    copies. Neighbors are nearest in at most 50 principal components of standardized
    features. The largest value is 1; values under -1 are set to -1.

    It misleads where clusters of the features are not the classes, such as a defect that is
    a detail of an image: models that follow what the features show first then score high. A
    model that leaves out a class that the target is likely to hold gets 3 less, by the rule
    of `InfoMaxScorer`.

    References
    ----------
    .. [1] Ji, X., Henriques, J. and Vedaldi, A. (2019). Invariant information clustering for
       unsupervised image classification and segmentation. ICCV.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_transfer import NeighborInformationScorer
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = rng.integers(2, size=(2, 150))
    >>> X, X_target = (rng.normal(4.0 * t[:, None], 1, (150, 2)) for t in (y, y_target))
    >>> model = LogisticRegression().fit(X[:50], y[:50])
    >>> bool(0.7 < NeighborInformationScorer(X_target=X_target)(model, X[50:], y[50:]) < 1)
    True
    """

    _learns_by = ("representation", "n_neighbors")

    def __init__(self, *, X_target, representation=None, shares="estimated", n_neighbors=10):
        super().__init__(X_target=X_target, representation=representation, shares=shares)
        self.n_neighbors = n_neighbors

    def _find_neighbors(self, others):
        if len(others) < 2:
            raise ValueError(
                f"{type(self).__name__} compares neighbors and got {len(others)} target "
                "sample: give at least two"
            )
        return find_neighbors(others, self.n_neighbors)

    def _compute_parts(self, found, neighbors, shares):
        return compute_neighbor_information(found, neighbors, shares)


class ATCScorer(ProbabilityScorer):
    """Accuracy on the target, estimated by the average thresholded confidence.

    Use it to choose classifiers for a target without labels, and to see about how accurate
    they are there. The threshold of the confidence is learned on the labeled source samples
    that are scored.

    Parameters
    ----------
    X_target : array-like of shape (n_target, n_features), or sequence of n_target samples
        Samples of the target, of the kind that is scored, or a `TargetDomain`. They are not
        copied: leave them as they are while the scorer is in use.
    representation : transformer, default=None
        Turns samples into the features from which shares of classes are estimated; a clone
        is fitted on the samples that are scored. None takes the samples themselves, which
        must then be a table of numbers.
    confidence : {"maximum", "entropy"}, default="maximum"
        Confidence in a prediction: the largest probability, or the negative entropy of all.
        They order samples alike if there are two classes.

    See Also
    --------
    target_accuracy : The accuracy, from a few labels of the target.
    ImportanceWeightedScorer : An estimate that holds where domains overlap.
    InfoMaxScorer : No estimate of accuracy; says how collapsed models are guarded against.

    Notes
    -----
    The threshold is the confidence that a share of the scored samples exceeds that equals
    their accuracy; the estimate is the share of target samples that exceed it [1]_. From one
    source sample's confidence to the next, about the threshold, a target sample counts
    linearly, so that the estimate has no steps with few samples, and ties count in the part
    that keeps the accuracy of the scored samples exact. Their weights count in accuracy and
    threshold. Pipelines with an aligner map them as samples of the source.

    The range is 0 to 1. Where the shares w of the classes in the target are estimated (see
    `InfoMaxScorer`), it is at most ``sum_k min(q_k, w_k + 2 e_k)``, with q the shares of the
    predictions and e the errors of w. A model that leaves out a class that the target is
    likely to hold is bounded so in any case, by the shares of the scored samples where there
    is no estimate, and gets 3 less, so that values from -3 to -2 are no accuracies.

    It assumes that confidence means in the target what it means in the source. Where the
    shift is strong, networks stay confident of what they get wrong, and the estimate is too
    high: the more so the less a model is calibrated.

    References
    ----------
    .. [1] Garg, S., Balakrishnan, S., Lipton, Z., Neyshabur, B. and Sedghi, H. (2022).
       Leveraging unlabeled data to predict out-of-distribution performance. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_transfer import ATCScorer
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = rng.integers(2, size=(2, 300))
    >>> X, X_target = (rng.normal(2.0 * t[:, None], 1, (300, 2)) for t in (y, y_target))
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> estimate = ATCScorer(X_target=X_target)(model, X[100:], y[100:])
    >>> bool(abs(estimate - model.score(X_target, y_target)) < 0.05)
    True
    """

    def __init__(self, *, X_target, representation=None, confidence="maximum"):
        super().__init__(X_target=X_target, representation=representation)
        self.confidence = confidence

    def _rate(self, estimator, classes, found, evidence, X, y, own):
        _check_option("confidence", self.confidence, _CONFIDENCES)
        labels = column_or_1d(y)
        codes = np.searchsorted(classes, labels)
        codes = np.where(classes[np.minimum(codes, len(classes) - 1)] == labels, codes, -1)
        source = predict_source_probabilities(estimator, X)
        estimate = estimate_accuracy(source, codes, found, own, self.confidence)
        predicted = np.bincount(found.argmax(axis=1), minlength=len(classes)) / len(found)
        return min(estimate, limit_accuracy(predicted, classes, evidence.shares))


def _check_option(name, value, options):
    if value not in options:
        raise ValueError(
            f"{name}={shorten(value)} is none of {list(options)}: give one of them."
            f"{suggest_near(value, options)}"
        )
