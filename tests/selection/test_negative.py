"""Tests of negative_transfer_test: its interval, folds, and verdicts in known cases."""

import math
from dataclasses import FrozenInstanceError
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from joblib import parallel_config
from scipy.stats import ttest_1samp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import make_scorer, median_absolute_error
from sklearn.model_selection import (
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    NegativeTransferDisplay,
    PretrainedFeatures,
    negative_transfer_test,
)
from sklearn_transfer.datasets import load_photo_crops
from sklearn_transfer.selection._negative import compute_corrected_interval
from tests.levels import assert_level_is_kept

FIFTY = load_iris().data[::3], load_iris().target[::3]


def interval_of(differences, sizes, **options):
    return compute_corrected_interval(np.array(differences), np.array(sizes), 0.95, **options)


class OnColumn(ClassifierMixin, BaseEstimator):
    """Nearest-class-mean classifier on one column; fast, because thousands are fitted."""

    def __init__(self, column):
        self.column = column

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means_ = np.array([X[y == k, self.column].mean() for k in self.classes_])
        return self

    def predict(self, X):
        distances = np.abs(X[:, self.column, None] - self.means_)
        return self.classes_[distances.argmin(axis=1)]


def test_interval_by_hand():
    found = interval_of([0.1, 0.2, 0.0, 0.3], [(1, 4)] * 4)
    # s^2 = 0.05 / 3 and (1/4 + 1/4) s^2 = 0.0083333; Student's t of 3 degrees is 3.182446.
    half = 3.1824463 * math.sqrt(0.05 / 6)
    assert found["mean_difference"] == pytest.approx(0.15)
    assert found["interval"] == pytest.approx((0.15 - half, 0.15 + half), rel=1e-6)
    assert found["p_value"] == pytest.approx(0.1989, abs=1e-4)
    assert found["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [([0.1, 0.12, 0.11, 0.13], "helps"), ([-0.1, -0.12, -0.11, -0.13], "hurts")],
)
def test_verdict_is_the_side_of_the_interval(differences, verdict):
    found = interval_of(differences, [(1, 4)] * 4)
    assert found["verdict"] == verdict
    assert found["p_value"] < 0.05


def test_folds_of_unequal_size_count_by_their_mean_ratio():
    unequal = interval_of([0.1, 0.2, 0.0, 0.3], [(1, 9), (1, 9), (4, 6), (2, 8)])
    ratio = (2 / 9 + 4 / 6 + 2 / 8) / 4
    half = 3.1824463 * math.sqrt((0.25 + ratio) * 0.05 / 3)
    assert unequal["interval"][1] == pytest.approx(0.15 + half, rel=1e-6)


def test_scores_and_interval_agree_with_scikit_learn_and_scipy():
    X, y = FIFTY
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=5, random_state=3)
    found = negative_transfer_test(GaussianNB(), OnColumn(1), X, y, random_state=3)
    first = cross_val_score(GaussianNB(), X, y, cv=folds)
    second = cross_val_score(OnColumn(1), X, y, cv=folds)
    np.testing.assert_array_equal(found.scores_transferred, first)
    np.testing.assert_array_equal(found.scores_baseline, second)
    np.testing.assert_array_equal(found.differences, first - second)
    plain = ttest_1samp(first - second, 0).confidence_interval(0.95)
    # The correction widens the plain interval: 10 test rows and 40 training rows.
    half = (plain.high - plain.low) / 2 * math.sqrt((1 / 25 + 10 / 40) / (1 / 25))
    mean = (first - second).mean()
    assert found.interval == pytest.approx((mean - half, mean + half), rel=1e-9)


def test_swapped_models_change_the_sign_alone():
    ours = negative_transfer_test(GaussianNB(), OnColumn(1), *FIFTY, random_state=0)
    theirs = negative_transfer_test(OnColumn(1), GaussianNB(), *FIFTY, random_state=0)
    assert (ours.verdict, theirs.verdict) == ("helps", "hurts")
    assert ours.interval == pytest.approx((-theirs.interval[1], -theirs.interval[0]))
    assert ours.p_value == pytest.approx(theirs.p_value)


