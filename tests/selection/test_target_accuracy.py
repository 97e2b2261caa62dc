"""Tests of target_accuracy: its intervals, the rows to label, and labels of every kind."""

import itertools
import math
from dataclasses import FrozenInstanceError
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import binom, binomtest, hypergeom
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from benchmarks.target_accuracy import (
    INFORMATIVE,
    make_pool,
    measure_coverage,
    measure_settings,
)
from sklearn_transfer import (
    FineTunedClassifier,
    PretrainedFeatures,
    TargetDomain,
    choose_rows_to_label,
    target_accuracy,
)
from sklearn_transfer.datasets import load_photo_crops
from sklearn_transfer.selection._accuracy_interval import (
    compute_binomial_interval,
    compute_exact_interval,
    compute_spread_interval,
    compute_variance_ratio,
    count_changes,
)
from sklearn_transfer.selection._label_sample import draw_spread_places

DIGITS, NUMBERS = load_digits(return_X_y=True)
TARGET, TRUTH = DIGITS[300:700], NUMBERS[300:700]
MODEL = GaussianNB().fit(DIGITS[:300], NUMBERS[:300])


class Fixed(ClassifierMixin, BaseEstimator):
    """Classifier that predicts the second column, with the first as its probability of 1."""

    def __init__(self, classes=(0, 1)):
        self.classes = classes

    def fit(self, X=None, y=None):
        self.classes_ = np.array(self.classes)
        self.calls_ = []
        return self

    def predict(self, X):
        self.calls_.append(("predict", len(X)))
        return self.classes_[np.asarray(X)[:, 1].astype(int)]

    def predict_proba(self, X):
        self.calls_.append(("predict_proba", len(X)))
        high = np.asarray(X, dtype=float)[:, 0]
        return np.column_stack([1 - high, high])


class Silent(Fixed):
    """The same without probabilities."""

    predict_proba = property()


def make_rows(n=100, n_wrong=20):
    """Samples that `Fixed` predicts as 1, with certainties from 0.5 to 1, and labels."""
    X = np.column_stack([np.linspace(0.5, 1, n), np.ones(n)])
    return X, (np.arange(n) >= n_wrong).astype(int)


# The intervals


@pytest.mark.parametrize(("n_right", "n_labels"), [(0, 5), (5, 5), (17, 20), (150, 200)])
def test_binomial_interval_is_that_of_scipy(n_right, n_labels):
    expected = binomtest(n_right, n_labels).proportion_ci(0.9, method="exact")
    found = compute_binomial_interval(n_right, n_labels, 0.9)
    assert found == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("n_right", "n_labels", "n"), [(3, 5, 12), (0, 4, 30), (20, 20, 50)])
def test_exact_interval_holds_the_totals_that_no_tail_rejects(n_right, n_labels, n):
    totals = [
        total
        for total in range(n_right, n - n_labels + n_right + 1)
        if hypergeom.sf(n_right - 1, n, total, n_labels) > 0.025
        and hypergeom.cdf(n_right, n, total, n_labels) > 0.025
    ]
    found = compute_exact_interval(n_right, n_labels, n, 0.95)
    assert found == pytest.approx((totals[0] / n, totals[-1] / n))


def test_variance_ratio_by_hand():
    # 30 of 40 right: s^2 = 30 * 10 / (40 * 39); 6 changes and half a change per two allowed.
    variance = 300 / 1560
    expected = ((3 + 0.5) / variance + 20) / 59
    assert compute_variance_ratio(30, 6, 40) == pytest.approx(expected)


def test_variance_ratio_is_one_at_most():
    assert compute_variance_ratio(30, 39, 40) == 1
    assert compute_variance_ratio(40, 0, 40) == 1
    assert compute_variance_ratio(1, 0, 1) == 1


def test_changes_are_counted_along_the_last_axis():
    assert count_changes([[0, 0, 1, 0], [1, 1, 1, 1]]).tolist() == [2, 0]
    assert count_changes([1]) == 0


def test_spread_interval_without_information_is_near_the_exact_one():
    found = compute_spread_interval(42, 17, 50, 5000, 0.95)
    expected = compute_exact_interval(42, 50, 5000, 0.95)
    assert found == pytest.approx(expected, abs=0.01)


