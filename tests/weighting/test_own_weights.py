"""Tests of the user's weights combined with those of the domains."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import make_scorer, mean_squared_error
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    KMM,
    ULSIF,
    DEVScorer,
    ImportanceWeighted,
    ImportanceWeightedScorer,
    TargetDomain,
)

RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(60, 2)), RNG.normal([0.5, 0], 1, size=(60, 2))
NUMBERS = X[:, 0] ** 2 + 0.1 * RNG.normal(size=60)
CLASSES = np.where(NUMBERS > 0.5, "yes", "no")
OWN = RNG.uniform(0.5, 3, 60)
DOMAIN = KMM(B=5).fit(X, X_target=T).weights_
PRODUCT = OWN * DOMAIN / np.mean(OWN * DOMAIN)


def weighted(estimator=None, **options):
    return ImportanceWeighted(estimator or Ridge(), KMM(B=5), **options)


def test_weights_are_multiplied_and_scaled_to_mean_1():
    model = weighted().fit(X, NUMBERS, OWN, X_target=T)
    np.testing.assert_allclose(model.weights_, PRODUCT)
    np.testing.assert_allclose(model.weighter_.weights_, DOMAIN)
    assert model.ess_ == pytest.approx(PRODUCT.sum() ** 2 / (PRODUCT**2).sum())
    expected = Ridge().fit(X, NUMBERS, sample_weight=PRODUCT * OWN.mean())
    np.testing.assert_allclose(model.predict(T), expected.predict(T))


def test_their_scale_is_left_to_the_estimator():
    model = weighted(LinearRegression()).fit(X, NUMBERS, 1e200 * OWN, X_target=T)
    np.testing.assert_allclose(model.weights_, PRODUCT)
    doubled = weighted(Ridge(3)).fit(X, NUMBERS, 2 * OWN, X_target=T)
    expected = weighted(Ridge(1.5)).fit(X, NUMBERS, OWN, X_target=T)
    np.testing.assert_allclose(doubled.predict(T), expected.predict(T))


def test_equal_weights_are_none():
    model = weighted().fit(X, NUMBERS, np.full(60, 3.0), X_target=T)
    np.testing.assert_allclose(model.weights_, DOMAIN, rtol=1e-12)


def test_without_a_target_they_are_the_users():
    with pytest.warns(UserWarning, match="X_target=X_target"):
        model = weighted().fit(X, NUMBERS, OWN)
    np.testing.assert_allclose(model.weights_, OWN / OWN.mean())
    expected = Ridge().fit(X, NUMBERS, sample_weight=OWN)
    np.testing.assert_allclose(model.predict(T), expected.predict(T))


@pytest.mark.parametrize("estimator", [Ridge(3), make_pipeline(LinearRegression())])
def test_rows_of_weight_0_are_left_out(estimator):
    own = np.where(np.arange(60) < 10, 0.0, OWN)
    model = weighted(estimator).fit(X, NUMBERS, own, X_target=T)
    without = weighted(estimator).fit(X[10:], NUMBERS[10:], own[10:], X_target=T)
    np.testing.assert_allclose(model.predict(T), without.predict(T))
    assert not model.weights_[:10].any()
    assert model.weights_.mean() == pytest.approx(1)


class Mean(TransformerMixin, BaseEstimator):
    """Transformer that subtracts the mean of the rows in `fit`."""

    def fit(self, X, y=None):
        self.mean_ = np.mean(X, axis=0)
        return self

    def transform(self, X):
        return X - self.mean_


def test_the_representation_sees_no_row_of_weight_0():
    own = np.where(np.arange(60) < 10, 0.0, 1.0)
    model = weighted(representation=Mean()).fit(X, NUMBERS, own, X_target=T)
    np.testing.assert_allclose(model.representation_.mean_, X[10:].mean(axis=0))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.where(np.arange(60) == 7, -1.0, 1.0), "sample_weight is -1 in row 7"),
        (np.zeros(60), "sample_weight is zero in every row"),
        (np.full(60, np.nan), "sample_weight contains NaN"),
        (np.ones(59), r"sample_weight.shape == \(59,\), expected \(60,\)"),
    ],
)
def test_weights_that_cannot_be_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        weighted().fit(X, NUMBERS, wrong, X_target=T)


def test_stacked_domains_take_weights_of_all_rows():
    stacked, domain = np.concatenate([T, X]), np.repeat([-1, 1], 60)
    y, own = np.concatenate([np.zeros(60), NUMBERS]), np.concatenate([np.full(60, 9), OWN])
    model = weighted().fit(stacked, y, own, sample_domain=domain)
    np.testing.assert_allclose(model.weights_, PRODUCT)


def test_one_number_weights_all_rows_of_stacked_domains():
    stacked, domain = np.concatenate([T, X]), np.repeat([-1, 1], 60)
    y = np.concatenate([np.zeros(60), NUMBERS])
    model = weighted().fit(stacked, y, 2.0, sample_domain=domain)
    np.testing.assert_allclose(model.weights_, DOMAIN)
    expected = Ridge().fit(X, NUMBERS, sample_weight=2 * DOMAIN)
    np.testing.assert_allclose(model.predict(T), expected.predict(T))


@pytest.mark.parametrize("routing", [False, True])
def test_a_search_slices_them(routing):
    with config_context(enable_metadata_routing=routing):
        model = weighted()
        if routing:
            model.set_fit_request(sample_weight=True, X_target=True)
            model.set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"estimator__alpha": [1.0]}, cv=KFold(3))
        search.fit(X, NUMBERS, sample_weight=OWN, X_target=TargetDomain(T))
    np.testing.assert_allclose(search.best_estimator_.weights_, PRODUCT)
    expected = []
    for train, test in KFold(3).split(X):
        one = weighted().fit(X[train], NUMBERS[train], OWN[train], X_target=T)
        expected.append(one.score(X[test], NUMBERS[test], sample_weight=OWN[test]))
    assert search.best_score_ == pytest.approx(np.mean(expected))


def test_a_step_of_a_pipeline_gets_them():
    with config_context(enable_metadata_routing=True):
        step = weighted().set_fit_request(sample_weight=True, X_target=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = make_pipeline(scaler, step).set_params(transform_input=["X_target"])
        pipe.fit(X, NUMBERS, sample_weight=OWN, X_target=T)
    Z = StandardScaler().fit(X)
    expected = weighted().fit(Z.transform(X), NUMBERS, OWN, X_target=Z.transform(T))
    np.testing.assert_allclose(pipe[-1].weights_, expected.weights_)


def test_a_classifier_in_a_pipeline_gets_the_product():
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    model = weighted(pipe).fit(X, CLASSES, OWN, X_target=T)
    expected = pipe.fit(X, CLASSES, logisticregression__sample_weight=PRODUCT * OWN.mean())
    np.testing.assert_allclose(model.predict_proba(T), expected.predict_proba(T))


FITTED = LinearRegression().fit(X, NUMBERS)
ERRORS = (FITTED.predict(X) - NUMBERS) ** 2


def test_scorers_multiply_them():
    scorer = ImportanceWeightedScorer("neg_mean_squared_error", X_target=T, weighter=KMM(B=5))
    found = scorer(FITTED, X, NUMBERS, sample_weight=OWN)
    assert found == pytest.approx(-np.average(ERRORS, weights=PRODUCT))
    assert scorer(FITTED, X, NUMBERS) == pytest.approx(-np.average(ERRORS, weights=DOMAIN))


def test_the_control_variate_takes_them():
    ratio = ULSIF(random_state=0).fit(X, X_target=T)
    w = OWN * ratio.weights_
    w *= ratio.mean_weight_ / w.mean()
    eta = np.cov(-w * ERRORS, w)[0, 1] / w.var(ddof=1)
    expected = np.mean(-w * ERRORS) - eta * (w.mean() - 1)
    scorer = DEVScorer("neg_mean_squared_error", X_target=T, weighter=ULSIF(random_state=0))
    assert scorer(FITTED, X, NUMBERS, sample_weight=OWN) == pytest.approx(expected)


@pytest.mark.parametrize("kind", [ImportanceWeightedScorer, DEVScorer])
def test_rows_of_weight_0_are_not_scored(kind):
    scorer = kind("neg_mean_squared_error", X_target=T, weighter=ULSIF(random_state=0))
    own = np.where(np.arange(60) < 10, 0.0, OWN)
    expected = scorer(FITTED, X[10:], NUMBERS[10:], sample_weight=OWN[10:])
    assert scorer(FITTED, X, NUMBERS, sample_weight=own) == pytest.approx(expected)


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("routing", [False, True])
def test_a_search_by_a_scorer_of_the_target_is_scored_with_them(asks, routing):
    scorer = ImportanceWeightedScorer("accuracy", X_target=T, weighter=KMM(B=5))
    if asks:
        scorer.set_score_request(sample_weight=True)
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, scoring=scorer, cv=3)
    with config_context(enable_metadata_routing=routing):
        model = weighted(search).fit(X, CLASSES, X_target=T)
        score = model.score(X, CLASSES, sample_weight=OWN)
    assert score == pytest.approx(np.average(model.predict(X) == CLASSES, weights=PRODUCT))
    assert type(model.estimator_.scorer_) is ImportanceWeightedScorer


def test_routing_brings_them_to_a_scorer_that_asks():
    scorer = ImportanceWeightedScorer("neg_mean_squared_error", X_target=T, weighter=KMM(B=5))
    options = {"cv": KFold(3), "params": {"sample_weight": OWN}}
    with config_context(enable_metadata_routing=True):
        model = Ridge().set_fit_request(sample_weight=True)
        plain = cross_validate(model, X, NUMBERS, scoring=scorer, **options)
        scorer.set_score_request(sample_weight=True)
        asked = cross_validate(model, X, NUMBERS, scoring=scorer, **options)
    expected, alone = [], []
    for train, test in KFold(3).split(X):
        one = Ridge().fit(X[train], NUMBERS[train], sample_weight=OWN[train])
        alone.append(scorer(one, X[test], NUMBERS[test]))
        expected.append(scorer(one, X[test], NUMBERS[test], sample_weight=OWN[test]))
    np.testing.assert_allclose(asked["test_score"], expected)
    np.testing.assert_allclose(plain["test_score"], alone)


class OldRidge(Ridge):
    """Return an estimator without requests, which works without routing."""

    set_fit_request = property()


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("inner", [Ridge(), OldRidge()])
def test_a_search_inside_weights_by_the_domain_once(inner, asked):
    scorer = ImportanceWeightedScorer(
        make_scorer(mean_squared_error, greater_is_better=False),
        X_target=T,
        weighter=KMM(B=5),
    )
    if asked:
        scorer.set_score_request(sample_weight=True)
    search = GridSearchCV(inner, {"alpha": [1.0]}, scoring=scorer, cv=KFold(3))
    model = weighted(search).fit(X, NUMBERS, X_target=T)
    expected = []
    for train, test in KFold(3).split(X):
        one = Ridge().fit(X[train], NUMBERS[train], sample_weight=DOMAIN[train])
        expected.append(scorer(one, X[test], NUMBERS[test]))
    assert model.estimator_.best_score_ == pytest.approx(np.mean(expected))