def test_less_confidence_is_a_narrower_interval():
    wide, narrow = (
        negative_transfer_test(GaussianNB(), OnColumn(0), *FIFTY, confidence=c, cv=3)
        for c in (0.999999, 0.5)
    )
    assert (wide.verdict, narrow.verdict) == ("undecided", "helps")
    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]


def p_values(n_draws, n_samples):
    """Return p-values for equally informative columns; intervals exclude 0 if p < 0.05."""
    cv = RepeatedStratifiedKFold(n_splits=5, n_repeats=5, random_state=0)
    p_values = []

    def accuracy(model, X, y):
        return np.mean(model.predict(X) == y)

    for seed in range(n_draws):
        rng = np.random.default_rng(seed)
        y = np.arange(n_samples) % 2
        X = rng.normal(size=(n_samples, 2)) + y[:, None]
        found = negative_transfer_test(OnColumn(0), OnColumn(1), X, y, cv=cv, scoring=accuracy)
        assert (found.verdict != "undecided") == (found.p_value < 0.05)
        p_values.append(1.0 if math.isnan(found.p_value) else found.p_value)
    return p_values


def test_models_of_equal_worth_are_undecided_in_most_tables():
    assert_level_is_kept(p_values(50, 60))


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", [40, 150])
def test_models_of_equal_worth_are_decided_in_few_tables(n_samples):
    """With 150 tables, an interval without the correction for shared rows would fail."""
    assert_level_is_kept(p_values(150, n_samples))


# Equal differences


def test_equal_models_are_undecided():
    found = negative_transfer_test(GaussianNB(), GaussianNB(), *FIFTY, random_state=0)
    assert found.verdict == "undecided"
    assert math.isnan(found.p_value)
    assert np.isnan(found.interval).all()
    assert "a difference of +0.000 in each of 25 folds" in str(found)
    assert "none, as all differences are equal" in found._repr_html_()


def test_equal_differences_are_undecided_though_they_differ_by_rounding():
    def scoring(model, X, y):
        base = X.mean() / 7  # another on each fold
        return base + 0.1 if isinstance(model, GaussianNB) else base

    found = negative_transfer_test(GaussianNB(), DummyClassifier(), *FIFTY, scoring=scoring)
    assert found.mean_difference == pytest.approx(0.1)
    assert np.ptp(found.differences) > 0
    assert found.verdict == "undecided"


# Folds and scores


def test_default_folds_are_stratified_and_drawn_by_the_seed():
    seen = []

    X, y = FIFTY[0][:45], np.arange(45) % 3

    def scoring(model, X, y):
        seen.append(tuple(X[:, 0]))
        assert np.bincount(y).tolist() == [3, 3, 3]
        return float(len(seen))

    for seed in (0, 0, 1):
        options = {"scoring": scoring, "random_state": seed}
        negative_transfer_test(GaussianNB(), DummyClassifier(), X, y, **options)
    first, again, other = (seen[start : start + 50] for start in (0, 50, 100))
    assert first[::2] == first[1::2]  # both models on the same rows
    assert first == again
    assert first != other


@pytest.mark.parametrize("y", [load_diabetes().target[:60], None])
def test_regressors_take_plain_folds_and_r2(y):
    X = load_diabetes().data[:60]
    y = np.column_stack([X[:, 2], X[:, 3]]) + 0.1 * X[:, :2] if y is None else y
    found = negative_transfer_test(LinearRegression(), Ridge(), X, y, random_state=0)
    folds = RepeatedKFold(n_splits=5, n_repeats=5, random_state=0)
    np.testing.assert_array_equal(
        found.scores_baseline, cross_val_score(Ridge(), X, y, cv=folds)
    )
    assert found.scoring == "r2"