def test_informative_order_gives_a_shorter_interval():
    lengths = [
        np.ptp(compute_spread_interval(160, changes, 200, 5000, 0.95))
        for changes in (1, 20, 64)
    ]
    assert lengths[0] < lengths[1] < lengths[2]


def test_domain_has_a_wider_interval_than_its_rows():
    low, high = compute_spread_interval(80, 20, 100, 150, 0.95)
    below, above = compute_spread_interval(80, 20, 100, 150, 0.95, of_rows=False)
    assert below < low
    assert high < above


def test_interval_leaves_labeled_rows_as_they_are():
    for confidence in (0.9, 0.9999999):
        low, high = compute_spread_interval(95, 3, 100, 102, confidence)
        assert 95 / 102 <= low < high <= 97 / 102


def least_covered(n_draws, coverage=0.95, risk=1e-6):
    """Count below which an interval of such a coverage stays with probability `risk`."""
    return int(binom.ppf(risk, n_draws, coverage))


@pytest.mark.parametrize("name", ["calibrated, informative", "misleading", "useless"])
def test_intervals_cover_in_few_draws(name):
    found = [
        row
        for row in measure_settings(150, [300], n_labels=(20, 50), accuracies=(0.7, 0.95))
        if row[0] == name
    ]
    assert len(found) == 4
    assert min(row[4] for row in found) >= least_covered(150)


def test_intervals_are_shorter_than_those_of_random_rows_if_certainty_is_informative():
    rng, state = np.random.default_rng(0), np.random.RandomState(0)
    places = np.array([draw_spread_places(1000, 50, state) for _ in range(200)])
    for draw in INFORMATIVE.values():
        right, is_spread = make_pool(draw, 0.8, 1000, rng)
        assert measure_coverage(right, is_spread, places)[1] < 0.97


@pytest.mark.slow
def test_intervals_cover_934_of_1000_and_are_short_in_all_settings():
    """`python -m benchmarks.target_accuracy` does so for targets of 300 and 5000 rows, too."""
    rows = measure_settings(1000, [1000])
    assert min(row[4] for row in rows) >= 934
    for (name, _, accuracy), group in itertools.groupby(
        sorted(rows, key=lambda row: (row[0], row[1], row[3])),
        key=lambda row: (row[0], row[1], row[3]),
    ):
        if name in INFORMATIVE:
            assert np.mean([row[5] for row in group]) < 1, (name, accuracy)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), [(20, 60), (50, 300), (200, 300)])
def test_intervals_of_the_domain_cover(n, size):
    rng, state, covered = np.random.default_rng(0), np.random.RandomState(0), 0
    for _ in range(2000):
        chances = rng.beta(0.8, 0.2, size)
        right = (rng.random(size) < chances)[np.argsort(chances)]
        right = right[draw_spread_places(size, n, state)]
        counts = int(right.sum()), int(count_changes(right))
        low, high = compute_spread_interval(*counts, n, size, 0.95, of_rows=False)
        covered += low <= 0.8 <= high
    assert covered >= least_covered(2000)


# The choice of rows


@pytest.mark.parametrize(("n_places", "n"), [(7, 3), (10, 7), (12, 4)])
def test_all_places_have_the_same_chance(n_places, n):
    state = np.random.RandomState(0)
    drawn = np.array([draw_spread_places(n_places, n, state) for _ in range(20000)])
    shares = np.bincount(drawn.ravel(), minlength=n_places) / 20000
    np.testing.assert_allclose(shares, n / n_places, atol=0.02)
    assert (np.diff(drawn, axis=1) > 0).all()


