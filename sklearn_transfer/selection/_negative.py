"""Test of whether a transferred model beats a baseline on the same folds."""

import math
from functools import partial
from numbers import Integral, Real

import numpy as np
from scipy.stats import t as student
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.metrics import check_scoring
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold, check_cv
from sklearn.utils import check_random_state, indexable
from sklearn.utils._param_validation import HasMethods, Interval, validate_params
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.parallel import Parallel, delayed

from sklearn_transfer._process.blas import FEW_ROWS, one_blas_thread
from sklearn_transfer._validation import _safe_indexing, as_target, shorten, suggest_near
from sklearn_transfer.selection._negative_result import NegativeTransferResult
from sklearn_transfer.selection._target_difference import (
    check_labels_known,
    compute_target_interval,
    select_labeled,
)
from sklearn_transfer.selection._target_fit import fit_alone, fit_for_target, takes_target

_NAMED = ("scratch", "raw", "tfidf", "log-mel", "source-only")
_FOLDS = {"n_splits": 5, "n_repeats": 5}
# Of training rows where the score is on the target: Dietterich's 5 x 2.
_HALVES = {"n_splits": 2, "n_repeats": 5}


@validate_params(
    {
        "transferred": [HasMethods(["fit"])],
        "baseline": [HasMethods(["fit"]), str],
        "X": "no_validation",
        "y": ["array-like"],
        "cv": ["cv_object"],
        "scoring": [str, callable, None],
        "X_target": "no_validation",
        "y_target": ["array-like", None],
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
    y_target=None,
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
    baseline : estimator or {"scratch", "raw", "tfidf", "log-mel", "source-only"}
        What it must beat. An estimator is cloned; a name makes one from `transferred`:

        - "scratch": the same with random weights in each pretrained network, so that the
          difference is what pretraining brought;
        - "raw": pixels in place of each `PretrainedFeatures`: images at its `input_size`, but
          at most 32 x 32, as a row of numbers in [0, 1]; tables pass as they are;
        - "tfidf": counts of words weighted by rarity, those of `TfidfVectorizer` with at most
          10,000 words, in place of each `PretrainedTextFeatures`;
        - "log-mel": mean and standard deviation over time of the loudness of 64 bands of
          frequency, in place of each `PretrainedAudioFeatures`;
        - "source-only": the same fitted without `X_target`, so that nothing is adapted.
    X : sequence of n_samples samples
        Whatever the estimators take: features, or paths for a Pipeline.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets of X.
    cv : int, cross-validator or iterable of splits, default=None
        Folds, two or more. None is five repetitions of five folds, or with `y_target` of two
        halves, stratified for a classifier, drawn by `random_state`. For samples in groups
        give the splits.
    scoring : str or callable, default=None
        Name of a scorer, or `(estimator, X, y)` that returns a number; greater is better.
        None is "accuracy" for a classifier and "r2" for a regressor.
    X_target : sequence of n_target samples or TargetDomain, default=None
        Samples of the target, given whole to each estimator that takes them in `fit`, or
        that is a Pipeline with such a step. Its labels, if it has any, are not used.
    y_target : array-like of shape (n_target,), default=None
        Labels of a random sample of the rows of X_target, and None, NaN or NA for all others.
        Both models are then scored on these rows, and the verdict is about the target. They
        reach no fit.
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
            Scores of each fold, and the first minus the second.
        scoring, baseline : str
            Names of the score and of the baseline.
        confidence : float
            As given.
        n_labels : int or None
            Number of labeled target rows that the models were scored on, if they were.

        and `to_dict()`, all of it in plain Python types.

    Raises
    ------
    ValueError
        If a named baseline does not fit `transferred`, if `X_target` is given and nothing
        takes it, if a score is not finite, or if `y_target` has fewer than two labels, no
        label that is among the classes in y, or not an entry for each target row.

    See Also
    --------
    NegativeTransferDisplay : A picture of one or several results.
    shift_report : Whether source and target differ at all.
    choose_rows_to_label, target_accuracy : The accuracy of one model on the target.
    ImportanceWeightedScorer : A score for the target, without its labels.

    Notes
    -----
    Folds share training samples, so their differences are not independent and the usual
    t-test finds too much. With J folds of n_train and n_test samples and s^2 the variance of
    the differences, the variance of their mean is taken as (1 / J + n_test / n_train) s^2,
    with J - 1 degrees of freedom [1]_. For two models of equal worth the interval missed 0 in
    3 to 4 of 100 simulated tables of 40 to 150 samples. Equal differences in all folds
    prove nothing, and the verdict is "undecided".

    Without `y_target`, the verdict is about other samples from where X comes from, also for
    models that are fitted for the target: one that gave up source accuracy for the target
    "hurts". Label some target rows and pass `y_target`, or give a `scoring` that estimates
    the score on the target, such as `ImportanceWeightedScorer`.

    With `y_target`, each fold fits both models on its training rows of X and on X_target, and
    scores them on the same labeled target rows. Two things then vary. The target rows: of m
    rows with d_k the mean over fits of right minus right, and two imagined rows with +1 and
    -1 [4]_, the variance of the m + 2 values over m + 2; for a score other than accuracy, the
    jackknife of 20 groups of rows. The training rows: n_train / n_test s^2, the jackknife
    that leaves n_test rows out [5]_, since fits that share training rows differ less than
    fits on other ones. The interval is that of Student's t for the sum, with degrees of
    freedom by Satterthwaite, around the mean of the m + 2 values. For two models of equal
    worth 0 to 5 of 100 simulated verdicts were not "undecided", with 30 to 200 source rows and
    20 to 1000 labels. Halves of X (the 5 x 2 folds of Dietterich) need few fits and count
    randomness of a training only once; the models are those of half of X, which with few
    rows may be far from the final one: then pass ``cv=5``, which is more cautious.

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. (2003). Inference for the generalization error. Machine
       Learning 52.
    .. [2] Bouckaert, R. and Frank, E. (2004). Evaluating the replicability of significance
       tests for comparing learning algorithms. PAKDD.
    .. [3] Wang, Z., Dai, Z., Poczos, B. and Carbonell, J. (2019). Characterizing and avoiding
       negative transfer. CVPR.
    .. [4] Bonett, D. and Price, R. (2012). Adjusted Wald confidence interval for a difference
       of binomial proportions based on paired data. Journal of Educational and Behavioral
       Statistics 37.
    .. [5] Shao, J. and Wu, C. F. J. (1989). A general theory for jackknife variance
       estimation. Annals of Statistics 17.

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
    _check_target(transferred, baseline, X_target, y_target)
    name, reference = resolve_baseline(transferred, baseline)
    scoring = _choose_scoring(transferred) if scoring is None else scoring
    scorers = [check_scoring(model, scoring) for model in (transferred, reference)]
    fit = partial(fit_for_target, X_target=X_target)
    fits = [fit, fit_alone if name == "source-only" else fit]
    random_state = check_random_state(random_state)
    options = _FOLDS if y_target is None else _HALVES
    folds = build_folds(cv, transferred, X, y, random_state, options)
    labeled = None
    if y_target is not None:
        labeled = select_labeled(X_target, y_target, scorers[0], random_state)
        if is_classifier(transferred):
            check_labels_known(labeled.y, y)
    jobs = list(zip((transferred, reference), fits, scorers, strict=True))
    with one_blas_thread(len(y) <= FEW_ROWS):
        scored = Parallel(n_jobs=n_jobs)(
            delayed(_score_fold)(jobs, X, y, train, test, labeled) for train, test in folds
        )
    scores = np.array([[score for score, _ in fold] for fold in scored])
    first, second = _validate_scores(scores, _name_scoring(scoring)).T
    sizes = np.array([(len(test), len(train)) for train, test in folds])
    if labeled is None:
        scale = _compute_scale(first, second)
        found = compute_corrected_interval(first - second, sizes, confidence, scale)
    else:
        parts = np.array([fold[0][1] - fold[1][1] for fold in scored])
        of_rows = labeled.groups is None
        found = compute_target_interval(first - second, parts, sizes, confidence, of_rows)
    return NegativeTransferResult(
        n_labels=None if labeled is None else len(labeled.y),
        differences=first - second,
        scores_transferred=first,
        scores_baseline=second,
        scoring=_name_scoring(scoring),
        baseline=name,
        confidence=float(confidence),
        **found,
    )


def _check_target(transferred, baseline, X_target, y_target):
    named = isinstance(baseline, str)
    if named and baseline == "source-only" and X_target is None:
        raise ValueError(
            "baseline='source-only' compares a model fitted for the target with one that is "
            "not, and X_target=None: pass X_target=X_target"
        )
    compares_adaptation = named and baseline == "source-only"
    if X_target is None or (y_target is not None and not compares_adaptation):
        return
    models = [transferred] if named else [transferred, baseline]
    if not any(takes_target(model) for model in models):
        raise ValueError(
            f"X_target was given, and {' and '.join(type(m).__name__ for m in models)} take "
            "no X_target in fit, nor has a step that does: wrap the estimator in "
            "ImportanceWeighted, put an aligner into its Pipeline, or leave X_target out"
        )


def resolve_baseline(transferred, baseline):
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

    make = {
        "scratch": _baselines.replace_pretrained,
        "raw": _baselines.replace_features,
        "tfidf": _baselines.replace_texts,
        "log-mel": _baselines.replace_sounds,
    }
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


def build_folds(cv, estimator, X, y, random_state, options):
    """Rows to fit on and rows to score, of each fold."""
    classes = is_classifier(estimator) and type_of_target(y) in ("binary", "multiclass")
    if cv is None:
        repeated = RepeatedStratifiedKFold if classes else RepeatedKFold
        cv = repeated(**options, random_state=random_state)
    folds = list(check_cv(cv, y, classifier=classes).split(X, y))
    if len(folds) < 2:
        raise ValueError(
            f"cv gives {len(folds)} fold: differences need two or more to show their spread. "
            "Give more, for example ShuffleSplit(25, test_size=0.2)."
        )
    return folds


def _score_fold(jobs, X, y, train, test, labeled=None):
    """Score of each model that is fitted on one fold, and its parts on labeled target rows.

    Without these, the score is that on the rest of X and has no parts.
    """
    X_train, y_train = _safe_indexing(X, train), _safe_indexing(y, train)
    fitted = [(fit(clone(model), X_train, y_train), scorer) for model, fit, scorer in jobs]
    if labeled is not None:
        return [labeled.score(scorer, model) for model, scorer in fitted]
    X_test, y_test = _safe_indexing(X, test), _safe_indexing(y, test)
    return [(float(scorer(model, X_test, y_test)), None) for model, scorer in fitted]


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
