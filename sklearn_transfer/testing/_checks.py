"""Choice of the checks of an estimator, by what it can do, and ways to run them."""

import warnings
from functools import partial
from inspect import signature
from unittest import SkipTest

import numpy as np
from sklearn.base import OneToOneFeatureMixin, is_classifier, is_regressor
from sklearn.exceptions import SkipTestWarning
from sklearn.utils import get_tags
from sklearn.utils._param_validation import StrOptions, validate_params

from sklearn_transfer._validation import shorten, suggest_near
from sklearn_transfer.datasets import load_photo_crops
from sklearn_transfer.testing._aligners import ALIGNER_CHECKS, COLUMN_ALIGNER_CHECKS
from sklearn_transfer.testing._extractors import EXTRACTOR_CHECKS
from sklearn_transfer.testing._fine_tuners import FINE_TUNER_CHECKS, make_targets
from sklearn_transfer.testing._weighters import RATIO_CHECKS, WEIGHTER_CHECKS

_FEWEST = {"extractor": 2, "fine-tuner": 6}


def estimator_checks_generator(estimator, samples=None, y=None):
    """Yield all checks of an estimator, by what it can do.

    - An *extractor* is a transformer that learns nothing: its tag `requires_fit` is False.
    - A *fine-tuner* is a classifier or regressor with `transform` and `partial_fit`.
    - A *weighter* has `fit(X, y, *, X_target)` and no `transform`; with `predict_weights` it
      gets the checks of that, too.
    - An *aligner* has `fit(X, y, *, X_target)` and `transform`; one that keeps the columns
      (`OneToOneFeatureMixin`) gets the checks of that, too.

    Parameters
    ----------
    estimator : estimator
        What is checked, an instance. It is cloned and never changed.
    samples : sequence of n_samples samples, default=None
        What an extractor or a fine-tuner takes as X, all of them different: at least 2, or 6
        for a fine-tuner. None is nine small images. Weighters and aligners, which take
        tables, are checked on tables of their own.
    y : array-like of shape (n_samples,), default=None
        Targets for a fine-tuner, each class at least three times. None is three classes, or
        numbers for a regressor.

    Yields
    ------
    estimator : estimator
        The estimator.
    check : functools.partial
        Called with an estimator, it raises if that breaks the promise, and
        `unittest.SkipTest` if the check does not apply. `check.func.__name__` is its name.

    Returns
    -------
    checks : generator
        Pairs of the estimator and a check.

    Raises
    ------
    TypeError
        If the estimator is of none of these kinds.
    ValueError
        If there are too few samples.
    RuntimeError
        If Python runs with -O, which would leave out the assertions.

    See Also
    --------
    check_estimator : Runs the checks.
    parametrize_with_checks : Makes one test of each.
    sklearn.utils.estimator_checks.estimator_checks_generator : Those of scikit-learn.

    Notes
    -----
    An extractor with the methods `cache_info` and `clear_cache`, as `PretrainedFeatures` has
    them, is checked with `cache="memory"`, and the cache in memory of this process is emptied.

    Examples
    --------
    >>> from sklearn_transfer import KLIEP
    >>> from sklearn_transfer.testing import estimator_checks_generator
    >>> names = [check.func.__name__ for _, check in estimator_checks_generator(KLIEP())]
    >>> names[-1]
    'check_predicting_refuses_other_features'
    """
    if not __debug__:
        raise RuntimeError(
            "Python was started with -O, which leaves out the assertions that checks are made"
            " of: start it without"
        )
    family, checks = _find_checks(estimator)
    given = {}
    if family in _FEWEST:
        given["samples"] = _make_samples() if samples is None else samples
        _check_enough(given["samples"], family, estimator)
    if family == "fine-tuner":
        n = len(given["samples"])
        given["y"] = make_targets(estimator, n) if y is None else np.asarray(y)
    return ((estimator, partial(check, **given)) for check in checks)


