"""Accuracy under corruptions, of a model and of a baseline on the same folds."""

from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone, is_regressor
from sklearn.metrics import check_scoring
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, validate_params
from sklearn.utils.parallel import Parallel, delayed

from sklearn_transfer._html import format_report
from sklearn_transfer._sampling import draw_seed
from sklearn_transfer._validation import (
    as_target,
    check_class_labels,
    column_or_1d,
    format_list,
    suggest_near,
)
from sklearn_transfer.selection._corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
    find_corruptible_kind,
    read_plain,
)
from sklearn_transfer.selection._negative import (
    build_folds,
    compute_corrected_interval,
    resolve_baseline,
)

_FOLDS = {"n_splits": 5, "n_repeats": 2}


@dataclass(frozen=True)
class Robustness:
    """Scores under one corruption: those of both models, and what their difference proves.

    The fall is that of the model with transfer, from its score on clean samples.
    """

    corruption: str
    severity: int
    score: float
    fall: float
    fall_interval: tuple
    baseline_score: float | None = None
    mean_difference: float | None = None
    interval: tuple | None = None
    verdict: str | None = None

    def describe(self):
        """One line of the report."""
        text = f"{self.score:.3f}"
        if self.severity:
            low, high = self.fall_interval
            text += f" ({_format_change(-self.fall, -high, -low)})"
        if self.baseline_score is None:
            return text
        difference = _format_change(self.mean_difference, *self.interval)
        return f"{text} against {self.baseline_score:.3f}: {self.verdict} ({difference})"


@dataclass(frozen=True, repr=False, eq=False)
class RobustnessReport:
    """What `robustness_report` found; see there."""

    rows: list
    kind: str
    baseline: str | None
    scoring: str
    confidence: float
    n_folds: int

    def to_dict(self):
        """All attributes in plain Python types."""
        rows = [dict(vars(row)) for row in self.rows]
        return {**vars(self), "rows": rows}

    def _describe(self):
        worst = min(self.rows[1:], key=lambda row: row.score)
        text = f"{self.scoring} does not fall under any of these corruptions."
        if worst.fall > 0:
            text = (
                f"{self.scoring} falls most under {worst.corruption} of severity"
                f" {worst.severity}, from {self.rows[0].score:.3f} to {worst.score:.3f}."
            )
        if self.baseline is None:
            return text
        counts = {
            verdict: sum(row.verdict == verdict for row in self.rows[1:])
            for verdict in ("helps", "hurts", "undecided")
        }
        return (
            f"{text} Against the baseline {self.baseline}, transfer helps under"
            f" {counts['helps']} of {len(self.rows) - 1} corruptions, hurts under"
            f" {counts['hurts']}, and {counts['undecided']} are undecided."
        )

    def _iterate_rows(self):
        for row in self.rows:
            name = f"{row.corruption} {row.severity}" if row.severity else row.corruption
            yield name, row.describe()

    def __str__(self):
        lines = [f"{name:14} {value}" for name, value in self._iterate_rows()]
        return "\n".join([f"Robustness ({self.scoring})", *lines, self._describe()])

    __repr__ = __str__

    def _repr_html_(self):
        caption = f"Robustness ({self.scoring})"
        return format_report(caption, self._iterate_rows(), self._describe())


