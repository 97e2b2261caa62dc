"""Report of how source and target differ, and the rules for what to do about it."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length

from sklearn_transfer._sampling import draw_rows, draw_seed
from sklearn_transfer._validation import column_or_1d, resolve_task
from sklearn_transfer.alignment._coral import match_moments
from sklearn_transfer.selection._adaptations import rank_adaptations
from sklearn_transfer.selection._label_shift import label_shift_test
from sklearn_transfer.selection._mmd import compute_permuted_mmd, compute_pooled_gamma, mmd
from sklearn_transfer.selection._overlap import (
    compute_best_feature_auc,
    compute_covered_size,
    compute_outside_share,
)
from sklearn_transfer.selection._permutation import compute_p_value
from sklearn_transfer.selection._report import ShiftReport
from sklearn_transfer.selection._representation import extract_features
from sklearn_transfer.selection._two_sample import classifier_two_sample_test, split_rows
from sklearn_transfer.selection._within_classes import compare_within_classes
from sklearn_transfer.weighting._domain_ratio import estimate_domain_ratio

_SEPARATE = 0.99  # Gaussians told apart so well: weights would keep 1 row in 50,000
_BEYOND = 0.5  # share of the target outside of the source that no weight reaches
_SOME_BEYOND = 0.2  # and that at which too much is missed for weights to be the answer
_FEW = 0.1  # effective share of the source under which weights rest on too few rows
_EQUAL = 0.95  # effective share from which weights change next to nothing
_HALF = 0.5  # share of the discrepancy that weights must remove
_FIFTH = 0.2  # share that may stay where mean and covariance are said to explain it
_CLASSES_LEAVE = 0.1  # share that may stay where classes alone are said to explain it
_RANKED = 1000  # rows of each domain that ways to adapt are compared on
_FEWEST = 10  # and under which they are not
# Those that are fitted in seconds without a network. Optimal transport is left out: it moves
# the source onto clusters of the target whether or not they are classes, so that its
# predictions look consistent in either case.
_WAYS = ("kmm", "label-shift", "mean", "mean-scale", "coral")


@validate_params(
    {
        "X": "no_validation",
        "X_target": "no_validation",
        "y": ["array-like", None],
        "representation": [HasMethods(["fit", "transform"]), None],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "max_samples": [Interval(Integral, 4, None, closed="left"), None],
        "task": [StrOptions({"auto", "classification", "regression"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def shift_report(
    X,
    X_target,
    y=None,
    *,
    representation=None,
    alpha=0.05,
    n_permutations=999,
    max_samples=2000,
    task="auto",
    random_state=None,
):
    """Report how source and target differ, and say in one sentence what to do.

    Parameters
    ----------
    X : sequence of n_samples samples, or array-like of shape (n_samples, n_features)
        Source samples, at least two.
    X_target : sequence of n_target samples, or TargetDomain
        Target samples, at least two.
    y : array-like of shape (n_samples,), default=None
        Classes of the source rows, which let the report look for differences in class
        shares. Numbers of a regression, one class, or more classes than half the rows are
        not used.
    representation : transformer, default=None
        Turns samples of both domains into features, such as `PretrainedFeatures()` or
        `PretrainedTextFeatures()`; a clone is fitted on the source. None means that X is a
        table of features.
    alpha : float, default=0.05
        Probability of finding a difference where there is none, over all tests together.
    n_permutations : int, default=999
        Random splits that each test compares with; so many that the least p-value,
        1 / (1 + n_permutations), reaches alpha / number of tests.
    max_samples : int or None, default=2000
        Largest number of rows of each domain that are compared, drawn at random.
    task : {"auto", "classification", "regression"}, default="auto"
        Whether y holds classes or numbers. "auto" takes fractions as numbers, and raises an
        error for many distinct whole numbers, such as ages, by the rule of `logme`.
    random_state : int, RandomState instance or None, default=None
        Draws rows, splits and folds.

    Returns
    -------
    report : ShiftReport
        Prints as text, shows as HTML in a notebook, and holds

        action : {"nothing", "reweight", "reweight classes", "align", "fine-tune", "collect", \
"keep"}
            What to do; "keep" is to leave the model as it is.
        method : str or None
            The way to adapt that the evidence supports, by its name in `rank_adaptations`,
            where classes are given.
        ranking : AdaptationRanking or None
            That evidence.
        advice : str
            The same as a sentence with its reason.
        n_source, n_target, n_features : int
            Numbers of compared rows and of features.
        mmd, mmd_p_value : float
            Result of `mmd_test` on features scaled to unit variance over both domains.
        auc, auc_p_value : float
            Result of `classifier_two_sample_test`.
        label_p_value : float or None
            Result of `label_shift_test`; None without classes.
        classes, source_priors, target_priors : list or None
            Classes, their shares in y, and their estimated shares in the target.
        class_p_value : float or None
            Small where samples of a class differ between the domains, so that `label_p_value`
            and `target_priors`, which assume that they are equal, are unreliable; None
            without classes, or with too few rows.
        ess : float
            Effective number of source rows after weighting, times the share of the target
            that weights reach (their mean before scaling, at most 1).
        ess_share : float
            The same as a share of the rows.
        outside_share : float
            Share of the target rows that lie farther from the source than 99 % of
            its own rows do from each other, copies of a row aside.
        feature_auc : float
            Area under the curve, on held-out rows, of the one feature that tells the other
            rows best apart.

        and `to_dict()`, all of it in plain Python types.

    See Also
    --------
    mmd_test : The first test of the report.
    classifier_two_sample_test : The second.
    label_shift_test : The third.
    KMM : Weights for a shift with overlap.

    Notes
    -----
    The rules, in order, with the reason of each threshold:

    1. "nothing": no p-value is below alpha / number of tests (Bonferroni).
    2. "collect": the area under the curve of the classifier, or of the best feature, is 0.99
       or more, or half of the target lies outside of the source. Between Gaussians of equal
       covariance an area of 0.99 leaves exp(-10.8) of the rows effective: no weights repair
       that.
    3. "reweight classes": shares of predicted classes differ, and weights by class leave at
       most a tenth of the discrepancy, or less than its 95 % quantile under chance.
    4. "reweight": at least a tenth of the rows stay effective, as weighters here ask, at
       most a fifth of the target lies outside, and the weights remove half of the
       discrepancy or bring it under that quantile. From 95 % effective rows on, weights are
       nearly equal, and the action is "nothing".
    5. "align": on held-out rows, the source with the target's mean and covariance keeps at
       most a fifth of the discrepancy, or less than the quantile, and leaves at most a fifth
       of the target outside.
    6. "fine-tune": else.

    With classes these rules are revised. "reweight classes" is dropped where samples of a
    class differ between the domains (`class_p_value` at most alpha). Where the rules come to
    "align", "fine-tune" or "collect", `rank_adaptations` compares KMM, LabelShiftWeights,
    MeanAlignment and CORAL on 10 to 1000 rows of each domain, and the action is that of the
    method that it chooses, named by `method`; where it chooses none, the action is "keep", or
    "collect" if that was the rule's. `rank_adaptations` itself compares more methods. The
    evidence is blind where the target has nothing to do with the source: aligned noise looks
    consistent.

    Shares of classes in the target are estimated as if samples of a class looked the same in
    both domains. Whether they do is checked in addition to the three tests, and changes the
    line on label shift but not the action: neither a classifier nor kernel means may tell
    source rows drawn in the estimated shares from the target, at level alpha, each test with
    half of it, on at most 500 rows of each domain.

    Weights are odds of a logistic regression on the features and 100 kernel features,
    cross-fitted in five folds, where the log loss also sets the penalty. Distances to the
    source are those to the fifth-nearest row. Inputs alone do not tell whether labels depend
    on them in the same way in both domains: only target labels do. Weights help models that
    cannot represent the truth everywhere; one that can gains nothing but variance.

    References
    ----------
    Gretton, A. et al. (2012). A kernel two-sample test. JMLR 13.

    Rabanser, S., Guennemann, S. and Lipton, Z. (2019). Failing loudly: an empirical study of
    methods for detecting dataset shift. NeurIPS 32.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer.selection import shift_report
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(200, 2)), rng.normal(size=(200, 2))
    >>> shift_report(X, X_target, random_state=0).action
    'nothing'
    >>> shift_report(X, X_target + [1, 0], random_state=0).action
    'reweight'
    >>> shift_report(X, X_target + 20, random_state=0).action
    'collect'
    """
    X, T, _ = extract_features("shift_report", representation, X, y, X_target, least=2)
    random_state = check_random_state(random_state)
    rows = draw_rows(len(X), max_samples, random_state)
    labels = _validate_classes(X, y, rows, task)
    _check_permutations(n_permutations, alpha / (2 if labels is None else 3))
    given = X[rows], T[draw_rows(len(T), max_samples, random_state)]
    X, T = _scale_features(*given)
    found = _run_tests(X, T, labels, n_permutations, random_state)
    weights = estimate_domain_ratio(X, T, random_state)
    found["ess"] = compute_covered_size(weights)
    found["ess_share"] = found["ess"] / len(X)
    found["outside_share"] = compute_outside_share(X, T)
    found["feature_auc"] = compute_best_feature_auc(X, T, random_state)
    found["action"] = _choose_action(X, T, labels, weights, found, alpha, random_state)
    if labels is not None:
        codes, shares = np.searchsorted(found["classes"], labels), found["target_priors"]
        found["class_p_value"] = compare_within_classes(
            X, codes, np.array(shares), T, found["gamma"], alpha, random_state
        )
        found["action"] = _choose_revised_action(X, T, weights, found, alpha, random_state)
        found |= _weigh_evidence(*given, labels, found["action"], random_state)
    del found["gamma"], found["chance"]
    return ShiftReport(len(X), len(T), X.shape[1], alpha=alpha, **found)


def _check_permutations(n_permutations, level):
    if 1 / (1 + n_permutations) > level * (1 + 1e-9):
        raise ValueError(
            f"n_permutations={n_permutations} lets no p-value fall under "
            f"{1 / (1 + n_permutations):.2g}, and each test needs {level:.2g} to find a "
            f"difference: give at least {int(np.ceil(1 / level * (1 - 1e-9))) - 1}"
        )


def _validate_classes(X, y, rows, task):
    """Classes of the rows, or None if y holds no classes."""
    if y is None:
        return None
    check_consistent_length(X, y)
    given, y = y, column_or_1d(y)
    if len(y) > 20 and 2 * len(np.unique(y)) > len(y):  # of no use even if they are classes
        return None
    if resolve_task(given, task) == "regression":
        return None
    y = y[rows]
    if type_of_target(y) not in ("binary", "multiclass") or len(np.unique(y)) < 2:
        return None
    return y


def _scale_features(X, T):
    """Features of unit variance over both domains, so that no unit decides."""
    pooled = np.concatenate([X, T])
    center = pooled.mean(axis=0)
    largest = np.abs(pooled - center).max(axis=0)
    largest[largest == 0] = 1  # first, so that squares neither overflow nor vanish
    X, T = (X - center) / largest, (T - center) / largest
    spread = np.concatenate([X, T]).std(axis=0)
    spread[spread == 0] = 1
    return X / spread, T / spread


def _run_tests(X, T, y, n_permutations, random_state):
    gamma = compute_pooled_gamma(X, T, random_state)
    statistic, permuted, scale = compute_permuted_mmd(
        X, T, "rbf", gamma, n_permutations, random_state
    )
    options = {"n_permutations": n_permutations, "random_state": random_state}
    classifier = classifier_two_sample_test(X, T, **options)
    found = {
        "mmd": statistic,
        "mmd_p_value": compute_p_value(statistic, permuted, scale),
        "gamma": gamma,
        "chance": float(np.quantile(permuted, 0.95)),
        "auc": classifier.statistic,
        "auc_p_value": classifier.p_value,
    }
    if y is not None:
        label = label_shift_test(X, y, T, task="classification", **options)
        found["label_p_value"] = label.p_value
        found["classes"] = label.classes.tolist()
        found["source_priors"] = label.source_priors.tolist()
        found["target_priors"] = label.target_priors.tolist()
    return found


def _choose_action(X, T, y, weights, found, alpha, random_state):
    """Choose the action of the first rule in the documentation that applies."""
    p_values = [
        found[n] for n in ("mmd_p_value", "auc_p_value", "label_p_value") if n in found
    ]
    level = alpha / len(p_values)
    if min(p_values) > level:
        return "nothing"
    told_apart = max(found["auc"], found["feature_auc"]) >= _SEPARATE
    if told_apart or found["outside_share"] >= _BEYOND:
        return "collect"
    if y is not None and found["label_p_value"] <= level:
        by_class = _weight_classes(y, found)
        if _compute_left(X, T, by_class, found) <= _compute_allowed(found, _CLASSES_LEAVE):
            return "reweight classes"
    few = found["ess_share"] < _FEW or found["outside_share"] > _SOME_BEYOND
    if not few and _compute_left(X, T, weights, found) <= _compute_allowed(found, _HALF):
        return "nothing" if found["ess_share"] >= _EQUAL else "reweight"
    return "align" if _is_alignable(X, T, found, random_state) else "fine-tune"


def _choose_revised_action(X, T, weights, found, alpha, random_state):
    """Action of the rules for inputs alone where label shift is contradicted."""
    p_value = found["class_p_value"]
    if found["action"] != "reweight classes" or p_value is None or p_value > alpha:
        return found["action"]
    return _choose_action(X, T, None, weights, found, alpha, random_state)


def _weigh_evidence(X, T, y, action, random_state):
    """Action by what ways to adapt do to the predictions for the target, and their ranking.

    Features are those that were given, so that ranked models predict such.
    """
    # Where the source covers the target, labels may depend on inputs as before, and aligning
    # would break what predictions alone cannot show.
    is_settled = action in ("nothing", "reweight", "reweight classes")
    if is_settled or min(len(X), len(T)) < _FEWEST:
        return {}
    rows = draw_rows(len(X), _RANKED, random_state)
    if len(np.unique(y[rows])) < 2:  # rows of a rare class were not drawn
        return {}
    ranking = rank_adaptations(
        _WAYS,
        X[rows],
        y[rows],
        T[draw_rows(len(T), _RANKED, random_state)],
        cv=None,
        task="classification",
        random_state=draw_seed(random_state),
    )
    return {"ranking": ranking, "action": _name_action(ranking.chosen, action)}


def _name_action(chosen, action):
    if chosen.kind == "aligned":
        return "align"
    if chosen.kind == "reweighted":
        return "reweight classes" if chosen.name == "label-shift" else "reweight"
    return "collect" if action == "collect" else "keep"


def _weight_classes(y, found):
    ratio = np.divide(found["target_priors"], found["source_priors"])
    return ratio[np.searchsorted(found["classes"], y)]


def _compute_left(X, T, weights, found):
    """Discrepancy of the weighted source."""
    if np.count_nonzero(weights) < 2:
        return np.inf
    return mmd(X, T, gamma=found["gamma"], sample_weight=weights)


def _compute_allowed(found, share):
    return max(share * found["mmd"], found["chance"])


def _is_alignable(X, T, found, random_state):
    """Whether mean and covariance, learned on other rows, are most of the difference."""
    if min(len(X), len(T)) < 4:
        return False
    (X_seen, X_held), (T_seen, T_held) = (
        split_rows(rows, 0.5, random_state) for rows in (X, T)
    )
    moved = match_moments(X_seen, T_seen, reg="auto").apply(X_held)
    left = mmd(moved, T_held, gamma=found["gamma"])
    covered = compute_outside_share(moved, T_held) <= _SOME_BEYOND
    return covered and left <= _compute_allowed(found, _FIFTH)
