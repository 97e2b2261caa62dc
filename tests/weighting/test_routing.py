"""ImportanceWeighted as a metadata router: what it consumes, and what it hands on."""

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import CORAL, KMM, ImportanceWeighted, LabelShiftWeights, TargetDomain

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


class Recorder(ClassifierMixin, BaseEstimator):
    """Classifier that records the metadata of its last fit."""

    def fit(self, X, y, sample_weight=None, *, X_val=None, X_target=None, tag=None):
        self.seen_ = {"X": X, "sample_weight": sample_weight, "X_val": X_val}
        self.seen_ |= {"X_target": X_target, "tag": tag}
        self.classes_ = np.unique(y)
        return self

    def predict(self, X, *, shift=0):
        return np.full(len(X), self.classes_[shift])

    def score(self, X, y, sample_weight=None, *, bonus=0.0):
        return bonus + np.average(self.predict(X) == y, weights=sample_weight)


def weighted(estimator):
    return ImportanceWeighted(estimator, KMM(B=5))


def consuming(estimator):
    """Return the estimator, which asks routers for the metadata of its own."""
    return estimator.set_fit_request(sample_weight=True, X_target=True)


def group_search():
    return GridSearchCV(LogisticRegression(), {"C": [0.01, 1]}, cv=GroupKFold(3))


@pytest.mark.usefixtures("routing")
def test_groups_reach_the_splitter_of_a_search_inside(domains):
    X, y, T = domains
    groups = np.random.default_rng(0).integers(0, 5, 60)
    model = weighted(group_search()).fit(X, y, X_target=T, groups=groups)
    weights, expected = model.weights_, []
    for train, test in GroupKFold(3).split(X, y, groups):
        one = LogisticRegression(C=0.01).fit(X[train], y[train], weights[train])
        expected.append(one.score(X[test], y[test], weights[test]))
    found = model.estimator_.cv_results_["mean_test_score"][0]
    assert found == pytest.approx(np.mean(expected))


@pytest.mark.usefixtures("routing")
def test_validation_samples_reach_the_estimator_that_asks(domains):
    X, y, T = domains
    inner = Recorder().set_fit_request(X_val=True)
    seen = weighted(inner).fit(X, y, X_target=T, X_val="kept").estimator_.seen_
    assert seen["X_val"] == "kept"
    assert seen["X_target"] is None
    np.testing.assert_array_equal(seen["sample_weight"], KMM(B=5).fit(X, X_target=T).weights_)


@pytest.mark.usefixtures("routing")
def test_they_reach_a_step_of_a_pipeline_inside(domains):
    X, y, T = domains
    pipe = make_pipeline(StandardScaler(), Recorder().set_fit_request(X_val="held"))
    seen = weighted(pipe).fit(X, y, X_target=T, held="kept").estimator_[-1].seen_
    assert seen["X_val"] == "kept"
    assert seen["sample_weight"].std() > 0


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("stacked", [False, True])
def test_a_part_that_asks_for_the_target_gets_it_in_either_form(stacked, domains):
    X, y, T = domains
    pipe = make_pipeline(CORAL().set_fit_request(X_target=True), LogisticRegression())
    if stacked:
        params = {"sample_domain": np.repeat([1, -1], [60, len(T)])}
        model = weighted(pipe).fit(np.concatenate([X, T]), np.tile(y, 2), **params)
    else:
        model = weighted(pipe).fit(X, y, X_target=T)
    np.testing.assert_allclose(model.estimator_[0].mean_target_, T.mean(axis=0))


@pytest.mark.usefixtures("routing")
def test_the_holder_of_a_target_is_handed_on_as_it_is(domains):
    X, y, T = domains
    target = TargetDomain(T)
    inner = Recorder().set_fit_request(X_target=True)
    assert weighted(inner).fit(X, y, X_target=target).estimator_.seen_["X_target"] is target


@pytest.mark.usefixtures("routing")
def test_metadata_of_stacked_rows_are_reduced_to_the_source(domains):
    X, y, T = domains
    domain, tag = np.repeat([-1, 1], 60), np.arange(120)
    inner = Recorder().set_fit_request(tag=True, X_val=True)
    params = {"sample_domain": domain, "tag": tag, "X_val": X[:7]}
    seen = (
        weighted(inner).fit(np.concatenate([T, X]), np.tile(y, 2), **params).estimator_.seen_
    )
    np.testing.assert_array_equal(seen["tag"], tag[60:])
    np.testing.assert_array_equal(seen["X"], X)
    np.testing.assert_array_equal(seen["X_val"], X[:7])


@pytest.mark.usefixtures("routing")
def test_metadata_that_nothing_asks_for_are_refused(domains):
    X, y, T = domains
    with pytest.raises(TypeError, match="unexpected argument.*X_valid"):
        weighted(Recorder()).fit(X, y, X_target=T, X_valid=X)
    with pytest.raises(ValueError, match="X_val.*not explicitly set as requested"):
        weighted(Recorder()).fit(X, y, X_target=T, X_val=X)


@pytest.mark.parametrize("method", ["fit", "predict", "score"])
def test_without_routing_they_are_refused(method, domains):
    X, y, T = domains
    model = weighted(Recorder()).fit(X, y, X_target=T)
    args = (X,) if method == "predict" else (X, y)
    with pytest.raises(ValueError, match=f"ImportanceWeighted.{method} is only supported if"):
        getattr(model, method)(*args, tag=1)


