"""Ranking of ways to adapt to a target, by evidence that needs no target labels."""

import time
import warnings
from dataclasses import dataclass, field, replace
from numbers import Integral

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.validation import check_consistent_length

from sklearn_transfer._process.blas import FEW_ROWS, one_blas_thread
from sklearn_transfer._sampling import draw_seed
from sklearn_transfer._validation import (
    check_class_labels,
    check_classes,
    column_or_1d,
    shorten,
    split_domains,
)
from sklearn_transfer.selection._adaptation_candidates import name_candidates
from sklearn_transfer.selection._adaptation_scores import Domains, FoldScores, score_folds
from sklearn_transfer.selection._adaptation_table import (
    AdaptationCandidate,
    AdaptationRanking,
    describe_failures,
)
from sklearn_transfer.selection._collapse import (
    TargetShares,
    estimate_target_shares,
    find_collapse,
)
from sklearn_transfer.selection._feature_classifier import (
    build_feature_classifier,
    find_different_units,
)
from sklearn_transfer.selection._label_free import PARTS
from sklearn_transfer.selection._neighbors import compare_parts, find_neighbors
from sklearn_transfer.selection._representation import extract_features
from sklearn_transfer.selection._target_fit import NO_TARGET
from sklearn_transfer.selection._two_sample import classifier_two_sample_test
from sklearn_transfer.weighting import ImportanceWeighted
from sklearn_transfer.weighting._classifiers import draw_stratified_folds
from sklearn_transfer.weighting._domain_ratio import estimate_domain_ratio

# Gains that count: as a share of the largest value that a score can have, and as a number of
# standard errors. Chosen on pairs of domains with known labels.
_LEAST_GAIN, _ERRORS = 0.02, 2.0
# Domains that a classifier tells apart no better than this level says are taken as equal.
_LEVEL, _PERMUTATIONS = 0.05, 199


