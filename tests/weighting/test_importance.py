"""Tests of the weights of ImportanceWeighted in all meta-estimators of scikit-learn."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from PIL import Image
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sklearn_transfer import (
    KLIEP,
    KMM,
    ULSIF,
    DomainClassifierWeights,
    ImportanceWeighted,
    ImportanceWeightedScorer,
    LabelShiftWeights,
    NearestNeighborWeights,
    PretrainedFeatures,
    TargetDomain,
)
from tests.small_networks import CountingNet, counting_net, trained_net

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")


def kmm():
    return KMM(B=5)


def weighted(estimator=None):
    return ImportanceWeighted(LogisticRegression() if estimator is None else estimator, kmm())


def test_it_is_the_estimator_fitted_with_the_weighters_weights(domains):
    X, y, T = domains
    model = weighted().fit(X, y, X_target=T)
    weights = kmm().fit(X, X_target=T).weights_
    expected = LogisticRegression().fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(model.weights_, weights)
    np.testing.assert_array_equal(model.estimator_.coef_, expected.coef_)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        found = getattr(model, method)(T)
        np.testing.assert_array_equal(found, getattr(expected, method)(T))
    assert model.ess_ == model.weighter_.ess_


def test_kernel_mean_matching_is_the_default(domains):
    X, y, T = domains
    model = ImportanceWeighted(LogisticRegression()).fit(X, y, X_target=T)
    np.testing.assert_array_equal(model.weights_, KMM().fit(X, X_target=T).weights_)


WEIGHTERS = [
    KLIEP(random_state=0),
    ULSIF(random_state=0),
    DomainClassifierWeights(random_state=0),
    LabelShiftWeights(random_state=0),
    NearestNeighborWeights(),
]


@pytest.mark.parametrize("weighter", WEIGHTERS, ids=lambda w: type(w).__name__)
def test_any_weighter_serves_model_and_scorer(weighter, domains):
    X, y, T = domains
    model = ImportanceWeighted(LogisticRegression(), weighter).fit(X, y, X_target=T)
    weights = clone(weighter).fit(X, y, X_target=T).weights_
    np.testing.assert_array_equal(model.weights_, weights)
    assert weights.std() > 0.01
    scorer = ImportanceWeightedScorer("accuracy", X_target=T, weighter=weighter)
    expected = accuracy_score(y, model.predict(X), sample_weight=weights)
    assert scorer(model, X, y) == pytest.approx(expected)


def test_stacked_domains_give_what_separate_ones_give(domains):
    X, y, T = domains
    order = np.random.default_rng(1).permutation(120)
    stacked = np.concatenate([X, T])[order]
    labels = np.concatenate([y, np.repeat("unknown", 60)])[order]
    sample_domain = np.repeat([1, -1], 60)[order]
    before = labels.copy()
    model = weighted().fit(stacked, labels, sample_domain=sample_domain)
    source = sample_domain >= 0
    expected = weighted().fit(stacked[source], labels[source], X_target=stacked[~source])
    np.testing.assert_array_equal(model.estimator_.coef_, expected.estimator_.coef_)
    np.testing.assert_array_equal(model.classes_, ["no", "yes"])
    np.testing.assert_array_equal(labels, before)
    score = model.score(stacked, labels, sample_domain=sample_domain)
    assert score == expected.estimator_.score(stacked[source], labels[source])
    assert score > model.score(stacked, labels)


@pytest.mark.parametrize("labels", [["a", "b"], [-1, 1], [0, 7], [False, True]])
def test_labels_may_be_anything_and_stay(labels, domains):
    X, y, T = domains
    y = np.asarray(labels)[(y == "yes").astype(int)]
    before = y.copy()
    model = weighted().fit(X, y, X_target=T)
    np.testing.assert_array_equal(model.classes_, labels)
    np.testing.assert_array_equal(y, before)


def test_search_weights_each_training_fold(domains):
    X, y, T = domains
    folds = KFold(3)
    search = GridSearchCV(weighted(), {"estimator__C": [0.01, 1]}, cv=folds)
    search.fit(X, y, X_target=TargetDomain(T))
    expected = []
    for train, test in folds.split(X):
        weights = kmm().fit(X[train], X_target=T).weights_
        model = LogisticRegression(C=0.01).fit(X[train], y[train], sample_weight=weights)
        expected.append(model.score(X[test], y[test]))
    found = [search.cv_results_[f"split{i}_test_score"][0] for i in range(3)]
    np.testing.assert_allclose(found, expected)
    best = search.best_estimator_
    np.testing.assert_array_equal(best.weights_, kmm().fit(X, X_target=T).weights_)


def test_search_over_the_weighter(domains):
    X, y, T = domains
    search = GridSearchCV(weighted(), {"weighter__B": [2, 5], "weighter": [KMM(), KMM(eps=0)]})
    search.fit(X, y, X_target=TargetDomain(T))
    assert len(search.cv_results_["params"]) == 4


def test_cross_validate_gives_each_fold_its_weights(domains):
    X, y, T = domains
    params = {"X_target": TargetDomain(T)}
    found = cross_validate(weighted(), X, y, params=params, cv=KFold(3), return_estimator=True)
    for model, (train, _) in zip(found["estimator"], KFold(3).split(X), strict=True):
        weights = kmm().fit(X[train], X_target=T).weights_
        np.testing.assert_array_equal(model.weights_, weights)


def test_step_of_a_pipeline_gets_the_target_as_earlier_steps_leave_it(domains):
    X, y, T = domains
    with config_context(enable_metadata_routing=True):
        step = weighted().set_fit_request(X_target=True)
        pipe = Pipeline(
            [("scale", StandardScaler()), ("model", step)], transform_input=["X_target"]
        ).fit(X, y, X_target=T)
    scaler = StandardScaler().fit(X)
    expected = weighted().fit(scaler.transform(X), y, X_target=scaler.transform(T))
    np.testing.assert_array_equal(pipe[-1].weights_, expected.weights_)
    np.testing.assert_array_equal(pipe.predict(T), expected.predict(scaler.transform(T)))


def test_step_of_a_pipeline_takes_stacked_domains(domains):
    X, y, T = domains
    order = np.random.default_rng(1).permutation(120)
    stacked, labels = np.concatenate([X, T])[order], np.tile(y, 2)[order]
    sample_domain = np.repeat([1, -1], 60)[order]
    with config_context(enable_metadata_routing=True):
        step = weighted().set_fit_request(sample_domain=True)
        step.set_score_request(sample_domain=True)
        pipe = make_pipeline(StandardScaler(), step)
        search = GridSearchCV(pipe, {"importanceweighted__estimator__C": [0.1, 1]}, cv=3)
        search.fit(stacked, labels, sample_domain=sample_domain)
        score = search.score(stacked, labels, sample_domain=sample_domain)
    model = search.best_estimator_
    assert len(model[-1].weights_) == 60
    assert score == np.mean(model.predict(X) == y)


@pytest.mark.parametrize("ensemble", [True, False])
def test_calibration_around_it_weights_each_fold(domains, ensemble):
    X, y, T = domains
    model = CalibratedClassifierCV(weighted(LinearSVC()), cv=KFold(3), ensemble=ensemble)
    model.fit(X, y, X_target=TargetDomain(T))
    assert model.predict_proba(T).shape == (60, 2)
    trains = [train for train, _ in KFold(3).split(X)] if ensemble else [np.arange(60)]
    for calibrated, train in zip(model.calibrated_classifiers_, trains, strict=True):
        weights = kmm().fit(X[train], X_target=T).weights_
        np.testing.assert_array_equal(calibrated.estimator.weights_, weights)


@pytest.mark.parametrize("routing", [True, False])
@pytest.mark.parametrize(
    "estimator",
    [
        CalibratedClassifierCV(LinearSVC(), cv=3),
        StackingClassifier(
            [("a", make_pipeline(StandardScaler(), LogisticRegression())), ("b", LinearSVC())],
            cv=3,
        ),
    ],
    ids=["calibration", "stack"],
)
def test_calibration_and_stacks_inside_are_weighted(domains, estimator, routing):
    X, y, T = domains
    with config_context(enable_metadata_routing=routing):
        model = weighted(estimator).fit(X, y, X_target=TargetDomain(T))
    plain = clone(estimator).fit(X, y)
    assert model.predict_proba(T).shape == (60, 2)
    assert not np.allclose(model.predict_proba(T), plain.predict_proba(T))


def test_representation_compares_domains_and_leaves_the_estimators_input(domains):
    X, y, T = domains
    representation = make_pipeline(StandardScaler(), PCA(1))
    model = ImportanceWeighted(LogisticRegression(), kmm(), representation=representation)
    model.fit(X, y, X_target=T)
    fitted = clone(representation).fit(X)
    expected = kmm().fit(fitted.transform(X), X_target=fitted.transform(T)).weights_
    np.testing.assert_array_equal(model.weights_, expected)
    assert model.n_features_in_ == 2
    assert not hasattr(representation[0], "mean_")
    np.testing.assert_allclose(model.representation_[0].mean_, X.mean(axis=0))


@pytest.mark.parametrize("as_", [list, np.array, pd.Series], ids=["list", "array", "series"])
def test_estimator_sees_paths_and_each_image_passes_the_network_once(as_, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 40, 3), dtype=np.uint8)
    paths = [str(tmp_path / f"{i}.png") for i in range(24)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    weights = trained_net().state_dict()
    features = PretrainedFeatures(counting_net, weights=weights, engine="torch")
    pipe = Pipeline(
        [("features", features), ("scale", StandardScaler()), ("clf", LogisticRegression())]
    )
    model = ImportanceWeighted(pipe, kmm(), representation=features)
    y = np.tile(["a", "b"], 6)
    features.clear_cache()
    CountingNet.reset()
    search = GridSearchCV(model, {"estimator__clf__C": [0.1, 1]}, cv=2)
    search.fit(as_(paths[:12]), y, X_target=TargetDomain(as_(paths[12:])))
    assert CountingNet.images_seen == 24
    assert search.predict(paths[12:]).shape == (12,)
    Z = features.transform(paths)
    expected = kmm().fit(Z[:12], X_target=Z[12:]).weights_
    np.testing.assert_allclose(search.best_estimator_.weights_, expected)


class RecordsFits(TransformerMixin, BaseEstimator):
    """Representation that counts how often it is fitted."""

    fits = 0

    def fit(self, X, y=None):
        type(self).fits += 1
        return self

    def transform(self, X):
        return X


def test_an_estimator_without_weights_is_refused_before_anything_is_fitted(domains):
    X, y, T = domains
    RecordsFits.fits = 0
    pipe = make_pipeline(RecordsFits(), KNeighborsClassifier())
    model = ImportanceWeighted(pipe, representation=RecordsFits())
    with pytest.raises(
        TypeError, match="ImportanceWeighted needs.*KNeighborsClassifier in Pipe"
    ):
        model.fit(X, y, X_target=T)
    assert RecordsFits.fits == 0
    assert not vars(model).keys() - {"estimator", "weighter", "representation"}


@pytest.mark.parametrize("X", [["a.jpg", "b.jpg"], np.array(["a.jpg", "b.jpg"])])
def test_samples_without_features_ask_for_a_representation(X):
    with pytest.raises(ValueError, match="pass representation=PretrainedFeatures"):
        weighted().fit(X, [0, 1], X_target=X)


def test_no_target_is_the_plain_estimator_and_a_warning(domains):
    X, y, _ = domains
    model = weighted()
    with pytest.warns(UserWarning, match="X_target=X_target"):
        model.fit(X, y)
    expected = LogisticRegression().fit(X, y)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    np.testing.assert_array_equal(model.weights_, np.ones(60))


def test_it_is_what_its_estimator_is(domains):
    X, y, T = domains
    assert is_classifier(weighted())
    assert is_regressor(weighted(Ridge()))
    assert not hasattr(weighted(LinearSVC()), "predict_proba")
    assert not hasattr(weighted(), "classes_")
    table = pd.DataFrame(X, columns=["a", "b"])
    model = weighted().fit(table, y, X_target=pd.DataFrame(T, columns=["a", "b"]))
    np.testing.assert_array_equal(model.feature_names_in_, ["a", "b"])
    np.testing.assert_array_equal(model.classes_, ["no", "yes"])


def test_before_fit_it_says_so(domains):
    with pytest.raises(NotFittedError):
        weighted().predict(domains[0])


def test_it_survives_pickle_and_clone(domains):
    X, y, T = domains
    model = weighted().fit(X, y, X_target=T)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(T), model.predict(T))
    assert not hasattr(clone(model), "estimator_")


@pytest.mark.parametrize("routing", [True, False])
def test_score_takes_weights(domains, routing):
    X, y, T = domains
    counts = np.random.default_rng(0).integers(0, 3, 60)
    model = weighted(make_pipeline(StandardScaler(), LogisticRegression()))
    model.fit(X, y, X_target=T)
    repeated = model.score(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    with config_context(enable_metadata_routing=routing):
        assert model.score(X, y, sample_weight=counts) == pytest.approx(repeated)
        score = make_pipeline(model).score(X, y)
    assert score == model.score(X, y)


def test_nothing_global_changes(domains):
    X, y, T = domains
    before = sklearn.get_config()
    weighted(CalibratedClassifierCV(cv=3)).fit(X, y, X_target=T)
    assert sklearn.get_config() == before


def test_regression_under_covariate_shift_with_a_misspecified_model():
    """A straight line is fitted to a curve; weighting improves it where the target is."""
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, T = rng.normal(1, 0.5, (150, 1)), rng.normal(2, 0.25, (150, 1))
        y = np.sinc(X[:, 0]) + 0.1 * rng.normal(size=150)
        unseen = rng.normal(2, 0.25, (500, 1))
        truth = np.sinc(unseen[:, 0])
        model = ImportanceWeighted(LinearRegression()).fit(X, y, X_target=T)
        plain = LinearRegression().fit(X, y)
        errors = [np.mean((m.predict(unseen) - truth) ** 2) for m in (model, plain)]
        ratios.append(errors[0] / errors[1])
    assert np.mean(ratios) < 0.7
    assert max(ratios) < 1


def test_weighting_cannot_help_a_well_specified_model():
    """Without a bias to correct, weights only add variance."""
    worse = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, T = rng.normal(1, 0.5, (150, 1)), rng.normal(2, 0.25, (150, 1))
        y = X[:, 0] + 0.1 * rng.normal(size=150)
        model = ImportanceWeighted(LinearRegression()).fit(X, y, X_target=T)
        plain = LinearRegression().fit(X, y)
        errors = [np.mean((m.predict(T) - T[:, 0]) ** 2) for m in (model, plain)]
        worse.append(errors[0] > errors[1])
    assert np.mean(worse) > 0.5