@pytest.mark.usefixtures("routing")
def test_predict_and_score_hand_metadata_on(domains):
    X, y, T = domains
    inner = Recorder().set_predict_request(shift=True).set_score_request(bonus=True)
    model = weighted(inner).fit(X, y, X_target=T)
    np.testing.assert_array_equal(model.predict(T, shift=1), np.repeat("yes", 60))
    assert model.score(X, y, bonus=2.0) == pytest.approx(2 + np.mean(y == "no"))
    half = np.arange(60) < 30
    found = model.score(X, y, sample_weight=half, bonus=2.0)
    assert found == pytest.approx(2 + np.mean(y[:30] == "no"))


@pytest.mark.usefixtures("routing")
def test_it_is_a_step_of_a_pipeline_in_a_search(domains):
    X, y, T = domains
    groups, own = np.arange(60) % 5, np.linspace(0.5, 2, 60)
    step = consuming(weighted(group_search())).set_score_request(sample_weight=True)
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    pipe = Pipeline([("scale", scaler), ("model", step)], transform_input=["X_target"])
    search = GridSearchCV(pipe, {"model__weighter__B": [2, 5]}, cv=3)
    search.fit(X, y, X_target=T[:40], groups=groups, sample_weight=own)
    step = search.best_estimator_[-1]
    Z = StandardScaler().fit(X)
    expected = ImportanceWeighted(group_search(), KMM(B=step.weighter_.B))
    target = Z.transform(T[:40])
    expected.fit(Z.transform(X), y, own, X_target=target, groups=groups)
    np.testing.assert_allclose(step.weights_, expected.weights_)
    np.testing.assert_array_equal(step.predict_proba(X), expected.predict_proba(X))


@pytest.mark.usefixtures("routing")
def test_cross_validate_routes_what_it_consumes_and_what_it_hands_on(domains):
    X, y, T = domains
    groups = np.arange(60) % 5
    params = {"X_target": TargetDomain(T), "groups": groups, "sample_weight": np.ones(60)}
    model = consuming(weighted(group_search())).set_score_request(sample_weight=False)
    found = cross_validate(model, X, y, params=params, cv=KFold(3), return_estimator=True)
    for one, (train, _) in zip(found["estimator"], KFold(3).split(X), strict=True):
        np.testing.assert_allclose(one.weights_, KMM(B=5).fit(X[train], X_target=T).weights_)


@pytest.mark.usefixtures("routing")
def test_own_weights_that_it_declines_do_not_pass_through_the_inner_request(domains):
    X, y, T = domains
    inner = LogisticRegression().set_fit_request(sample_weight=True)
    model = weighted(inner).set_fit_request(sample_weight=False, X_target=True)
    model.set_score_request(sample_weight=True)
    search = GridSearchCV(model, {}, cv=3)
    search.fit(X, y, X_target=TargetDomain(T), sample_weight=np.arange(1.0, 61.0))
    weights = KMM(B=5).fit(X, X_target=T).weights_
    np.testing.assert_array_equal(search.best_estimator_.weights_, weights)


@pytest.mark.usefixtures("routing")
def test_a_part_that_asks_for_weights_by_another_name_gets_those_of_the_domain(domains):
    X, y, T = domains
    last = LogisticRegression().set_fit_request(sample_weight="counts")
    model = weighted(make_pipeline(StandardScaler(), last)).fit(X, y, X_target=T)
    expected = weighted(make_pipeline(StandardScaler(), LogisticRegression()))
    expected.fit(X, y, X_target=T)
    np.testing.assert_array_equal(model.predict_proba(T), expected.predict_proba(T))


@pytest.mark.usefixtures("routing")
def test_it_can_be_nested_in_itself(domains):
    X, y, T = domains
    inner = ImportanceWeighted(LogisticRegression(), LabelShiftWeights(random_state=0))
    inner.set_fit_request(X_target=True)
    model = weighted(inner).fit(X, y, X_target=T)
    product = KMM(B=5).fit(X, X_target=T).weights_
    kept = product > 0
    product[kept] *= clone(inner.weighter).fit(X[kept], y[kept], X_target=T).weights_
    expected = LogisticRegression().fit(X, y, product / product.mean())
    np.testing.assert_allclose(model.estimator_.weights_, product / product.mean())
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X))


def test_nested_without_routing_the_inner_one_has_no_target(domains):
    X, y, T = domains
    with pytest.warns(UserWarning, match="got no target samples"):
        model = weighted(weighted(Ridge())).fit(X, y == "yes", X_target=T)
    expected = weighted(Ridge()).fit(X, y == "yes", X_target=T)
    np.testing.assert_allclose(model.predict(T), expected.predict(T))


@pytest.mark.usefixtures("routing")
def test_classes_that_do_not_support_routing_are_fitted_as_without_it(domains):
    X, y, T = domains
    model = weighted(AdaBoostClassifier(n_estimators=3, random_state=0)).fit(X, y, X_target=T)
    weights = KMM(B=5).fit(X, X_target=T).weights_
    with config_context(enable_metadata_routing=False):
        expected = clone(model.estimator).fit(X, y, weights)
    np.testing.assert_array_equal(model.predict_proba(T), expected.predict_proba(T))


@pytest.mark.usefixtures("routing")
def test_requests_are_neither_written_to_the_given_estimator_nor_left_on_the_fitted(domains):
    X, y, T = domains
    model = weighted(make_pipeline(StandardScaler(), group_search()))
    model.get_metadata_routing()
    model.fit(X, y, X_target=T, groups=np.arange(60) % 5)
    model.score(X, y, sample_weight=np.ones(60))
    assert b"MetadataRequest" not in pickle.dumps(model)