def test_each_stratum_gives_one_place():
    state = np.random.RandomState(0)
    for _ in range(50):
        assert (draw_spread_places(60, 12, state) // 5).tolist() == list(range(12))


def test_rows_are_spread_over_the_certainty():
    X, _ = make_rows(100)
    order = np.random.default_rng(0).permutation(100)
    sample = choose_rows_to_label(Fixed().fit(), X[order], 20, random_state=0)
    by_rank = sample.rows[np.argsort(sample.ranks)]
    assert (order[by_rank] // 5).tolist() == list(range(20))
    assert (np.diff(sample.rows) > 0).all()
    assert sample.probability == 0.2
    np.testing.assert_allclose(sample.certainty, X[order, 0])


def test_same_seed_gives_the_same_rows():
    rows = [choose_rows_to_label(MODEL, TARGET, 20, random_state=s).rows for s in (0, 0, 1)]
    assert rows[0].tolist() == rows[1].tolist() != rows[2].tolist()


def test_all_rows_are_chosen_if_there_are_too_few():
    sample = choose_rows_to_label(MODEL, TARGET[:7], 20)
    assert sample.rows.tolist() == list(range(7))
    assert sample.probability == 1


@pytest.mark.parametrize("model", [Silent(), Fixed()], ids=["none", "constant"])
def test_rows_are_simple_random_without_a_certainty_that_differs(model):
    X = np.column_stack([np.full(30, 0.8), np.ones(30)])
    sample = choose_rows_to_label(model.fit(), X, 10, random_state=0)
    assert not sample.spread
    found = target_accuracy(model, X, [1] * 7 + [0] * 3, sample=sample)
    assert found.method == "random"
    assert found.effective_labels == 10
    assert found.interval == compute_exact_interval(7, 10, 30, 0.95)


def test_margin_of_the_decision_is_the_certainty_without_probabilities():
    model = LinearSVC(random_state=0).fit(DIGITS[:300], NUMBERS[:300])
    sample = choose_rows_to_label(model, TARGET, 20, random_state=0)
    top = np.sort(model.decision_function(TARGET), axis=1)[:, -2:]
    np.testing.assert_allclose(sample.certainty, top[:, 1] - top[:, 0])
    assert target_accuracy(model, TARGET, TRUTH, sample=sample).mean_certainty is None


def test_sample_prints_and_converts():
    sample = choose_rows_to_label(MODEL, TARGET, 20, random_state=0)
    assert str(sample).startswith("20 of 400 target rows, spread over the certainty")
    assert sample.to_dict()["rows"] == sample.rows.tolist()
    assert len(sample) == 20


def test_certainty_of_nan_is_refused_with_its_row():
    X, _ = make_rows(10)
    X[4, 0] = np.nan
    with pytest.raises(ValueError, match="NaN in row 4 of X_target"):
        choose_rows_to_label(Fixed().fit(), X, 3)


# The estimate


def test_result_of_spread_rows_agrees_with_its_parts():
    sample = choose_rows_to_label(MODEL, TARGET, 50, random_state=0)
    found = target_accuracy(MODEL, TARGET, TRUTH[sample.rows], sample=sample)
    right = (MODEL.predict(TARGET) == TRUTH)[sample.rows]
    changes = count_changes(right[np.argsort(sample.ranks)])
    assert found.accuracy == pytest.approx(right.mean())
    expected = compute_spread_interval(int(right.sum()), int(changes), 50, 400, 0.95)
    assert found.interval == expected
    ratio = compute_variance_ratio(int(right.sum()), int(changes), 50)
    assert found.effective_labels == pytest.approx(50 / ratio)
    certainty = MODEL.predict_proba(TARGET).max(axis=1)
    assert found.mean_certainty == pytest.approx(certainty.mean())
    assert (found.method, found.n_labels, found.n_target) == ("spread", 50, 400)


def test_order_of_the_sample_does_not_depend_on_the_order_of_the_target():
    X, y = make_rows(100, 25)
    order = np.random.default_rng(1).permutation(100)
    model = Fixed().fit()
    sample = choose_rows_to_label(model, X[order], 40, random_state=0)
    found = target_accuracy(model, X[order], y[order][sample.rows], sample=sample)
    # All wrong rows are less certain than all right ones: one change.
    n_right = round(40 * found.accuracy)
    assert found.effective_labels == pytest.approx(40 / compute_variance_ratio(n_right, 1, 40))


@pytest.mark.parametrize("empty", [None, np.nan, pd.NA])
def test_present_labels_of_all_rows_are_a_random_sample(empty):
    y = [label if row % 7 == 0 else empty for row, label in enumerate(TRUTH.tolist())]
    found = target_accuracy(MODEL, TARGET, y)
    right = (MODEL.predict(TARGET) == TRUTH)[::7]
    assert found.n_labels == len(right)
    assert found.interval == compute_exact_interval(int(right.sum()), len(right), 400, 0.95)
    numbers = np.arange(400)[::7]
    assert target_accuracy(MODEL, TARGET, TRUTH[::7], sample=numbers) == found


def test_labels_of_more_rows_than_the_sample_are_read_at_its_rows():
    sample = choose_rows_to_label(MODEL, TARGET, 20, random_state=0)
    y = pd.Series([None] * 400, dtype=object)
    y[sample.rows] = TRUTH[sample.rows]
    y[int(np.setdiff1d(np.arange(400), sample.rows)[0])] = 3
    found = target_accuracy(MODEL, TARGET, y, sample=sample)
    assert found == target_accuracy(MODEL, TARGET, TRUTH[sample.rows], sample=sample)


@pytest.mark.parametrize("right", [0, 1])
def test_all_wrong_and_all_right(right):
    X, _ = make_rows(100)
    model = Fixed(classes=(0, 1)).fit()
    sample = choose_rows_to_label(model, X, 20, random_state=0)
    found = target_accuracy(model, X, [right] * 20, sample=sample)
    assert found.accuracy == right
    assert found.interval[right] == pytest.approx(0.2 if right == 0 else 1, abs=0.2)
    assert 0 < np.ptp(found.interval) < 0.2


def test_all_labels_give_the_exact_accuracy():
    truth = MODEL.score(TARGET, TRUTH)
    sample = choose_rows_to_label(MODEL, TARGET, 400)
    for found in (
        target_accuracy(MODEL, TARGET, TRUTH),
        target_accuracy(MODEL, TARGET, TRUTH, sample=sample),
    ):
        assert found.interval == pytest.approx((truth, truth))
        assert found.method == "all"
    low, high = target_accuracy(MODEL, TARGET, TRUTH, population="domain").interval
    assert low < truth < high


def test_one_label_is_enough_for_a_wide_interval():
    low, high = target_accuracy(MODEL, TARGET, TRUTH[:1], sample=[0]).interval
    assert high - low > 0.9


def test_labels_of_unknown_classes_count_as_wrong():
    X, y = make_rows(50, 0)
    y[:5] = 7
    found = target_accuracy(Fixed().fit(), X, y)
    assert (found.accuracy, found.n_unknown) == (0.9, 5)
    assert "5 labels are not among the classes of the model and count as wrong" in str(found)


def test_strings_are_compared_with_strings():
    X, y = make_rows(50, 10)
    model = Fixed(classes=("cat", "dog")).fit()
    names = np.array(["cat", "dog"])[y]
    assert target_accuracy(model, X, names).accuracy == 0.8
    assert target_accuracy(model, X, pl.Series(names)).accuracy == 0.8
    with pytest.raises(ValueError, match="no label is among them. Give labels of the same"):
        target_accuracy(Fixed(classes=("0", "1")).fit(), X, y)


def test_model_passes_over_the_target_once():
    X, y = make_rows(100)
    model = Fixed().fit()
    sample = choose_rows_to_label(model, X, 20, random_state=0)
    assert model.calls_ == [("predict_proba", 100)]
    target_accuracy(model, X, y[sample.rows], sample=sample)
    assert model.calls_[1:] == [("predict", 20), ("predict_proba", 20)]


def test_another_model_has_its_own_certainty():
    X, y = make_rows(100)
    sample = choose_rows_to_label(Fixed().fit(), X, 20, random_state=0)
    other = Fixed().fit()
    X = X * [0.9, 1]
    found = target_accuracy(other, X, y[sample.rows], sample=sample)
    assert found.mean_certainty == pytest.approx(np.maximum(X[:, 0], 1 - X[:, 0]).mean())


def test_threshold_decides_what_is_right_and_not_the_largest_probability():
    X, y = DIGITS[NUMBERS < 2], NUMBERS[NUMBERS < 2]
    model = FixedThresholdClassifier(
        GaussianNB(), threshold=1.0, response_method="predict_proba"
    )
    model.fit(X[:100], y[:100])
    assert target_accuracy(model, X, y).accuracy == pytest.approx(model.score(X, y))


def test_pipeline_and_search():
    pipe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    search = GridSearchCV(pipe, {"logisticregression__C": [0.1, 1]}, cv=2)
    search.fit(DIGITS[:200], NUMBERS[:200])
    domain = TargetDomain(TARGET)
    sample = choose_rows_to_label(search, domain, 30, random_state=0)
    found = target_accuracy(search, domain, TRUTH[sample.rows], sample=sample)
    assert found.interval[0] < search.score(TARGET, TRUTH) < found.interval[1]


def test_models_on_paths(tmp_path):
    crops = load_photo_crops(4, size=32, classes=["cat", "coins"], folder=tmp_path)
    paths, y = crops.filenames, np.asarray(crops.target)
    probe = make_pipeline(
        PretrainedFeatures("test_resnet", weights=None), LogisticRegression()
    )
    tuner = FineTunedClassifier("test_resnet", weights=None, freeze="all", max_epochs=1)
    for model in (probe, tuner):
        model.fit(paths, y)
        sample = choose_rows_to_label(model, paths, 4, random_state=0)
        found = target_accuracy(model, paths, y[sample.rows], sample=sample)
        assert found.n_target == 8
        assert found.interval[0] <= model.score(paths, y) <= found.interval[1]


def test_result_is_frozen_and_shows():
    found = target_accuracy(MODEL, TARGET, TRUTH[:30], sample=np.arange(30))
    with pytest.raises(FrozenInstanceError):
        found.accuracy = 1.0
    assert str(found) == repr(found)
    assert f"{found.accuracy:.3f} (95 % interval" in str(found)
    assert "from 30 labels of 400 rows" in str(found)
    parser = HTMLParser()
    parser.feed(found._repr_html_())
    assert "Accuracy on the target" in found._repr_html_()
    assert found.to_dict()["n_labels"] == 30


@pytest.mark.parametrize(
    ("certainty", "word"), [(0.99, "overconfident"), (0.51, "underconfident"), (0.8, "within")]
)
def test_sentence_compares_with_the_certainty(certainty, word):
    X, y = make_rows(100)
    X[:, 0] = certainty
    rows = np.arange(0, 100, 2)
    assert word in str(target_accuracy(Fixed().fit(), X, y[rows], sample=rows))


def test_sentence_of_all_rows_says_that_it_is_exact():
    assert "exactly, as all 400 rows are labeled" in str(target_accuracy(MODEL, TARGET, TRUTH))


# Errors


def test_missing_label_of_a_chosen_row_is_refused_with_its_number():
    sample = choose_rows_to_label(MODEL, TARGET, 20, random_state=0)
    y = TRUTH[sample.rows].astype(float)
    y[6] = math.nan
    with pytest.raises(ValueError, match=f"label of row {sample.rows[6]} is missing"):
        target_accuracy(MODEL, TARGET, y, sample=sample)
    full = np.full(400, math.nan)
    full[sample.rows] = y
    with pytest.raises(ValueError, match=f"label of row {sample.rows[6]} is missing"):
        target_accuracy(MODEL, TARGET, full, sample=sample)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ([1, 2, 1], "sample names row 1 2 times"),
        ([1, 2, 400], "sample names row 400, and X_target has the rows 0 to 399"),
        ([-1, 2, 3], "sample names row -1"),
        ([0.5, 1, 2], "no list of row numbers"),
        ([1, 2], "y_some has 3 labels and sample 2 rows"),
        (None, "y_some has 3 labels and X_target 400 rows: say which rows"),
    ],
)
def test_unsuitable_rows_are_refused(sample, message):
    with pytest.raises(ValueError, match=message):
        target_accuracy(MODEL, TARGET, [1, 2, 3], sample=sample)