@pytest.mark.parametrize(
    ("cv", "splitter"),
    [
        (3, StratifiedKFold(3)),
        (ShuffleSplit(4, random_state=0), ShuffleSplit(4, random_state=0)),
        (list(KFold(4, shuffle=True, random_state=0).split(FIFTY[0])), None),
    ],
    ids=["number", "splitter", "splits"],
)
def test_given_folds(cv, splitter):
    found = negative_transfer_test(GaussianNB(), DummyClassifier(), *FIFTY, cv=cv)
    expected = cross_val_score(GaussianNB(), *FIFTY, cv=splitter or cv)
    np.testing.assert_array_equal(found.scores_transferred, expected)


def test_names_of_scores_and_baselines():
    def run(scoring):
        return negative_transfer_test(Ridge(), LinearRegression(), *FIFTY, scoring=scoring)

    assert run("neg_mean_absolute_error").scoring == "neg_mean_absolute_error"
    assert run(make_scorer(median_absolute_error)).scoring == "median_absolute_error"
    assert run(None).baseline == "LinearRegression"


def test_two_jobs_give_the_scores_of_one():
    with parallel_config(backend="threading"):
        one, two = (
            negative_transfer_test(GaussianNB(), OnColumn(0), *FIFTY, cv=4, n_jobs=n)
            for n in (None, 2)
        )
    np.testing.assert_array_equal(one.differences, two.differences)


def test_one_fold_is_refused():
    cv = ShuffleSplit(1, random_state=0)
    with pytest.raises(ValueError, match="cv gives 1 fold: .*ShuffleSplit"):
        negative_transfer_test(GaussianNB(), DummyClassifier(), *FIFTY, cv=cv)


def test_scores_that_are_not_finite_are_refused():
    def scoring(model, X, y):
        return math.nan if isinstance(model, DummyClassifier) else 1.0

    with pytest.raises(ValueError, match="scoring of the baseline is nan on fold 0: give"):
        negative_transfer_test(GaussianNB(), DummyClassifier(), *FIFTY, scoring=scoring)


# Inputs


def kinds_of_table():
    X, y = FIFTY
    names = list("abcd")
    return {
        "DataFrame": (pd.DataFrame(X, columns=names), pd.Series(y, name="class")),
        "polars": (pl.DataFrame(X, names), pl.Series(y)),
        "lists": (X.tolist(), y.tolist()),
        "strided": (np.repeat(X, 2, axis=1)[:, ::2], np.repeat(y, 2)[::2]),
        "strings": (X, np.array(["cat", "dog", "owl"])[y]),
        "gaps": (X, np.array([-3, 7, 100])[y]),
    }


@pytest.mark.parametrize("kind", list(kinds_of_table()))
def test_tables_and_labels_of_any_kind(kind):
    X, y = kinds_of_table()[kind]
    scaled = make_pipeline(StandardScaler(), KNeighborsClassifier())
    found = negative_transfer_test(scaled, NearestCentroid(), X, y, cv=3)
    expected = negative_transfer_test(scaled, NearestCentroid(), *FIFTY, cv=3)
    np.testing.assert_array_equal(found.differences, expected.differences)


def test_labels_of_two_signs():
    y = np.where(FIFTY[1] == 1, 1, -1)
    found = negative_transfer_test(GaussianNB(), DummyClassifier(), FIFTY[0], y, cv=5)
    assert found.verdict == "helps"