@validate_params(
    {
        "estimator": [HasMethods(["fit", "predict"])],
        "X": "no_validation",
        "y": ["array-like"],
        "baseline": [HasMethods(["fit", "predict"]), str, None],
        "corruptions": ["array-like", None],
        "severities": ["array-like"],
        "cv": ["cv_object"],
        "scoring": [str, callable],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def robustness_report(
    estimator,
    X,
    y,
    *,
    baseline=None,
    corruptions=None,
    severities=SEVERITIES,
    cv=None,
    scoring="accuracy",
    confidence=0.95,
    n_jobs=None,
    random_state=None,
):
    """Score a classifier on corrupted test samples, and compare it with a baseline.

    Features of a large network are said to be robust. This fits models on clean samples and
    scores them on samples with noise, blur, compression, little light or a covered part, and
    says for each whether transfer is better there than a baseline.

    Parameters
    ----------
    estimator : classifier
        Takes samples, such as a Pipeline of `PretrainedFeatures` and `LogisticRegression`.
        Clones of it are fitted.
    X : sequence of n_samples samples
        Images, texts or sounds, as the extractors take them; arrays of sounds come as pairs
        (waveform, sampling_rate).
    y : array-like of shape (n_samples,)
        Labels.
    baseline : estimator, {"scratch", "raw", "tfidf", "log-mel"} or None, default=None
        What to compare with, as in `negative_transfer_test`; None compares with nothing.
    corruptions : list of str, default=None
        Of images: "noise", "blur", "jpeg", "dark" and "occlusion"; of texts: "typos"; of
        sounds: "noise". None is all of them.
    severities : list of {1, 2, 3}, default=(1, 2, 3)
        How strong: noise of standard deviation 10, 25 or 50 of 255 levels; blur of 0.5, 1.2
        or 2.5 % of the shorter side; JPEG of quality 40, 15 or 5; 70, 45 or 20 % of the
        light; 5, 15 or 30 % of the area covered by gray; 3, 8 or 16 % of the letters swapped,
        dropped, doubled or replaced; white noise 20, 10 or 0 dB below a sound.
    cv : int, cross-validator or iterable of splits, default=None
        Folds, two or more. None is two repetitions of five, stratified, drawn by
        `random_state`. For samples in groups give the splits.
    scoring : str or callable, default="accuracy"
        Name of a scorer, or `(estimator, X, y)` that returns a number; greater is better.
    confidence : float, default=0.95
        Of the intervals, between 0 and 1.
    n_jobs : int, default=None
        Folds fitted at once, as in scikit-learn.
    random_state : int, RandomState instance or None, default=None
        Draws folds and corruptions. It does not reach the estimators.

    Returns
    -------
    report : RobustnessReport
        Prints as a table, shows as HTML in a notebook, and holds `rows`, one for clean
        samples and one per corruption and severity, with the attributes

        corruption, severity : str, int
            "clean" and 0 for samples as they are.
        score, fall : float
            Mean score over the folds, and how much lower it is than that of clean samples.
        fall_interval : tuple of float
            Confidence interval of the fall; NaN where it is equal in all folds.
        baseline_score, mean_difference : float or None
            Mean score of the baseline, and how much higher that of the estimator is.
        interval, verdict : tuple of float, str, or None
            Confidence interval of that mean, and "helps", "hurts" or "undecided".

        It also holds `kind`, `baseline`, `scoring`, `confidence`, `n_folds` and `to_dict()`.

    Raises
    ------
    ValueError
        If X is a table, a sample cannot be read, a corruption or severity is unknown, a score
        is not finite, or the estimator is no classifier.

    See Also
    --------
    negative_transfer_test : The comparison on clean samples.
    shift_report : Whether new samples differ from the labeled ones.

    Notes
    -----
    Both models see the same corrupted samples, so that their differences by fold are paired,
    and so is the fall of a model from clean to corrupted samples. The intervals are those of
    `negative_transfer_test`, which account for the training rows that folds share. There is
    one for each row: of 15, one may miss by chance. A model that is better on clean
    samples starts higher, so compare `fall` as well. Rows that belong together, such as
    pictures of one patient, make intervals too short unless `cv` keeps them together.

    Corruptions follow [1]_ in spirit; their strengths are of this package. Images are given to
    both models as RGB arrays and sounds as waveforms, which stay in memory; corrupted samples
    are made when they are scored, and equal ones in each repetition, so that a cache lets each
    pass a network once.

    References
    ----------
    .. [1] D. Hendrycks, T. Dietterich. "Benchmarking Neural Network Robustness to Common
       Corruptions and Perturbations". ICLR, 2019.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.naive_bayes import MultinomialNB
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_transfer.selection import robustness_report
    >>> texts = ["a sunny morning", "a rainy evening"] * 10
    >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
    >>> report = robustness_report(model, texts, [1, 0] * 10, random_state=0)
    >>> [(row.corruption, row.severity) for row in report.rows]
    [('clean', 0), ('typos', 1), ('typos', 2), ('typos', 3)]
    """
    _check_models(estimator, baseline)
    kind = find_corruptible_kind(X)
    names = _check_names(corruptions, severities, kind)
    y = as_target(y)
    check_class_labels(y)
    labels, samples = column_or_1d(y), read_plain(X, kind)
    check_consistent_length(samples, labels)
    random_state = check_random_state(random_state)
    folds = build_folds(cv, estimator, samples, labels, random_state, _FOLDS)
    seed, models, name = draw_seed(random_state), [estimator], None
    if baseline is not None:
        name, reference = resolve_baseline(estimator, baseline)
        models.append(reference)
    tests = [partial(corrupt, samples, kind, *pair, seed) for pair in names]
    scored = Parallel(n_jobs=n_jobs)(
        delayed(_score_fold)(models, samples, tests, labels, train, test, scoring)
        for train, test in folds
    )
    # Of folds, samples clean or corrupted, and models.
    scores = _validate_scores(np.array(scored), [("clean", 0), *names])
    sizes = np.array([(len(test), len(train)) for train, test in folds])
    rows = [
        _compare(pair, scores[:, place], scores[:, 0, 0], sizes, confidence)
        for place, pair in enumerate([("clean", 0), *names])
    ]
    return RobustnessReport(
        rows=rows,
        kind=kind,
        baseline=name,
        scoring=scoring if isinstance(scoring, str) else "score",
        confidence=float(confidence),
        n_folds=len(folds),
    )


def _check_names(corruptions, severities, kind):
    """Pairs of a corruption and a severity."""
    known = CORRUPTIONS[kind]
    corruptions = list(known) if corruptions is None else list(corruptions)
    for name in corruptions:
        if name not in known:
            raise ValueError(
                f"corruptions holds {name!r}, expected names among {format_list(known)} for"
                f" samples of the kind {kind!r}.{suggest_near(name, known)}"
            )
    for severity in severities:
        if severity not in SEVERITIES:
            raise ValueError(
                f"severities holds {severity!r}, expected numbers among {list(SEVERITIES)}"
            )
    if not len(corruptions) or not len(severities):
        raise ValueError(
            "corruptions or severities is empty: give at least one of each, or leave them out"
        )
    return [(str(name), int(severity)) for name in corruptions for severity in severities]


def _check_models(estimator, baseline):
    if is_regressor(estimator):
        raise ValueError(
            f"{type(estimator).__name__} is a regressor, and robustness_report scores classes:"
            " pass a classifier"
        )
    if isinstance(baseline, str) and baseline == "source-only":
        raise ValueError(
            "baseline='source-only' is a model without X_target, which robustness_report does"
            " not take: give another name, or an estimator"
        )


def _score_fold(models, samples, tests, y, train, test, scoring):
    """For the test rows clean and under each corruption, the scores of all models."""
    given = [samples[row] for row in train]
    fitted = [clone(model).fit(given, y[train]) for model in models]
    scorers = [check_scoring(model, scoring) for model in fitted]
    found = []
    for place in range(len(tests) + 1):
        # One corruption at a time: all of them would need many times the memory of X.
        given = tests[place - 1](rows=test) if place else [samples[row] for row in test]
        found.append(
            [
                float(scorer(model, given, y[test]))
                for scorer, model in zip(scorers, fitted, strict=True)
            ]
        )
    return found


def _validate_scores(scores, names):
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        fold, place, model = bad[0]
        raise ValueError(
            f"The score of the {('estimator', 'baseline')[model]} is"
            f" {scores[tuple(bad[0])]} on fold {fold} under {names[place][0]!r}: give folds"
            " and a scoring that have a finite score"
        )
    return scores


def _compare(pair, scores, clean, sizes, confidence):
    """`Robustness` from scores of shape (n_folds, n_models)."""
    fall = compute_corrected_interval(clean - scores[:, 0], sizes, confidence)
    compared = {}
    if scores.shape[1] > 1:
        differences = scores[:, 0] - scores[:, 1]
        compared = compute_corrected_interval(differences, sizes, confidence)
        del compared["p_value"]
        compared["baseline_score"] = float(scores[:, 1].mean())
    return Robustness(
        *pair,
        score=float(scores[:, 0].mean()),
        fall=fall["mean_difference"],
        fall_interval=fall["interval"],
        **compared,
    )


def _format_change(mean, low, high):
    """A change with its sign, and its interval if there is one."""
    text = f"{round(mean, 3) + 0.0:+.3f}"
    return text if np.isnan(low) else f"{text}, {low:+.3f} to {high:+.3f}"