@validate_params(
    {
        "estimator": "no_validation",
        "samples": "no_validation",
        "y": "no_validation",
        "expected_failed_checks": [dict, None],
        "on_skip": [StrOptions({"warn"}), None],
        "on_fail": [StrOptions({"raise"}), None],
    },
    prefer_skip_nested_validation=False,
)
def check_estimator(
    estimator,
    samples=None,
    y=None,
    *,
    expected_failed_checks=None,
    on_skip="warn",
    on_fail="raise",
):
    """Check that an estimator keeps what its kind promises.

    That of extractors, for instance: the same features for any batch, order, process and
    copy, whether cached or not, by a network that stays as it is. Run it on an extractor,
    fine-tuner, weighter or aligner of your own, and on ours with a network of your own.
    scikit-learn's `check_estimator` checks the rest for estimators that take tables.

    Parameters
    ----------
    estimator : estimator
        What is checked, an instance. It is cloned and never changed.
    samples : sequence of n_samples samples, default=None
        What an extractor or a fine-tuner takes as X; see `estimator_checks_generator`. None
        is nine small images.
    y : array-like of shape (n_samples,), default=None
        Targets for a fine-tuner. None is three classes, or numbers for a regressor.
    expected_failed_checks : dict of str to str, default=None
        Names of checks that are known to fail, with the reason. One that passes raises, so
        that the list stays true.
    on_skip : {"warn"} or None, default="warn"
        Whether a check that does not apply gives a SkipTestWarning.
    on_fail : {"raise"} or None, default="raise"
        Whether the first check that fails raises; with None all are run, and the results
        tell.

    Returns
    -------
    results : list of dict
        One per check, with "estimator", "check_name", "exception" (or None), "status"
        ("passed", "failed", "skipped" or "xfail"), "expected_to_fail" and
        "expected_to_fail_reason".

    Raises
    ------
    AssertionError
        With the name of the first check that fails, and its error as the cause.
    TypeError, ValueError
        As `estimator_checks_generator`, or if `expected_failed_checks` names no check.

    See Also
    --------
    parametrize_with_checks : Makes one test of each check.
    sklearn.utils.estimator_checks.check_estimator : The checks of scikit-learn.

    Examples
    --------
    >>> from sklearn_transfer import NearestNeighborWeights
    >>> from sklearn_transfer.testing import check_estimator
    >>> results = check_estimator(NearestNeighborWeights())
    >>> {result["status"] for result in results}
    {'passed'}
    """
    pairs = list(estimator_checks_generator(estimator, samples, y))
    expected = {} if expected_failed_checks is None else expected_failed_checks
    _check_names(expected, [check.func.__name__ for _, check in pairs], estimator)
    results = []
    for _, check in pairs:
        result = _run_check(estimator, check, expected)
        if on_skip == "warn" and result["status"] == "skipped":
            warnings.warn(
                f"{result['check_name']} was skipped: {result['exception']}",
                SkipTestWarning,
                stacklevel=2,
            )
        if on_fail == "raise" and result["status"] == "failed":
            _raise_failure(result)
        results.append(result)
    return results


def parametrize_with_checks(estimators, samples=None, y=None, *, expected_failed_checks=None):
    """Make one pytest test of each check of each estimator.

    The identifier of a test is the estimator and the name of the check, so that
    `pytest -k check_cache` selects among them.

    Parameters
    ----------
    estimators : list of estimators
        What is checked, instances.
    samples : sequence of n_samples samples, default=None
        What extractors and fine-tuners take as X; see `estimator_checks_generator`. None is
        nine small images.
    y : array-like of shape (n_samples,), default=None
        Targets for fine-tuners. None is three classes, or numbers for regressors.
    expected_failed_checks : callable, default=None
        Takes an estimator and returns a dict of the names of checks that are known to fail,
        with the reasons. They are marked as strict `xfail`.

    Returns
    -------
    decorator : pytest.mark.parametrize
        For a test with the arguments `estimator` and `check`.

    Raises
    ------
    TypeError, ValueError
        As `estimator_checks_generator`, or if `expected_failed_checks` names no check.

    See Also
    --------
    check_estimator : Runs all checks of one estimator, without pytest.
    sklearn.utils.estimator_checks.parametrize_with_checks : The checks of scikit-learn.

    Examples
    --------
    >>> from sklearn_transfer import CORAL, KMM
    >>> from sklearn_transfer.testing import parametrize_with_checks
    >>> @parametrize_with_checks([CORAL(), KMM(B=5)])
    ... def test_contract(estimator, check):
    ...     check(estimator)
    """
    import pytest

    tests = []
    for given in estimators:
        pairs = list(estimator_checks_generator(given, samples, y))
        expected = {} if expected_failed_checks is None else expected_failed_checks(given)
        _check_names(expected, [check.func.__name__ for _, check in pairs], given)
        for estimator, check in pairs:
            name = check.func.__name__
            reason = expected.get(name)
            marks = () if reason is None else pytest.mark.xfail(reason=reason, strict=True)
            label = " ".join(str(estimator).split())
            tests.append(pytest.param(estimator, check, marks=marks, id=f"{label}-{name}"))
    return pytest.mark.parametrize(("estimator", "check"), tests)