def test_estimators_arrays_and_configuration_stay_as_they_are():
    X, y = (array.copy() for array in FIFTY)
    X.flags.writeable = y.flags.writeable = False
    before = sklearn.get_config()
    models = GaussianNB(), OnColumn(0)
    negative_transfer_test(*models, X, y, cv=3)
    assert not hasattr(models[0], "classes_")
    assert sklearn.get_config() == before
    np.testing.assert_array_equal(X, FIFTY[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_values_are_the_estimators_affair(bad):
    X = FIFTY[0].copy()
    X[3, 2] = bad
    with pytest.raises(ValueError, match="contains (NaN|infinity)"):
        negative_transfer_test(GaussianNB(), DummyClassifier(), X, FIFTY[1])


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        negative_transfer_test(GaussianNB(), DummyClassifier(), FIFTY[0], FIFTY[1][:-1])


class FromLists(ClassifierMixin, BaseEstimator):
    """Classifier that accepts only lists of texts and predicts their first letters."""

    def fit(self, X, y):
        assert isinstance(X, list)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.array([text[0] for text in X])


def test_samples_may_be_texts():
    texts = [f"{c}{i}" for i in range(10) for c in "ab"]
    y = [text[0] for text in texts]
    found = negative_transfer_test(FromLists(), DummyClassifier(), texts, y)
    np.testing.assert_array_equal(found.scores_transferred, np.ones(25))


# The result


def test_text_is_one_sentence_with_the_numbers():
    found = negative_transfer_test(GaussianNB(), OnColumn(0), *FIFTY, random_state=0)
    low, high = found.interval
    assert (
        str(found)
        == repr(found)
        == (
            f"Transfer helps: accuracy {found.scores_transferred.mean():.3f} against "
            f"{found.scores_baseline.mean():.3f} of the baseline OnColumn, difference "
            f"{found.mean_difference:+.3f} (95 % interval {low:+.3f} to {high:+.3f}, p = "
            f"{found.p_value:.2g}, 25 folds)."
        )
    )


def test_results_can_be_drawn():
    found = negative_transfer_test(GaussianNB(), OnColumn(0), *FIFTY, random_state=0)
    equal = negative_transfer_test(GaussianNB(), GaussianNB(), *FIFTY, cv=3)
    display = NegativeTransferDisplay.from_result({"better": found, "equal": equal})
    assert [v.get_text() for v in display.verdicts_] == ["helps", "undecided"]
    np.testing.assert_array_equal(display.points_[0].get_offsets()[:, 0], found.differences)
    plt.close(display.figure_)


def test_html_is_well_formed_and_escaped():
    found = negative_transfer_test(
        GaussianNB(),
        OnColumn(0),
        *FIFTY,
        random_state=0,
        scoring=lambda m, X, y: m.score(X, y),
    )
    opened = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    text = found._repr_html_()
    Balance().feed(text)
    assert opened == []
    assert "&lt;lambda&gt;" in text
    assert "<lambda>" not in text


def test_result_is_frozen_and_turns_into_plain_types():
    found = negative_transfer_test(GaussianNB(), DummyClassifier(), *FIFTY, cv=3)
    with pytest.raises(FrozenInstanceError):
        found.verdict = "hurts"
    plain = found.to_dict()
    assert plain["differences"] == found.differences.tolist()
    assert {type(value) for value in plain.values()} == {list, float, tuple, str, type(None)}


# Known cases


def images_and_labels():
    """Return ten samples of each digit of scikit-learn, which a network scales up."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    rows = [rng.choice(np.flatnonzero(y == k), 10, replace=False) for k in range(10)]
    rows = np.concatenate(rows)
    return X[rows].reshape(-1, 8, 8) / 16, y[rows]


def on_features():
    return make_pipeline(
        PretrainedFeatures(), StandardScaler(), LogisticRegression(max_iter=1000)
    )


@pytest.mark.slow
def test_features_of_photos_hurt_on_digits():
    images, y = images_and_labels()
    found = negative_transfer_test(on_features(), "raw", images, y, random_state=0)
    assert found.verdict == "hurts"
    assert found.scores_baseline.mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["raw", "scratch"])
def test_features_of_photos_help_on_photos(baseline):
    names = ["astronaut", "cat", "coffee", "flower", "rocket"]
    images, y = load_photo_crops(8, size=40, classes=names, return_X_y=True)
    found = negative_transfer_test(on_features(), baseline, images, y, random_state=0)
    assert found.verdict == "helps"
    assert found.scores_transferred.mean() > 0.9