def test_sample_of_another_target_is_refused():
    sample = choose_rows_to_label(MODEL, TARGET, 3)
    with pytest.raises(ValueError, match="chosen from 400 rows, and X_target has 399"):
        target_accuracy(MODEL, TARGET[1:], [1, 2, 3], sample=sample)


def test_no_label_at_all_is_refused():
    with pytest.raises(ValueError, match="y_some has no label that is present"):
        target_accuracy(MODEL, TARGET, [None] * 400)


def test_several_columns_are_refused():
    with pytest.raises(ValueError, match="y_some has 2 columns"):
        target_accuracy(MODEL, TARGET, np.ones((400, 2)))


@pytest.mark.parametrize("function", [choose_rows_to_label, target_accuracy])
def test_regressors_and_several_outputs_are_refused(function):
    regressor = LinearRegression().fit(DIGITS[:100], NUMBERS[:100])
    with pytest.raises(ValueError, match="LinearRegression is no classifier"):
        function(regressor, TARGET, 20 if function is choose_rows_to_label else TRUTH)
    several = MultiOutputClassifier(GaussianNB()).fit(DIGITS[:99], np.eye(3)[NUMBERS[:99] % 3])
    with pytest.raises(ValueError, match="has 3 outputs"):
        function(several, TARGET, 20 if function is choose_rows_to_label else TRUTH)