def _find_checks(estimator):
    """Family of an estimator, and its checks."""
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(
            f"Got {shorten(estimator)}, expected an estimator: give an instance with `fit`"
        )
    transforms = hasattr(estimator, "transform")
    if (is_classifier(estimator) or is_regressor(estimator)) and transforms:
        if hasattr(estimator, "partial_fit"):
            return "fine-tuner", FINE_TUNER_CHECKS
    elif not hasattr(estimator, "predict"):
        if "X_target" in signature(estimator.fit).parameters and transforms:
            keeps_columns = isinstance(estimator, OneToOneFeatureMixin)
            return "aligner", ALIGNER_CHECKS + COLUMN_ALIGNER_CHECKS * keeps_columns
        if "X_target" in signature(estimator.fit).parameters:
            predicts = hasattr(estimator, "predict_weights")
            return "weighter", WEIGHTER_CHECKS + RATIO_CHECKS * predicts
        if transforms and not get_tags(estimator).requires_fit:
            return "extractor", EXTRACTOR_CHECKS
    raise TypeError(
        f"{type(estimator).__name__} is of no kind that has checks here: expected an extractor"
        " (a transformer whose tag requires_fit is False), a fine-tuner (a classifier or"
        " regressor with transform and partial_fit), a weighter or an aligner (fit takes"
        " X_target). For others there is sklearn.utils.estimator_checks."
    )


def _make_samples():
    """Nine crops of 40 pixels of two photos."""
    crops = load_photo_crops(5, size=40, classes=["flower", "pagoda"])
    return list(crops.images[:9])


def _check_enough(samples, family, estimator):
    if len(samples) < _FEWEST[family]:
        raise ValueError(
            f"samples has {len(samples)} samples: give at least {_FEWEST[family]} to check"
            f" {type(estimator).__name__}, which is of kind {family}"
        )


def _check_names(expected, names, estimator):
    """Raise an error for an expected failure of a check that does not exist."""
    for name in expected:
        if name not in names:
            raise ValueError(
                f"expected_failed_checks names {shorten(name)}, which is no check of"
                f" {type(estimator).__name__}.{suggest_near(name, names)}"
            )


def _run_check(estimator, check, expected):
    """Result of a check, as scikit-learn's `check_estimator` gives it."""
    name = check.func.__name__
    status, exception = "passed", None
    try:
        check(estimator)
    except SkipTest as error:
        status, exception = "skipped", error
    except Exception as error:
        status, exception = "failed", error
    if name in expected and status == "failed":
        status = "xfail"
    elif name in expected and status == "passed":
        status = "failed"
        exception = AssertionError(
            "It passes, though it is expected to fail: take it off expected_failed_checks"
        )
    return {
        "estimator": estimator,
        "check_name": name,
        "exception": exception,
        "status": status,
        "expected_to_fail": name in expected,
        "expected_to_fail_reason": expected.get(name),
    }


def _raise_failure(result):
    error, name = result["exception"], type(result["estimator"]).__name__
    reason = f"{type(error).__name__}: {str(error).strip()}"
    raise AssertionError(f"{result['check_name']} fails for {name}: {reason}") from error
