"""Accuracy from few samples per class, over many random draws of classes and samples."""

import math
from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student
from sklearn.base import clone, is_regressor
from sklearn.utils import check_random_state, indexable
from sklearn.utils._param_validation import HasMethods, Interval, validate_params
from sklearn.utils.validation import assert_all_finite

from sklearn_transfer._process.blas import FEW_ROWS, one_blas_thread
from sklearn_transfer._validation import (
    _safe_indexing,
    check_class_labels,
    column_or_1d,
    count_doubtful_values,
    format_one_line,
    shorten,
)
from sklearn_transfer.heads._prototypes import PrototypeClassifier

_SHOWN = 10  # classes that a message names


class EpisodesResult(NamedTuple):
    """Accuracies of `episodes` and what they tell."""

    scores: np.ndarray
    mean: float
    interval: tuple
    n_way: int
    n_shot: int

    __repr__ = format_one_line

    def __str__(self):
        half = (self.interval[1] - self.interval[0]) / 2
        return (
            f"accuracy {self.mean:.3f} +- {half:.3f} (95 % of {len(self.scores)} episodes, "
            f"{self.n_way} classes, {self.n_shot} samples each)"
        )


@validate_params(
    {
        "X": "no_validation",
        "y": ["array-like"],
        "n_way": [Interval(Integral, 2, None, closed="left")],
        "n_shot": [Interval(Integral, 1, None, closed="left")],
        "n_query": [Interval(Integral, 1, None, closed="left")],
        "n_episodes": [Interval(Integral, 2, None, closed="left")],
        "estimator": [HasMethods(["fit", "predict"]), None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def episodes(
    X,
    y,
    n_way=5,
    n_shot=1,
    n_query=15,
    n_episodes=600,
    *,
    estimator=None,
    random_state=None,
):
    """Accuracy of an estimator that sees few samples per class, with its confidence interval.

    An episode draws `n_way` classes, fits a clone of the estimator to `n_shot` samples of
    each, and predicts `n_query` others of each. Two calls with the same seed draw the same
    episodes, so their scores can be compared in pairs.

    Parameters
    ----------
    X : sequence of n_samples samples
        Whatever the estimator takes: features, or paths for a Pipeline.
    y : array-like of shape (n_samples,)
        Labels of any kind.
    n_way : int, default=5
        Number of classes in an episode, at least 2.
    n_shot : int, default=1
        Number of training samples of each class.
    n_query : int, default=15
        Number of other samples of each class that are predicted.
    n_episodes : int, default=600
        Number of episodes, at least 2. The interval narrows with its square root.
    estimator : classifier, default=None
        It is cloned, and a regressor is refused. None is a `PrototypeClassifier`.
    random_state : int, RandomState instance or None, default=None
        Draws classes and samples. It does not reach `estimator`.

    Returns
    -------
    result : EpisodesResult
        A named tuple, whose text is one line, of

        scores : ndarray of shape (n_episodes,)
            Accuracy in each episode.
        mean : float
            Mean accuracy.
        interval : tuple of float
            95 % interval of the mean, by Student's t.
        n_way, n_shot : int
            As given.

    See Also
    --------
    PrototypeClassifier : Made for few samples.

    Notes
    -----
    Every class needs `n_shot + n_query` samples. Within an episode no row is drawn twice;
    episodes share rows, so the interval is that of other draws from this table, and does
    not cover other classes or newly collected samples.

    Episodes of up to 4000 samples run on one thread of BLAS, since more of them would wait
    for each other.

    References
    ----------
    Vinyals, O., Blundell, C., Lillicrap, T., Kavukcuoglu, K. and Wierstra, D. (2016). Matching
    networks for one shot learning. NeurIPS 29.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_transfer.heads import episodes
    >>> X, y = load_digits(return_X_y=True)
    >>> result = episodes(X, y, n_way=5, n_shot=1, n_episodes=50, random_state=0)
    >>> len(result.scores), bool(0.5 < result.mean < 0.8)
    (50, True)
    """
    if estimator is not None and is_regressor(estimator):
        raise ValueError(
            f"estimator={type(estimator).__name__}() is a regressor, and episodes count right "
            "classes: give a classifier, and bins of y where y holds numbers"
        )
    X, y = indexable(X, column_or_1d(y))
    assert_all_finite(y, input_name="y")
    check_class_labels(y)
    members = _find_members(y, n_way, n_shot + n_query)
    random_state = check_random_state(random_state)
    estimator = PrototypeClassifier() if estimator is None else estimator
    scores = np.empty(n_episodes)
    with one_blas_thread(n_way * (n_shot + n_query) <= FEW_ROWS):
        for i in range(n_episodes):
            support, query = _draw_rows(members, n_way, n_shot, n_shot + n_query, random_state)
            model = clone(estimator).fit(_safe_indexing(X, support), y[support])
            scores[i] = np.mean(model.predict(_safe_indexing(X, query)) == y[query])
    return EpisodesResult(
        scores, float(scores.mean()), _compute_interval(scores), n_way, n_shot
    )


def _find_members(y, n_way, n_needed):
    """Rows of each class, which must be enough."""
    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(classes) < n_way:
        raise ValueError(
            f"y has {len(classes)} classes and n_way={n_way}: give at most {len(classes)}"
        )
    few = counts < n_needed
    if few.any():
        some = zip(classes[few].tolist()[:_SHOWN], counts[few], strict=False)
        named = ", ".join(f"{shorten(c, 60)} ({n})" for c, n in some)
        if few.sum() > _SHOWN:
            named += f" and {few.sum() - _SHOWN} more classes"
        raise ValueError(
            f"n_shot + n_query = {n_needed} samples of each class are drawn, and too few are "
            f"there of {named}: lower n_query or n_shot, or leave these classes out."
            f"{_describe_numbers(y)}"
        )
    return [np.flatnonzero(codes == code) for code in range(len(classes))]


def _describe_numbers(y):
    n_values = count_doubtful_values(y)
    if not n_values:
        return ""
    return (
        f" y holds {n_values} distinct whole numbers, which look like the numbers of a "
        "regression: give bins of them as classes."
    )


def _draw_rows(members, n_way, n_shot, n_drawn, random_state):
    """Rows to learn from and rows to predict."""
    ways = random_state.choice(len(members), n_way, replace=False)
    drawn = np.stack([random_state.choice(members[w], n_drawn, replace=False) for w in ways])
    return drawn[:, :n_shot].ravel(), drawn[:, n_shot:].ravel()


def _compute_interval(scores):
    error = scores.std(ddof=1) / math.sqrt(len(scores))
    half = float(student.ppf(0.975, len(scores) - 1) * error)
    return float(scores.mean()) - half, float(scores.mean()) + half
