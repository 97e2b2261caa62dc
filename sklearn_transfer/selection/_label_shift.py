"""Test of whether class shares differ between the domains."""

from collections import namedtuple
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.validation import check_consistent_length

from sklearn_transfer._validation import (
    check_class_labels,
    check_classes,
    column_or_1d,
    format_one_line,
    shorten,
    validate_domains,
)
from sklearn_transfer.selection._permutation import compute_p_value, draw_groups
from sklearn_transfer.selection._two_sample import draw_halves
from sklearn_transfer.weighting._classifiers import build_default_classifier
from sklearn_transfer.weighting._label_shift import invert_confusion

_SMALL = 0.05  # singular values of the confusion matrix that count as 0, over the largest
_FIELDS = "statistic p_value classes source_priors target_priors n_permutations"


class LabelShiftResult(namedtuple("LabelShiftResult", _FIELDS)):
    """What `label_shift_test` found; see there."""

    __slots__ = ()
    __repr__ = format_one_line


@validate_params(
    {
        "X": ["array-like"],
        "y": ["array-like"],
        "X_target": "no_validation",
        "estimator": [HasMethods(["fit", "predict"]), None],
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "task": [StrOptions({"auto", "classification"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def label_shift_test(
    X,
    y,
    X_target,
    *,
    estimator=None,
    test_size=0.5,
    n_permutations=999,
    task="auto",
    random_state=None,
):
    """Test whether the classes have other shares in the target, without target labels.

    A classifier of the source predicts held-out source rows and target rows; the test
    compares how often it predicts each class. Use it where samples of a class look the same in
    both domains (label shift): any other difference that moves predictions is detected too.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Source samples, at least two.
    y : array-like of shape (n_samples,)
        Their labels: any numbers or strings, two classes or more.
    X_target : array-like of shape (n_target, n_features) or TargetDomain
        Target samples.
    estimator : classifier, default=None
        It is cloned. None is a logistic regression on scaled features. Errors cost power,
        not validity.
    test_size : float, default=0.5
        Share of the source that is held out.
    n_permutations : int, default=999
        Random splits of the predictions that the given one is compared with. The least
        p-value is 1 / (1 + n_permutations).
    task : {"auto", "classification"}, default="auto"
        "auto" refuses many distinct whole numbers, such as ages, by the rule of `logme`,
        unless `estimator` is given, which predicts classes; "classification" takes any.
    random_state : int, RandomState instance or None, default=None
        Draws the held-out rows and the splits. It does not reach `estimator`.

    Returns
    -------
    result : LabelShiftResult
        A named tuple of

        statistic : float
            Pearson's chi-square of predicted classes by domain.
        p_value : float
            Small where the classifier predicts other shares in the target.
        classes : ndarray of shape (n_classes,)
            The classes, sorted.
        source_priors : ndarray of shape (n_classes,)
            Shares of the classes in y.
        target_priors : ndarray of shape (n_classes,)
            Estimated shares in the target, by the confusion matrix of held-out rows.
        n_permutations : int
            Number of splits.

    See Also
    --------
    mmd_test : Do the samples themselves differ?
    shift_report : All tests, and what to do.

    Notes
    -----
    Given the classifier, all splits of the predictions are equally likely without a
    difference, so p is valid at any number of rows; with few classes many splits are ties,
    which keeps it on the safe side. With C_ij the share of held-out rows of
    class j predicted as i and q the shares predicted in the target, the priors are the
    least-squares solution of C p = q, cut at 0 and scaled to sum 1.

    References
    ----------
    Lipton, Z., Wang, Y.-X. and Smola, A. (2018). Detecting and correcting for label shift
    with black box predictors. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer.selection import label_shift_test
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = rng.random(300) < 0.5, rng.random(300) < 0.9
    >>> X, X_target = (rng.normal(3.0 * labels[:, None], 1) for labels in (y, y_target))
    >>> result = label_shift_test(X, y, X_target, random_state=0)
    >>> print(f"{result.p_value} {result.target_priors[1]:.1f}")
    0.001 0.9
    """
    check_consistent_length(X, y)
    if estimator is None:
        check_classes(y, task, "label_shift_test", ", else give bins of them")
    y = column_or_1d(y)
    check_class_labels(y)
    X, T = validate_domains(X, X_target, "label_shift_test")
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y holds one class, {shorten(classes.tolist()[0])}; at least two are needed"
        )
    random_state = check_random_state(random_state)
    seen, held = draw_halves(len(X), test_size, random_state)
    model = build_default_classifier() if estimator is None else clone(estimator)
    predict = _fit_predictor(model, X[seen], codes[seen])
    source, target = predict(X[held]), predict(T)
    statistic, p_value = _test_chi_square(
        source, target, len(classes), n_permutations, random_state
    )
    priors = np.bincount(codes) / len(codes)
    found = _estimate_priors(source, codes[held], target, priors)
    return LabelShiftResult(statistic, p_value, classes, priors, found, n_permutations)


def _fit_predictor(model, X, codes):
    """Function from rows to class numbers; constant where one class was drawn."""
    if len(np.unique(codes)) == 1:
        return lambda rows: np.full(len(rows), codes[0])
    return model.fit(X, codes).predict


def _test_chi_square(source, target, n_classes, n_permutations, random_state):
    n, m = len(source), len(target)
    groups = draw_groups(n, m, n_permutations, random_state)
    given = np.repeat(np.array([1, 0], dtype=np.int8), [n, m])
    groups = np.column_stack([given, groups]).astype(np.float64)
    predicted = np.concatenate([source, target])
    indicator = (predicted == np.arange(n_classes)[:, None]).astype(np.float64)
    indicator = indicator[indicator.any(axis=1)]
    total = indicator.sum(axis=1, keepdims=True)
    expected = total * n / (n + m)
    # Counts of the target differ from what is expected by the same number.
    squared = (indicator @ groups - expected) ** 2
    values = (squared / expected + squared / (total - expected)).sum(axis=0)
    return float(values[0]), compute_p_value(values[0], values[1:], 1 + values[0])


def _estimate_priors(predicted, codes, target, priors):
    """Shares of classes in the target; a class that was not held out keeps its share."""
    n_classes = len(priors)
    confusion = np.eye(n_classes)
    for code in np.unique(codes):
        counts = np.bincount(predicted[codes == code], minlength=n_classes)
        confusion[:, code] = counts / counts.sum()
    shares = np.bincount(target, minlength=n_classes) / len(target)
    return invert_confusion(confusion, shares, priors, _SMALL)