@validate_params(
    {
        "candidates": "no_validation",
        "X": "no_validation",
        "y": ["array-like"],
        "X_target": "no_validation",
        "representation": [HasMethods(["fit", "transform"]), None],
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
        "score": [StrOptions(set(PARTS))],
        "cv": [Interval(Integral, 2, None, closed="left"), None],
        "task": [StrOptions({"auto", "classification"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def rank_adaptations(
    candidates,
    X,
    y,
    X_target,
    *,
    representation=None,
    estimator=None,
    score="neighbors",
    cv=3,
    task="auto",
    random_state=0,
):
    """Rank ways to adapt a classifier to a target without labels, and choose one.

    Adaptation often helps and sometimes hurts, and which of both cannot be seen on the
    source. This fits every candidate for the target, gathers the evidence that needs no
    target labels in one table, and chooses a candidate only if the evidence for it is clear.
    The model without adaptation is always among the candidates and wins ties.

    Parameters
    ----------
    candidates : "auto", list of str or classifier, or dict
        What is compared. Words stand for ways to adapt `estimator` on features of the
        samples:

        - "none": no adaptation, which is always compared;
        - "kmm", "ulsif", "neighbors", "label-shift": reweighted source rows (`KMM`, `ULSIF`,
          `NearestNeighborWeights`, `LabelShiftWeights`);
        - "mean", "mean-scale", "coral", "subspace", "tca", "transport": aligned features
          (`MeanAlignment` without and with `match_scale`, `CORAL`, `SubspaceAlignment`,
          `TransferComponentAnalysis`, `OptimalTransport`);
        - "mcc", "infomax", "bnm", "jdot", "deep-coral", "mmd", "cdan", "dann": a bottleneck
          adapted by `FineTunedClassifier(freeze="all", adapt=...)`, in place of `estimator`.

        "auto" takes all of these but "cdan" and "dann", whose results differ too much from
        run to run. A classifier is cloned and fitted on the samples as they are, with
        `X_target` if it or a step of it takes that; one with an aligner that cannot get it,
        as inside a search of Pipelines, is not rated. A dict gives names. Warnings of the
        fits are not shown.
    X : sequence of n_samples samples, or array-like of shape (n_samples, n_features)
        Source samples.
    y : array-like of shape (n_samples,)
        Their classes.
    X_target : sequence of n_target samples, or TargetDomain
        Samples of the target, whose labels are never used.
    representation : transformer, default=None
        Turns samples of both domains into features, such as `PretrainedFeatures()`; a clone
        is fitted on the source. None means that X is a table of features.
    estimator : classifier with `predict_proba`, default=None
        What is reweighted, or fitted on aligned features. None is a logistic regression on
        centered features divided by one number, the standard deviation along their first
        principal component. They are standardized before everything else if cross-validation
        on the source makes fewer errors so, as where columns of a table differ in unit.
    score : {"neighbors", "infomax", "bnm"}, default="neighbors"
        Score by which candidates are sorted and chosen, see Notes.
    cv : int or None, default=3
        Folds of the source for the scores that need rows which a model has not seen, each of
        which costs two more fits of every candidate. Folds without which one class is left
        are passed over. None leaves these scores out; the choice does not depend on them.
    task : {"auto", "classification"}, default="auto"
        "auto" refuses many distinct whole numbers as y, such as ages, by the rule of
        `logme`.
    random_state : int, RandomState instance or None, default=0
        Draws folds, and seeds candidates named by words.

    Returns
    -------
    ranking : AdaptationRanking
        A table, the best candidate first, that prints itself and shows in notebooks, with

        candidates : tuple of AdaptationCandidate
            In the order of the score, those that failed last. Their attributes are

            - `name`, `kind` (str): the name, and "none", "reweighted", "aligned", "adapted"
              or "given";
            - `estimator`: fitted on all of the source for the target, ready to predict
              samples of the target as they were given here;
            - `scores` (dict): by name, higher is better, see Notes;
            - `gain`, `gain_error` (float): score of the ranking less that of the model
              without adaptation, and the standard error of that difference;
            - `accuracy`, `accuracy_error` (float): estimate of the accuracy on the target by
              average thresholded confidence, and its standard error over folds;
            - `agreement` (float): share of target rows that are predicted as the model
              without adaptation predicts them;
            - `seconds` (float): time of the fit;
            - `collapsed` (bool): whether classes that the target holds are hardly predicted;
              such a candidate is never chosen;
            - `supported` (bool): whether the gain counts, see Notes; of the candidates with a
              supported gain the one with the largest is chosen;
            - `problem` (str): why the candidate could not be rated, or None.
        chosen : AdaptationCandidate
            The one to use.
        reason : str
            Why, in one sentence.
        score_name : str
            Name of the score.
        source_only : AdaptationCandidate
            The one without adaptation.
        to_frame() : pandas.DataFrame
            One row per candidate.
        plot(ax=None) : AdaptationDisplay
            Gains with their errors; see there.

    Raises
    ------
    ValueError
        If X is no table and no representation is given, if y holds one class, or if the
        model without adaptation cannot be fitted.

    See Also
    --------
    shift_report : Whether the domains differ at all.
    target_accuracy : The accuracy on the target, from a few labels.
    negative_transfer_test : Whether adaptation helps, from a few labels of the target.
    AdaptationDisplay : Plot of the gains.

    Notes
    -----
    Scores of predicted probabilities p of target rows, each from 0 to 1:

    - "neighbors": mutual information between the class of a row and that of one of its 10
      nearest neighbors, ``sum_kl J_kl log(J_kl / (J_k J_l)) / log K`` with J the mean of
      ``p_i q_i'`` and q_i the mean of p over the neighbors of row i, in at most 50 principal
      components of the standardized features. It is the objective of invariant information
      clustering [1]_, with neighbors in place of augmented copies. It is large where a model
      is confident, uses several classes, and gives rows that lie together the same one; a
      model that predicts one class scores 0.
    - "infomax": mutual information between row and class, ``H(mean p) - mean H(p)`` over log
      K. "bnm": nuclear norm of the matrix of p over its largest value [2]_. Both reward
      models that are confident and use all classes alike, right or wrong: where shares of the
      classes differ between the domains they favor harmful candidates.

    From folds: "importance-weighted" and "dev" [3]_ are accuracies on source rows weighted
    by the ratio of the densities; "reverse" is the accuracy on source rows of a model that
    was fitted on the candidate's own predictions for the target [4]_. Source rows pass
    aligners as rows of the source. `accuracy` is too high where the shift is strong.

    The candidate with the largest gain is chosen, of those that are not collapsed and gain at
    least 0.02 and two standard errors, if `classifier_two_sample_test` tells the domains apart
    at level 0.05. Where only the shares of the classes differ, as tests of rows drawn from the
    source in the estimated shares say, only reweighted candidates can be chosen: the others
    move rows of common classes onto rare ones. The numbers were chosen on fourteen pairs of
    domains of digits, garments, photos and textiles. On ten others, fixed before they were
    measured, the choice gained 7.8 points of accuracy on average, of 9.5 that the best choice
    by half of the labels gains, and lost 1.3 at the most (`python -m benchmarks.adaptation
    --set second-confirmation`). On the twelve of an earlier confirmation it gained 6.7 of
    10.3, but lost 13 on one with other shares of the classes, which led to the rule on these.

    The assumption is that classes form clusters in the features of the target. Where they do
    not, such as a defect that is a detail of the image, or where labels depend on inputs as
    in the source and inputs alone have moved, no score can tell which candidate is right, and
    a few labels should decide: see `target_accuracy`.

    References
    ----------
    .. [1] Ji, X., Henriques, J. and Vedaldi, A. (2019). Invariant information clustering for
       unsupervised image classification and segmentation. ICCV.
    .. [2] Cui, S., Wang, S., Zhuo, J., Li, L., Huang, Q. and Tian, Q. (2020). Towards
       discriminability and diversity: batch nuclear-norm maximization under label
       insufficient situations. CVPR.
    .. [3] You, K., Wang, X., Long, M. and Jordan, M. (2019). Towards accurate model
       selection in deep unsupervised domain adaptation. ICML.
    .. [4] Zhong, E., Fan, W., Yang, Q., Verscheure, O. and Ren, J. (2010). Cross validation
       framework to choose amongst models and datasets for transfer learning. ECML PKDD.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer import rank_adaptations
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = rng.integers(2, size=(2, 200))
    >>> X, X_target = (rng.normal(3.0 * v[:, None], 1, (200, 2)) for v in (y, y_target))
    >>> ranking = rank_adaptations(["mean", "coral"], X, y, X_target + 4)
    >>> ranking.chosen.kind
    'aligned'
    >>> bool(ranking.chosen.estimator.score(X_target + 4, y_target) > 0.95)
    True
    """
    random_state = check_random_state(random_state)
    classifier = build_feature_classifier() if estimator is None else estimator
    named = name_candidates(candidates, classifier, draw_seed(random_state))
    X, y, X_target = split_domains(X, y, X_target, None)
    y = _validate_labels(X, y, task)
    comparison = _compare_domains(X, y, X_target, representation, cv, random_state)
    few = max(len(y), len(comparison.neighbors)) <= FEW_ROWS
    with one_blas_thread(few):
        p_value = comparison.test_shift(random_state)
        if estimator is None and find_different_units(comparison.table.X, y, random_state):
            named = [candidate.standardize() for candidate in named]
        rated = [comparison.rate(candidate) for candidate in named]
    return _choose(rated, score, _Shift(p_value, comparison.shares.is_estimate))


def _validate_labels(X, y, task):
    check_consistent_length(X, y)
    check_classes(y, task, "rank_adaptations")
    y = column_or_1d(y)
    check_class_labels(y)
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"y holds one class, {shorten(y[:1].tolist()[0])}: at least two are needed"
        )
    return y


def _compare_domains(X, y, X_target, representation, cv, random_state):
    """`_Comparison` of candidates on these samples."""
    classes = np.unique(y)
    features, others, representation = extract_features(
        "rank_adaptations", representation, X, y, X_target, least=3
    )
    if representation is None and hasattr(X, "columns"):
        # Models of the table are fitted on an array, and this knows the names of its columns.
        representation = FunctionTransformer(validate=True).fit(X)
    folds, ratio = None, None
    if cv is not None:
        ratio = estimate_domain_ratio(features, others, random_state)
        folds = draw_stratified_folds(np.searchsorted(classes, y), cv, random_state)
    return _Comparison(
        samples=Domains(X, y, X_target, classes),
        table=Domains(features, y, others, classes),
        representation=representation,
        folds=folds,
        ratio=ratio,
        neighbors=find_neighbors(others),
        shares=estimate_target_shares(features, y, others),
    )


@dataclass(frozen=True, eq=False)
class _Rated:
    """A candidate with parts of its scores by target row, and its predictions there."""

    candidate: AdaptationCandidate
    parts: dict = field(default_factory=dict)
    predicted: np.ndarray | None = None


@dataclass(frozen=True)
class _Shift:
    """How the domains differ.

    Parameters
    ----------
    p_value : float
        That of a test that the domains are equal.
    is_of_shares : bool
        Whether rows of a class look alike in both domains, so that only the shares of the
        classes differ, if anything does.
    """

    p_value: float
    is_of_shares: bool

    def is_reason_for(self, row):
        """Whether to choose a candidate that gains enough: none on equal domains.

        Aligning domains that differ in the shares of their classes moves rows of one class
        onto those of another, and objectives of adaptation do the same.
        """
        if self.p_value > _LEVEL:
            return False
        reweights = row.kind == "reweighted" or isinstance(row.estimator, ImportanceWeighted)
        return reweights or not self.is_of_shares


@dataclass(frozen=True, eq=False)
class _Comparison:
    """What all candidates are fitted on and judged by."""

    samples: Domains
    table: Domains
    representation: object
    folds: np.ndarray | None
    ratio: np.ndarray | None
    neighbors: np.ndarray
    shares: TargetShares

    def test_shift(self, random_state):
        """p-value of a test that the domains are equal, which adapting could only disturb."""
        X, T = self.table.X, self.table.X_target
        options = {"n_permutations": _PERMUTATIONS, "random_state": random_state}
        return classifier_two_sample_test(X, T, **options).p_value

    def rate(self, named):
        """`_Rated` of a `Named` candidate; an error of its fit becomes its problem."""
        domains = self.table if named.takes_features else self.samples
        row = AdaptationCandidate(named.name, named.kind)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Inside a search or a calibration, an aligner would not get the target.
                warnings.filterwarnings("error", message=NO_TARGET)
                model = domains.fit(named.estimator)
                seconds = time.perf_counter() - start
                found = domains.predict_target(model)
                by_fold = self._score_folds(named.estimator, domains)
        except Exception as error:  # whatever a candidate raises, the others go on
            text = f"{error}".strip() or type(error).__name__
            return _Rated(replace(row, problem=text))
        parts = {name: compute(found, self.neighbors) for name, compute in PARTS.items()}
        scores = {name: float(values.mean()) for name, values in parts.items()}
        row = replace(row, estimator=self._join(named, model), seconds=seconds)
        row = replace(row, scores={**scores, **by_fold.scores})
        row = replace(row, accuracy=by_fold.accuracy, accuracy_error=by_fold.accuracy_error)
        predicted = found.argmax(axis=1)
        counts = np.bincount(predicted, minlength=found.shape[1])
        is_collapsed = find_collapse(counts / len(found), domains.classes, self.shares)
        return _Rated(replace(row, collapsed=is_collapsed), parts, predicted)

    def _join(self, named, model):
        """Model of samples as they were given."""
        if self.representation is None or not named.takes_features:
            return model
        return Pipeline([("features", self.representation), ("model", model)])

    def _score_folds(self, estimator, domains):
        if self.folds is None:
            return FoldScores()
        return score_folds(estimator, domains, self.folds, self.ratio)


def _choose(rated, score, shift):
    """`AdaptationRanking` of candidates, of which the first does not adapt."""
    source_only, others = rated[0], rated[1:]
    if source_only.candidate.problem is not None:
        raise ValueError(
            "The classifier without adaptation could not be fitted:"
            f" {source_only.candidate.problem}"
        )
    rows = [replace(source_only.candidate, gain=0.0, gain_error=0.0, agreement=1.0)]
    rows += [_compare(other, source_only, score, shift) for other in others]
    _warn_of_problems(rows)
    found = [row for row in rows[1:] if row.problem is None]
    supported = [row for row in found if row.supported]
    chosen = max(supported, key=lambda row: row.gain) if supported else rows[0]
    # Source-only stands before candidates of the same score, since sorting is stable.
    rows.sort(key=lambda row: (row.problem is not None, -row.scores.get(score, 0)))
    return AdaptationRanking(tuple(rows), chosen, _explain(chosen, found, score, shift), score)


def _compare(rated, source_only, score, shift):
    """`AdaptationCandidate` with its gain over source-only, and whether that counts."""
    row = rated.candidate
    if row.problem is not None:
        return row
    gain, error = compare_parts(rated.parts[score], source_only.parts[score])
    agreement = float(np.mean(rated.predicted == source_only.predicted))
    counts = gain >= _LEAST_GAIN and gain > _ERRORS * error
    supported = bool(counts and not row.collapsed and shift.is_reason_for(row))
    return replace(row, gain=gain, gain_error=error, agreement=agreement, supported=supported)


def _explain(chosen, found, score, shift):
    """Sentence that says what was chosen and why."""
    if chosen.kind != "none":
        return (
            f"Choose {chosen.name!r}: its score {score!r} is {chosen.gain:.3f} above that of"
            f" the model without adaptation (standard error {chosen.gain_error:.3f}), the"
            f" largest gain that counts among {len(found)}"
            f" candidate{'s' * (len(found) != 1)}, and it predicts"
            f" {1 - chosen.agreement:.0%} of the target rows differently."
        )
    if shift.p_value > _LEVEL:
        return (
            "Keep the model without adaptation: a classifier does not tell the domains apart"
            f" (p = {shift.p_value:.2g})."
        )
    if not found:
        return "Keep the model without adaptation: there is no other candidate."
    if shift.is_of_shares:
        return (
            "Keep the model without adaptation: samples of a class look alike in both domains,"
            " so that only the shares of the classes differ, and no reweighted candidate has a"
            " gain that counts. Aligned and adapted ones would mix classes up."
        )
    whole = [row for row in found if not row.collapsed]
    if not whole:
        return (
            "Keep the model without adaptation: the predictions of all other candidates leave"
            " out classes that the target holds."
        )
    best = max(whole, key=lambda row: row.gain)
    collapsed = ""
    if len(whole) < len(found):
        collapsed = ", leaving aside candidates that hardly predict a class of the target,"
    return (
        f"Keep the model without adaptation: no gain in the score {score!r} counts. The"
        f" largest{collapsed} is {best.gain:+.3f} of {best.name!r} (standard error"
        f" {best.gain_error:.3f}), and a gain counts from {_LEAST_GAIN} and"
        f" {_ERRORS:g} standard errors on."
    )


def _warn_of_problems(rows):
    lines = [f"- {line}" for line in describe_failures(rows)]
    if lines:
        n = sum(row.problem is not None for row in rows)
        reasons = "\n".join(lines)
        warnings.warn(
            f"{n} of {len(rows)} candidates could not be rated:\n{reasons}",
            UserWarning,
            stacklevel=5,
        )
