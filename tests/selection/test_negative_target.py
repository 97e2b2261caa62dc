"""Tests of negative_transfer_test on labeled target rows."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from scipy.stats import t as student
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, make_scorer, r2_score
from sklearn.model_selection import KFold, RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    CORAL,
    KMM,
    FineTunedClassifier,
    ImportanceWeighted,
    NegativeTransferDisplay,
    TargetDomain,
    negative_transfer_test,
)
from sklearn_transfer.finetuning.objectives import DeepJDOT
from sklearn_transfer.selection._target_difference import compute_target_interval
from tests import small_networks

FOLDS = KFold(3, shuffle=True, random_state=0)


class Centered(ClassifierMixin, BaseEstimator):
    """Nearest-class-mean classifier on one column, which moves the source onto the target."""

    def __init__(self, column=0):
        self.column = column

    def fit(self, X, y, X_target=None):
        if X_target is None:
            warnings.warn(
                "Centered got adapt='x' and no target samples, so nothing is adapted",
                UserWarning,
                stacklevel=2,
            )
        else:
            assert isinstance(X_target, TargetDomain)
            assert X_target.y is None
        x = X[:, self.column]
        self.shift_ = 0.0 if X_target is None else X_target.X[:, self.column].mean() - x.mean()
        self.classes_ = np.unique(y)
        self.means_ = np.array([x[y == k].mean() for k in self.classes_]) + self.shift_
        return self

    def predict(self, X):
        distances = np.abs(X[:, self.column, None] - self.means_)
        return self.classes_[distances.argmin(axis=1)]


def draw_domains(n=60, m=80, shift=2.0, seed=0, noise=0.5):
    """Two classes one apart, in two columns; the target is shifted in both."""
    rng = np.random.default_rng(seed)
    y, y_target = np.arange(n) % 2, np.arange(m) % 2
    X = rng.normal(size=(n, 2)) * noise + y[:, None]
    T = rng.normal(size=(m, 2)) * noise + y_target[:, None] + shift
    return X, y, T, y_target


def interval_of(differences, parts, sizes, **options):
    arrays = np.array(differences, float), np.array(parts, float), np.array(sizes)
    return compute_target_interval(*arrays, 0.95, **{"of_rows": True, **options})


def test_interval_of_rows_by_hand():
    # Two fits, four rows; row means 1, 0.5, 0, 0 and means of fits 0.5 and 0.25.
    found = interval_of([0.5, 0.25], [[1, 1, 0, 0], [1, 0, 0, 0]], [(5, 5)] * 2)
    values = np.array([1, 0.5, 0, 0, 1, -1])
    rows = values.var() / 6
    fits = 2 * 0.125**2  # the variance of 0.5 and 0.25 of one degree of freedom
    degrees = (rows + fits) ** 2 / (rows**2 / 3 + fits**2 / 1)
    half = student.ppf(0.975, degrees) * math.sqrt(rows + fits)
    assert found["mean_difference"] == pytest.approx(0.375)
    assert found["interval"] == pytest.approx((0.25 - half, 1.0))
    assert 0.25 + half > 1  # which no difference of accuracies is
    error = math.sqrt(rows + fits)
    assert found["p_value"] == pytest.approx(2 * student.sf(0.25 / error, degrees))


def test_less_of_the_source_left_out_widens_the_interval():
    parts = [[1, 1, 0, 0], [1, 0, 0, 0]]
    halves, fifths = (
        interval_of([0.5, 0.25], parts, sizes) for sizes in ([(5, 5)] * 2, [(2, 8)] * 2)
    )
    assert np.ptp(fifths["interval"]) > np.ptp(halves["interval"])


def test_rows_that_all_agree_prove_nothing():
    found = interval_of([0, 0], np.zeros((2, 30)), [(5, 5)] * 2)
    assert found["verdict"] == "undecided"
    assert found["interval"][1] == -found["interval"][0] > 0


@pytest.mark.parametrize(("n_better", "verdict"), [(4, "undecided"), (7, "helps")])
def test_a_few_rows_decide_as_in_the_exact_test_of_mcnemar(n_better, verdict):
    """Its p-value is 0.125 for four discordant rows of twenty, and 0.016 for seven."""
    row = [1] * n_better + [0] * (20 - n_better)
    found = interval_of([n_better / 20] * 2, [row] * 2, [(5, 5)] * 2)
    assert found["verdict"] == verdict


def test_jackknife_of_a_mean_is_its_variance():
    values = np.random.default_rng(0).normal(size=(2, 12)) + 5
    left_out = (values.sum(axis=1, keepdims=True) - values) / 11
    found = interval_of(values.mean(axis=1), left_out, [(5, 5)] * 2, of_rows=False)
    mean = values.mean(axis=0)
    rows, fits = mean.var(ddof=1) / 12, values.mean(axis=1).var(ddof=1)
    degrees = (rows + fits) ** 2 / (rows**2 / 11 + fits**2 / 1)
    half = student.ppf(0.975, degrees) * math.sqrt(rows + fits)
    assert found["interval"] == pytest.approx((mean.mean() - half, mean.mean() + half))


def test_jackknife_without_any_difference_has_no_interval():
    found = interval_of([0, 0], np.zeros((2, 5)), [(5, 5)] * 2, of_rows=False)
    assert np.isnan(found["interval"]).all()
    assert found["verdict"] == "undecided"


# The test


def test_scores_are_those_of_fits_on_halves_of_the_source():
    X, y, T, y_target = draw_domains()
    found = negative_transfer_test(
        Centered(), LogisticRegression(), X, y, X_target=T, y_target=y_target, random_state=3
    )
    halves = RepeatedStratifiedKFold(n_splits=2, n_repeats=5, random_state=3)
    expected = [
        (
            Centered().fit(X[train], y[train], TargetDomain(T)).score(T, y_target),
            LogisticRegression().fit(X[train], y[train]).score(T, y_target),
        )
        for train, _ in halves.split(X, y)
    ]
    np.testing.assert_array_equal(found.scores_transferred, np.array(expected)[:, 0])
    np.testing.assert_array_equal(found.scores_baseline, np.array(expected)[:, 1])
    assert found.n_labels == 80


def test_adapted_model_hurts_on_the_source_and_helps_on_the_target():
    X, y, T, y_target = draw_domains()
    options = {"X_target": T, "random_state": 0}
    on_source = negative_transfer_test(Centered(), "source-only", X, y, **options)
    on_target = negative_transfer_test(
        Centered(), "source-only", X, y, y_target=y_target, **options
    )
    assert (on_source.verdict, on_target.verdict) == ("hurts", "helps")
    assert on_source.n_labels is None


def test_model_that_moves_the_wrong_way_hurts():
    X, y, T, y_target = draw_domains(shift=0.0)
    skewed = np.concatenate([T, np.full((400, 2), 6.0)])  # rows that are of no class
    labels = np.concatenate([y_target, np.full(400, np.nan)])
    found = negative_transfer_test(
        Centered(), "source-only", X, y, X_target=skewed, y_target=labels, random_state=0
    )
    assert found.verdict == "hurts"
    assert found.n_labels == 80


@pytest.mark.parametrize("model", [ImportanceWeighted(LogisticRegression(), KMM()), "pipe"])
def test_models_of_this_package_are_compared_with_source_only(model):
    X, y, T, y_target = draw_domains(shift=0.7)
    if model == "pipe":
        model = make_pipeline(StandardScaler(), CORAL(), LogisticRegression())
    found = negative_transfer_test(
        model, "source-only", X, y, X_target=T, y_target=y_target, cv=FOLDS
    )
    plain = clone(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [
            plain.fit(X[train], y[train]).score(T, y_target) for train, _ in FOLDS.split(X)
        ]
    np.testing.assert_allclose(found.scores_baseline, expected)
    assert (found.differences != 0).any()


def test_network_that_adapts_is_compared_with_source_only():
    X, y, T, y_target = draw_domains(shift=0.8, n=60)
    X, T = X.astype(np.float32), T.astype(np.float32)
    names = np.array(["cat", "dog"])
    options = {"preprocess": None, "freeze": None, "max_epochs": 20, "batch_size": 16}
    adapt = DeepJDOT(alpha=0.01, lambda_t=1.0)  # strong, for features of few columns
    model = FineTunedClassifier(
        small_networks.perceptron, adapt=adapt, lr=0.01, random_state=0, **options
    )
    found = negative_transfer_test(
        model, "source-only", X, names[y], X_target=T, y_target=names[y_target], cv=FOLDS
    )
    plain = clone(model).set_params(adapt=None)
    fits = [plain.fit(X[train], names[y][train]).predict(T) for train, _ in FOLDS.split(X)]
    expected = [np.mean(predicted == names[y_target]) for predicted in fits]
    np.testing.assert_allclose(found.scores_baseline, expected)
    assert found.mean_difference > 0.05


def test_models_that_take_no_target_are_compared_on_it():
    X, y, T, y_target = draw_domains(shift=0.3)
    found = negative_transfer_test(
        LogisticRegression(), LogisticRegression(C=1e-9), X, y, X_target=T, y_target=y_target
    )
    assert found.verdict == "helps"


@pytest.mark.parametrize("empty", [None, np.nan, pd.NA])
def test_missing_labels_are_left_out(empty):
    X, y, T, y_target = draw_domains()
    labels = [label if row % 3 else empty for row, label in enumerate(y_target.tolist())]
    kept = np.arange(80) % 3 > 0
    options = {"X_target": T, "cv": FOLDS}
    found = negative_transfer_test(Centered(), "source-only", X, y, y_target=labels, **options)
    expected = [
        Centered().fit(X[train], y[train], TargetDomain(T)).score(T[kept], y_target[kept])
        for train, _ in FOLDS.split(X)
    ]
    np.testing.assert_array_equal(found.scores_transferred, expected)
    assert found.n_labels == kept.sum()


def test_labels_of_the_target_reach_no_fit():
    """`Centered` asserts that the labels of the domain are gone."""
    X, y, T, y_target = draw_domains()
    names = np.array(["cat", "dog"])
    domain = TargetDomain(T, names[y_target])
    found = negative_transfer_test(
        Centered(), "source-only", X, names[y], X_target=domain, y_target=names[y_target]
    )
    assert found.verdict == "helps"


def test_scoring_other_than_accuracy_uses_groups_of_rows():
    X, y, T, y_target = draw_domains(m=50)
    options = {"X_target": T, "y_target": y_target, "cv": FOLDS, "random_state": 0}
    found = negative_transfer_test(
        Centered(), "source-only", X, y, scoring="balanced_accuracy", **options
    )
    expected = [
        balanced_accuracy_score(
            y_target, Centered().fit(X[train], y[train], TargetDomain(T)).predict(T)
        )
        for train, _ in FOLDS.split(X)
    ]
    np.testing.assert_allclose(found.scores_transferred, expected)
    assert found.verdict == "helps"


def test_intervals_of_rows_and_of_groups_are_alike():
    X, y, T, y_target = draw_domains(shift=0.6, m=400)
    options = {"X_target": T, "y_target": y_target, "random_state": 0}
    rows = negative_transfer_test(Centered(), "source-only", X, y, **options)
    groups = negative_transfer_test(
        Centered(), "source-only", X, y, scoring=make_scorer(score_accuracy), **options
    )
    assert groups.interval == pytest.approx(rows.interval, abs=0.03)


def score_accuracy(truth, predicted):
    return np.mean(truth == predicted)


def test_regression_on_the_target():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(40, 3)), rng.normal(size=(60, 3)) + 1
    y, y_target = X.sum(axis=1), T.sum(axis=1)
    found = negative_transfer_test(
        LinearRegression(), Ridge(1000), X, y, X_target=T, y_target=y_target, cv=FOLDS
    )
    assert found.verdict == "helps"
    ridge = [Ridge(1000).fit(X[train], y[train]).predict(T) for train, _ in FOLDS.split(X)]
    expected = [r2_score(y_target, predicted) for predicted in ridge]
    np.testing.assert_allclose(found.scores_baseline, expected)


def test_result_says_how_many_labels_it_rests_on():
    X, y, T, y_target = draw_domains()
    found = negative_transfer_test(
        Centered(), "source-only", X, y, X_target=T, y_target=y_target, random_state=0
    )
    assert "on 80 labeled target rows against" in str(found)
    assert "Labeled target rows" in found._repr_html_()
    assert found.to_dict()["n_labels"] == 80
    display = NegativeTransferDisplay.from_result(found)
    assert len(display.points_[0].get_offsets()) == 10
    np.testing.assert_allclose(display.intervals_[0].get_xdata(), found.interval)


def test_differences_of_accuracies_lie_between_minus_one_and_one():
    found = compute_target_interval(
        np.array([0.5, 0.0]), np.array([[1.0, 0.0], [0.0, 0.0]]), np.ones((2, 2)), 0.95, True
    )
    assert found["interval"] == (-1.0, 1.0)
    assert found["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({"y_target": [0, 1]}, "y_target was given and X_target=None"),
        ({"X_target": np.zeros((3, 2)), "y_target": [0, 1]}, "y_target has 2 entries and X_t"),
        ({"X_target": np.zeros((2, 2)), "y_target": [0, None]}, "y_target has 1 label: at le"),
        ({"X_target": np.zeros((2, 2)), "y_target": [None] * 2}, "y_target has 0 labels"),
        ({"X_target": np.zeros((2, 2)), "y_target": ["a", "b"]}, "no label of the target is"),
    ],
)
def test_unsuitable_labels_are_refused(domain, message):
    X, y, _, _ = draw_domains()
    with pytest.raises(ValueError, match=message):
        negative_transfer_test(LogisticRegression(), LogisticRegression(), X, y, **domain)


def test_source_only_needs_a_model_that_takes_a_target():
    X, y, T, y_target = draw_domains()
    options = {"X_target": T, "y_target": y_target}
    with pytest.raises(ValueError, match="take no X_target in fit"):
        negative_transfer_test(LogisticRegression(), "source-only", X, y, **options)


def count_decided(n_draws, n, m, noise):
    """How often two models of equal worth, on two columns, are told apart."""
    decided = 0
    for seed in range(n_draws):
        X, y, T, y_target = draw_domains(n, m, 0.3, seed, noise)
        found = negative_transfer_test(
            OnColumn(0), OnColumn(1), X, y, X_target=T, y_target=y_target, random_state=seed
        )
        decided += found.verdict != "undecided"
    return decided


class OnColumn(Centered):
    """The same without a target."""

    def fit(self, X, y):
        self.shift_, self.classes_ = 0.0, np.unique(y)
        self.means_ = np.array([X[y == k, self.column].mean() for k in self.classes_])
        return self


def most_decided(n_draws):
    return int(binom.isf(1e-6, n_draws, 0.05))


def test_models_of_equal_worth_are_undecided_on_most_targets():
    assert count_decided(50, 30, 200, 0.4) <= most_decided(50)


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 200])
@pytest.mark.parametrize("m", [20, 200])
@pytest.mark.parametrize("noise", [1.0, 0.4])
def test_models_of_equal_worth_are_decided_on_few_targets(n, m, noise):
    assert count_decided(200, n, m, noise) <= most_decided(200)
