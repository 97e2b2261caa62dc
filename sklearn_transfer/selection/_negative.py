"""Test of whether a transferred model beats a baseline on the same folds."""

import math
from functools import partial
from numbers import Integral, Real

import numpy as np
from scipy.stats import t as student
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.metrics import check_scoring
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold, check_cv
from sklearn.utils import indexable
from sklearn.utils._param_validation import HasMethods, Interval, validate_params
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.parallel import Parallel, delayed

from sklearn_transfer._process.blas import FEW_ROWS, one_blas_thread
from sklearn_transfer._validation import _safe_indexing, as_target, shorten, suggest_near
from sklearn_transfer.selection._negative_result import NegativeTransferResult
from sklearn_transfer.selection._target_fit import fit_alone, fit_for_target, takes_target

_NAMED = ("scratch", "raw", "source-only")
_FOLDS = {"n_splits": 5, "n_repeats": 5}


@validate_params(
    {
        "transferred": [HasMethods(["fit"])],
        "baseline": [HasMethods(["fit"]), str],
        "X": "no_validation",
        "y": ["array-like"],
        "cv": ["cv_object"],
        "scoring": [str, callable, None],
        "X_target": "no_validation",
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def negative_transfer_test(
    transferred,
    baseline,
    X,
    y,
    *,
    cv=None,
    scoring=None,
    X_target=None,
    confidence=0.95,
    n_jobs=None,
    random_state=None,
):
    """Test whether transfer helps or hurts, against a model without it on the same folds.

    A pretrained network or a weighted source can make a model worse. This compares the
    model with one that has no transfer, fold by fold, and says what the differences prove.

    Parameters
    ----------
    transferred : estimator
        Classifier or regressor with transfer in it. Clones of it are fitted.
    baseline : estimator or {"scratch", "raw", "source-only"}
        What it must beat. An estimator is cloned; a name makes one from `transferred`:

        - "scratch": the same with random weights in each pretrained network, so that the
          difference is what pretraining brought;
        - "raw": pixels in place of each `PretrainedFeatures`: images at its `input_size`, but
          at most 32 x 32, as a row of numbers in [0, 1]; tables pass as they are;
        - "source-only": the same fitted without `X_target`, so that nothing is adapted.
    X : sequence of n_samples samples
        Whatever the estimators take: features, or paths for a Pipeline.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets of X.
    cv : int, cross-validator or iterable of splits, default=None
        Folds, two or more. None is five repetitions of five folds, stratified for a
        classifier, drawn by `random_state`. For samples in groups give the splits.
    scoring : str or callable, default=None
        Name of a scorer, or `(estimator, X, y)` that returns a number; greater is better.
        None is "accuracy" for a classifier and "r2" for a regressor.
    X_target : sequence of n_target samples or TargetDomain, default=None
        Samples of the target, given whole to each estimator that takes them in `fit`, or
        that is a Pipeline with such a step.
    confidence : float, default=0.95
        Of the interval, between 0 and 1.
    n_jobs : int, default=None
        Folds fitted at once, as in scikit-learn. Up to 4000 rows of X, fits in this process
        run on one thread of BLAS, since more of them would wait for each other.
    random_state : int, RandomState instance or None, default=None
        Draws the folds where `cv=None`. It does not reach the estimators.

    Returns
    -------
    result : NegativeTransferResult
        Prints as a sentence, shows as HTML in a notebook, and holds

        verdict : {"helps", "hurts", "undecided"}
            Where the interval lies: above 0, below 0, or around it.
        mean_difference : float
            Mean of transferred minus baseline.
        interval : tuple of float
            Confidence interval of that mean; NaN where all differences are equal.
        p_value : float
            Of no difference, two-sided; NaN where all differences are equal.
        differences, scores_transferred, scores_baseline : ndarray of shape (n_folds,)
            Scores on each fold, and the first minus the second.
        scoring, baseline : str
            Names of the score and of the baseline.
        confidence : float
            As given.

        and `to_dict()`, all of it in plain Python types.

    Raises
    ------
    ValueError
        If a named baseline does not fit `transferred`, if `X_target` is given and nothing
        takes it, or if a score is not finite.

    See Also
    --------
    NegativeTransferDisplay : A picture of one or several results.
    shift_report : Whether source and target differ at all.
    ImportanceWeightedScorer : A score for the target, without its labels.

    Notes
    -----
    Folds share training samples, so their differences are not independent and the usual
    t-test finds too much. With J folds of n_train and n_test samples and s^2 the variance of
    the differences, the variance of their mean is taken as (1 / J + n_test / n_train) s^2,
    with J - 1 degrees of freedom [1]_. For two models of equal worth the interval missed 0 in
    3 to 4 of 100 simulated tables of 40 to 150 samples. Equal differences in all folds
    prove nothing, and the verdict is "undecided".

    The verdict is about other samples from where X comes from. With `X_target` the models
    are fitted for the target, but folds are still of X: give a `scoring` that speaks of the
    target, such as `ImportanceWeightedScorer`, else a model that gave up source accuracy for
    the target "hurts".

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. (2003). Inference for the generalization error. Machine
       Learning 52.
    .. [2] Bouckaert, R. and Frank, E. (2004). Evaluating the replicability of significance
       tests for comparing learning algorithms. PAKDD.
    .. [3] Wang, Z., Dai, Z., Poczos, B. and Carbonell, J. (2019). Characterizing and avoiding
       negative transfer. CVPR.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_transfer.selection import negative_transfer_test
    >>> X, y = load_digits(return_X_y=True)
    >>> result = negative_transfer_test(
    ...     KNeighborsClassifier(), GaussianNB(), X[:300], y[:300], random_state=0
    ... )
    >>> result.verdict, bool(0.02 < result.mean_difference < 0.12)
    ('helps', True)
    """
    y = as_target(y)
    X, y = indexable(X, y if hasattr(y, "shape") else np.asarray(y))
    _check_target(transferred, baseline, X_target)
    name, reference = _resolve_baseline(transferred, baseline)
    scoring = _choose_scoring(transferred) if scoring is None else scoring
    scorers = [check_scoring(model, scoring) for model in (transferred, reference)]
    fit = partial(fit_for_target, X_target=X_target)
    fits = [fit, fit_alone if name == "source-only" else fit]
    folds = _build_folds(cv, transferred, X, y, random_state)
    jobs = list(zip((transferred, reference), fits, scorers, strict=True))
    with one_blas_thread(len(y) <= FEW_ROWS):
        scores = Parallel(n_jobs=n_jobs)(
            delayed(_score_fold)(jobs, X, y, train, test) for train, test in folds
        )
    first, second = _validate_scores(np.array(scores), _name_scoring(scoring)).T
    sizes = np.array([(len(test), len(train)) for train, test in folds])
    found = compute_corrected_interval(
        first - second, sizes, confidence, _compute_scale(first, second)
    )
    return NegativeTransferResult(
        differences=first - second,
        scores_transferred=first,
        scores_baseline=second,
        scoring=_name_scoring(scoring),
        baseline=name,
        confidence=float(confidence),
        **found,
    )


def _check_target(transferred, baseline, X_target):
    named = isinstance(baseline, str)
    if named and baseline == "source-only" and X_target is None:
        raise ValueError(
            "baseline='source-only' compares a model fitted for the target with one that is "
            "not, and X_target=None: pass X_target=X_target"
        )
    if X_target is None:
        return
    models = [transferred] if named else [transferred, baseline]
    if not any(takes_target(model) for model in models):
        raise ValueError(
            f"X_target was given, and {' and '.join(type(m).__name__ for m in models)} take "
            "no X_target in fit, nor has a step that does: wrap the estimator in "
            "ImportanceWeighted, put an aligner into its Pipeline, or leave X_target out"
        )


def _resolve_baseline(transferred, baseline):
    """Name of the baseline, and the estimator that it is."""
    if not isinstance(baseline, str):
        return type(baseline).__name__, baseline
    if baseline not in _NAMED:
        raise ValueError(
            f"baseline={shorten(baseline)} is none of {', '.join(map(repr, _NAMED))}: give "
            f"one of these or an estimator.{suggest_near(baseline, _NAMED)}"
        )
    if baseline == "source-only":
        return baseline, transferred
    from sklearn_transfer.selection import _baselines

    make = {"scratch": _baselines.replace_pretrained, "raw": _baselines.replace_features}
    return baseline, make[baseline](transferred)


def _choose_scoring(estimator):
    if is_classifier(estimator):
        return "accuracy"
    return "r2" if is_regressor(estimator) else None


def _name_scoring(scoring):
    if scoring is None or isinstance(scoring, str):
        return scoring or "score"
    function = getattr(scoring, "_score_func", scoring)
    return getattr(function, "__name__", type(function).__name__)


def _build_folds(cv, estimator, X, y, random_state):
    """Rows to fit on and rows to score, of each fold."""
    classes = is_classifier(estimator) and type_of_target(y) in ("binary", "multiclass")
    if cv is None:
        repeated = RepeatedStratifiedKFold if classes else RepeatedKFold
        cv = repeated(**_FOLDS, random_state=random_state)
    folds = list(check_cv(cv, y, classifier=classes).split(X, y))
    if len(folds) < 2:
        raise ValueError(
            f"cv gives {len(folds)} fold: differences need two or more to show their spread. "
            "Give more, for example ShuffleSplit(25, test_size=0.2)."
        )
    return folds


def _score_fold(jobs, X, y, train, test):
    """Score of each model on one fold."""
    X_train, y_train = _safe_indexing(X, train), _safe_indexing(y, train)
    X_test, y_test = _safe_indexing(X, test), _safe_indexing(y, test)
    return [
        float(scorer(fit(clone(model), X_train, y_train), X_test, y_test))
        for model, fit, scorer in jobs
    ]


def _validate_scores(scores, name):
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        fold, model = bad[0]
        raise ValueError(
            f"{name} of the {('transferred model', 'baseline')[model]} is "
            f"{scores[fold, model]} on fold {fold}: give folds and a scoring that have a "
            "finite score, for example folds that hold every class"
        )
    return scores


def _compute_scale(first, second):
    return max(np.abs(first).max(), np.abs(second).max())


def compute_corrected_interval(differences, sizes, confidence, scale=1.0):
    """Mean of differences by fold, its interval, its p-value and the verdict.

    `sizes` has the number of test and of training samples of each fold; a spread under
    `scale` times rounding is none.
    """
    n, mean = len(differences), float(differences.mean())
    spread = float(differences.std(ddof=1))
    result = {"mean_difference": mean, "p_value": math.nan, "verdict": "undecided"}
    if spread <= 8 * np.finfo(float).eps * scale:
        return {**result, "interval": (math.nan, math.nan)}
    error = spread * math.sqrt(1 / n + np.mean(sizes[:, 0] / sizes[:, 1]))
    half = error * float(student.ppf((1 + confidence) / 2, n - 1))
    result["interval"] = (mean - half, mean + half)
    result["p_value"] = float(2 * student.sf(abs(mean) / error, n - 1))
    if mean - half > 0 or mean + half < 0:
        result["verdict"] = "helps" if mean > 0 else "hurts"
    return result
