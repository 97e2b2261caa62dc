"""Test of whether a classifier can tell the domains apart."""

from collections import namedtuple
from numbers import Integral, Real

import numpy as np
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, validate_params

from sklearn_transfer._validation import validate_domains
from sklearn_transfer.selection._permutation import compute_p_value, draw_groups
from sklearn_transfer.weighting._classifiers import build_default_classifier

ClassifierTestResult = namedtuple(
    "ClassifierTestResult", ["statistic", "p_value", "n_source", "n_target", "n_permutations"]
)


@validate_params(
    {
        "X": ["array-like"],
        "X_target": "no_validation",
        "estimator": [
            HasMethods(["fit", "predict_proba"]),
            HasMethods(["fit", "decision_function"]),
            None,
        ],
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def classifier_two_sample_test(
    X, X_target, *, estimator=None, test_size=0.5, n_permutations=999, random_state=None
):
    """Test whether a classifier tells source from target on rows it has not seen.

    Its statistic is easy to interpret: an area under the ROC curve of 0.5 is chance, and 1
    means that every target row can be told from every source row, so that weights cannot
    help.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Source samples, at least two.
    X_target : array-like of shape (n_target, n_features) or TargetDomain
        Target samples, at least two. Numbers of rows may differ by any factor.
    estimator : classifier, default=None
        With `predict_proba` or `decision_function`; it is cloned. None is a logistic
        regression on scaled features, which is fast but compares little more than means;
        give a forest to find other differences.
    test_size : float, default=0.5
        Share of each domain that is held out and tells the domains apart.
    n_permutations : int, default=999
        Random splits of the held-out rows that the given one is compared with. The least
        p-value is 1 / (1 + n_permutations).
    random_state : int, RandomState instance or None, default=None
        Draws the held-out rows and the splits. It does not reach `estimator`.

    Returns
    -------
    result : ClassifierTestResult
        A named tuple of

        statistic : float
            Area under the ROC curve on the held-out rows.
        p_value : float
            Small where the distributions differ.
        n_source, n_target : int
            Numbers of held-out rows.
        n_permutations : int
            Number of splits.

    See Also
    --------
    mmd_test : The same question, put to kernel means.
    shift_report : All tests, and what to do.

    Notes
    -----
    The classifier is fitted once, on the rows not held out, so given its scores all splits
    of the held-out rows are equally likely without a difference: p is exact at any number of
    rows. Scores of cross-validation depend on each other through shared training
    rows, and the usual tests on them reject too often.

    References
    ----------
    Lopez-Paz, D. and Oquab, M. (2017). Revisiting classifier two-sample tests. ICLR.

    Kim, I., Ramdas, A., Singh, A. and Wasserman, L. (2021). Classification accuracy as a
    proxy for two-sample testing. Annals of Statistics 49.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer.selection import classifier_two_sample_test
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(100, 2)), rng.normal(1, 1, size=(80, 2))
    >>> classifier_two_sample_test(X, X_target, random_state=0).p_value
    0.001
    """
    X, T = validate_domains(X, X_target, "classifier_two_sample_test", least=2)
    random_state = check_random_state(random_state)
    seen, held = zip(
        *(split_rows(rows, test_size, random_state) for rows in (X, T)), strict=True
    )
    model = build_default_classifier() if estimator is None else clone(estimator)
    model.fit(np.concatenate(seen), np.repeat([0, 1], [len(rows) for rows in seen]))
    ranks = rankdata(_score_rows(model, np.concatenate(held)))
    n, m = map(len, held)
    groups = draw_groups(m, n, n_permutations, random_state)
    area = compute_auc(ranks[n:].sum(), n, m)
    p_value = compute_p_value(area, compute_auc(ranks @ groups, n, m))
    return ClassifierTestResult(float(area), p_value, n, m, n_permutations)


def split_rows(X, test_size, random_state):
    """Random rows to learn from, and those held out; at least one each."""
    return [X[rows] for rows in draw_halves(len(X), test_size, random_state)]


def draw_halves(n, test_size, random_state):
    """Numbers of rows to learn from, and of those held out; at least one each."""
    order = random_state.permutation(n)
    n_held = min(n - 1, max(1, round(test_size * n)))
    return order[n_held:], order[:n_held]


def _score_rows(model, X):
    """One number per row, larger where the target is more likely."""
    if hasattr(model, "decision_function"):
        return model.decision_function(X)
    return model.predict_proba(X)[:, 1]


def compute_auc(rank_sum, n, m):
    """Area under the ROC curve from the sum of the m target rows' ranks."""
    return (rank_sum - m * (m + 1) / 2) / (n * m)
