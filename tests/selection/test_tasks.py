"""Tests of how y is recognized as classes or as the numbers of a regression."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    LabelShiftWeights,
    OptimalTransport,
    negative_transfer_test,
    rank_backbones,
    shift_report,
)
from sklearn_transfer._validation import count_doubtful_values
from sklearn_transfer.heads import episodes
from sklearn_transfer.selection import (
    _ranking,
    gbc,
    h_score,
    label_shift_test,
    leep,
    logme,
    nce,
)

NOISE = np.random.default_rng(0).normal(size=(600, 3))
QUESTION = r"y holds {} distinct whole numbers in {} rows.*task='regression'"


def ages(n=300, seed=0):
    return np.random.default_rng(seed).normal(45, 15, n).round().clip(1, 95).astype(int)


def two_kinds_of_features(seed, n=120):
    """Return ages, features that predict them well, and features that predict them badly."""
    rng = np.random.default_rng(seed)
    y = rng.normal(45, 15, n).round().astype(int)
    signal = (y - 45) / 15
    good = np.column_stack([signal + 0.3 * rng.normal(size=n), rng.normal(size=(n, 4))])
    bad = np.column_stack([signal + 3 * rng.normal(size=n), rng.normal(size=(n, 59))])
    return y, good, bad


CLASSES = {
    "texts": np.array(["23", "45", "61", "18"] * 3),
    "truth values": np.arange(9) % 2 == 0,
    "two numbers": np.array([18, 99, 18, 18]),
    "codes": np.arange(30) % 10,
    "codes from 1": 1 + np.arange(20) % 10,
    "whole floats": (np.arange(30) % 5).astype(float),
    "gaps": np.array([-7, 0, 40, 900] * 5),
    "as many rows of each": np.repeat(np.arange(100), 3),
    "give or take one": np.arange(230) % 100,
    "categories": pd.Series(ages()).astype("category"),
    "a column of categories": pd.DataFrame({"age": pd.Series(ages()).astype("category")}),
    "few dates": np.array(["2020-01-01", "2020-06-01", "2021-01-01"] * 5, "datetime64[D]"),
    "fractions": np.linspace(0, 1, 50),
    "twenty classes": np.random.default_rng(0).integers(0, 20, 300),
}
NUMBERS = {
    "ages": ages(),
    "many rows of each": ages(5000),
    "few rows": ages(20),
    "as floats": ages().astype(float),
    "nullable": pd.Series(ages()).astype("Int64"),
    "objects": ages().astype(object),
    "one column": ages()[:, None],
    "counts": np.random.default_rng(0).poisson(30, 200),
    "years": np.random.default_rng(0).integers(1990, 2020, 300),
    "prices": np.random.default_rng(0).integers(1, 50, 60) * 100,
    "ranks": np.arange(50),
    "durations": pd.Series(pd.to_timedelta(ages(), "D")),
    "dates": np.datetime64("2020-01-01") + ages(),
    "few numbers of few rows": np.array([18, 25, 31, 40, 52, 18, 25, 31]),
}


@pytest.mark.parametrize("y", CLASSES.values(), ids=CLASSES)
def test_clear_classes_and_fractions_are_not_asked_about(y):
    assert count_doubtful_values(y) == 0


@pytest.mark.parametrize("y", NUMBERS.values(), ids=NUMBERS)
def test_many_distinct_whole_numbers_are_asked_about(y):
    assert count_doubtful_values(y) == len(set(np.asarray(y).ravel().tolist()))


def test_logme_asks_and_takes_an_answer():
    y = ages()
    with pytest.raises(ValueError, match=QUESTION.format(len(set(y)), 300)):
        logme(NOISE[:300], y)
    classes = logme(NOISE[:300], y, task="classification")
    assert classes == pytest.approx(logme(NOISE[:300], y.astype(str)), abs=1e-12)
    numbers = logme(NOISE[:300], y, task="regression")
    assert numbers == pytest.approx(logme(NOISE[:300], y + 1e-9 * NOISE[:300, 0]), abs=1e-6)


def test_logme_of_ages_is_the_highest_evidence_of_the_numbers():
    y, good, _ = two_kinds_of_features(0, 40)
    X = good - good.mean(axis=0)

    def loss(logs):
        covariance = np.eye(40) * np.exp(logs[0]) + X @ X.T * np.exp(logs[1])
        return -multivariate_normal(np.zeros(40), covariance).logpdf(y.astype(float))

    options = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 2000}
    found = min(
        minimize(loss, start, method="Nelder-Mead", options=options).fun
        for start in [(7, 0), (5, 5), (3, 3)]
    )
    assert logme(good, y, task="regression") == pytest.approx(-found / 40, abs=1e-6)


def test_logme_says_that_several_columns_are_a_regression():
    y = np.column_stack([ages(), ages(seed=1)])
    with pytest.raises(ValueError, match="2 columns of whole numbers: pass task='regression'"):
        logme(NOISE[:300], y)
    assert np.isfinite(logme(NOISE[:300], y, task="regression"))


SOFTMAX = np.exp(NOISE) / np.exp(NOISE).sum(axis=1, keepdims=True)
SCORES = {
    "h_score": lambda y, **task: h_score(NOISE[: len(y)], y, shrinkage=0.1, **task),
    "gbc": lambda y, **task: gbc(NOISE[: len(y)], y, **task),
    "leep": lambda y, **task: leep(SOFTMAX[: len(y)], y, **task),
    "nce": lambda y, **task: nce(NOISE[: len(y)].argmax(axis=1), y, **task),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_classes_refuse_ages_and_take_them_when_told(name):
    y = ages()
    said = (
        rf"{len(set(y))} distinct whole numbers.* {name} takes classes: pass task='cla.*logme"
    )
    with pytest.raises(ValueError, match=said):
        SCORES[name](y)
    told = SCORES[name](y, task="classification")
    assert told == pytest.approx(SCORES[name](y.astype(str)), abs=1e-9)


def test_source_labels_of_nce_are_never_asked_about():
    assert np.isfinite(nce(ages(), np.arange(300) % 2))


@pytest.fixture
def networks(monkeypatch):
    """Stand in for features of two networks, the worse of which comes first."""
    from sklearn_transfer.extraction import PretrainedFeatures
    from sklearn_transfer.extraction._base import LayerFeatures

    tables = {}

    def extract_layers(self, X, layers):
        return LayerFeatures([tables[self.model] for _ in layers], 0, 0.0, 1)

    monkeypatch.setattr(PretrainedFeatures, "_extract_layers", extract_layers)
    # There are no networks, of which it could be asked whether they take texts.
    monkeypatch.setattr(_ranking, "match_network", lambda extractor: extractor)
    return tables


def ranked(networks, seed, **options):
    y, networks["good"], networks["bad"] = two_kinds_of_features(seed)
    ranking = rank_backbones(["bad", "good"], np.arange(len(y)), y, **options)
    return y, ranking


@pytest.mark.parametrize(
    "answer",
    [
        {"task": "regression"},
        {"estimator": RidgeCV()},
        {"estimator": make_pipeline(StandardScaler(), Ridge())},
        {"estimator": GridSearchCV(Ridge(), {"alpha": [1, 10]})},
    ],
    ids=["task", "estimator", "pipeline", "search"],
)
def test_the_better_features_of_a_regression_come_first(networks, answer):
    for seed in range(30 if "task" in answer else 5):
        _, ranking = ranked(networks, seed, **answer)
        assert ranking.best.name == "good"
    y, ranking = ranked(networks, 0, **answer)
    expected = logme(networks["good"], y, task="regression")
    assert ranking.best.score == pytest.approx(expected, abs=1e-12)


def test_ages_are_asked_about_before_a_network_runs(networks):
    with pytest.raises(ValueError, match=r"distinct whole numbers in 120 rows.*task='reg"):
        ranked(networks, 0)
    with pytest.raises(ValueError, match="h_score takes classes: pass task='classification'"):
        ranked(networks, 0, score="h_score")


def test_a_classifier_says_that_ages_are_classes(networks):
    y, ranking = ranked(networks, 0, estimator=LogisticRegression())
    expected = logme(networks["good"], y.astype(str))
    scores = {row.name: row.score for row in ranking.candidates}
    assert scores["good"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("answer", [{"task": "regression"}, {"estimator": RidgeCV()}])
def test_folds_of_a_regression_are_not_stratified(networks, answer):
    y, ranking = ranked(networks, 0, cv=5, **answer)
    model = answer.get("estimator", make_pipeline(StandardScaler(), Ridge()))
    expected = cross_val_score(model, networks["good"], y, cv=KFold(5), scoring="r2")
    assert ranking.best.cv_mean == pytest.approx(expected.mean(), abs=1e-9)


def test_a_task_against_the_estimator_or_the_score_is_refused(networks):
    with pytest.raises(ValueError, match="contradicts the estimator, RidgeCV"):
        ranked(networks, 0, estimator=RidgeCV(), task="classification")
    with pytest.raises(ValueError, match="score='gbc' rates classes, and estimator asks"):
        ranked(networks, 0, estimator=RidgeCV(), score="gbc")
    with pytest.raises(ValueError, match="score='nce' rates classes, and task asks"):
        ranked(networks, 0, task="regression", score="nce")


def test_a_function_as_score_is_asked_nothing(networks):
    _, ranking = ranked(networks, 0, score=lambda X, y: -X.shape[1])
    assert ranking.best.name == "good"


def test_the_shift_report_asks_whether_counts_are_classes():
    X, T, y = NOISE[:120], NOISE[300:400], np.random.default_rng(0).poisson(30, 120)
    with pytest.raises(ValueError, match=QUESTION.format(len(set(y)), 120)):
        shift_report(X, T, y)
    options = {"random_state": 0, "n_permutations": 99}
    assert shift_report(X, T, y, task="regression", **options).classes is None
    known = shift_report(X, T, y, task="classification", **options).classes
    assert known == sorted(set(y.tolist()))


def test_label_shift_of_ages_is_refused():
    X, T = NOISE[:300], NOISE[300:]
    with pytest.raises(ValueError, match="label_shift_test takes classes: pass task='class"):
        label_shift_test(X, ages(), T)
    with pytest.raises(ValueError, match="LabelShiftWeights takes classes: pass task='class"):
        LabelShiftWeights().fit(X, ages(), X_target=T)


def test_a_classifier_says_that_labels_shift():
    X, T, y = NOISE[:300], NOISE[300:], ages()
    told = label_shift_test(X, y, T, task="classification", random_state=0)
    given = label_shift_test(X, y, T, estimator=DummyClassifier(), random_state=0)
    assert len(told.classes) == len(given.classes) == len(set(y))
    weighter = LabelShiftWeights(DummyClassifier(), method="bbse")
    with pytest.warns(UserWarning, match="predicts some classes alike"):
        weighter.fit(X, y, X_target=T)
    assert len(weighter.classes_) == len(set(y))


def test_a_class_penalty_on_ages_warns():
    with pytest.warns(UserWarning, match=r"takes the \d+ distinct whole numbers in y"):
        OptimalTransport(class_reg="lpl1").fit(NOISE[:150], ages(150), X_target=NOISE[300:])


def test_episodes_refuse_a_regressor_and_hint_at_numbers():
    with pytest.raises(ValueError, match=r"Ridge\(\) is a regressor.*give a classifier"):
        episodes(NOISE[:300], ages(), estimator=Ridge())
    with pytest.raises(ValueError, match=r"y holds \d+ distinct whole numbers, which"):
        episodes(NOISE[:300], ages())


def test_the_comparison_of_regressors_of_ages_is_one_of_numbers():
    y, good, _ = two_kinds_of_features(0)
    folds = KFold(3)
    result = negative_transfer_test(RidgeCV(), Ridge(1e6), good, y, cv=3)
    assert (result.scoring, result.verdict) == ("r2", "helps")
    expected = cross_val_score(RidgeCV(), good, y, cv=folds, scoring="r2")
    assert result.scores_transferred == pytest.approx(expected, abs=1e-9)
