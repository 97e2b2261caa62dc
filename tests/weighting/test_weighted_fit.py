"""Weights reach the predictor in any meta-estimator, with or without metadata routing."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.linear_model import (
    LassoCV,
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeCV,
)
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_transfer.weighting._weighted_fit import check_takes_weights, fit_with_weights


def logistic():
    return LogisticRegression()


def scaled():
    return make_pipeline(StandardScaler(), logistic())


def tree():
    return DecisionTreeClassifier(max_depth=2, random_state=0)


def boosted():
    return AdaBoostClassifier(n_estimators=3, random_state=0)


CLASSIFIERS = {
    "linear": logistic(),
    "kernel": SVC(),
    "forest": RandomForestClassifier(n_estimators=3, random_state=0),
    "boosted trees": HistGradientBoostingClassifier(max_iter=3),
    "pipeline": scaled(),
    "pipeline in pipeline": make_pipeline(StandardScaler(), scaled()),
    "without routing": boosted(),
    "without routing, in a pipeline": make_pipeline(StandardScaler(), boosted()),
    "bagging": BaggingClassifier(n_estimators=3, random_state=0),
    "bagging of pipelines": BaggingClassifier(scaled(), n_estimators=3, random_state=0),
    "votes": VotingClassifier([("a", scaled()), ("b", tree())], voting="soft"),
    "stack of pipelines": StackingClassifier([("a", scaled()), ("b", tree())], cv=3),
    "stack under a pipeline": StackingClassifier([("a", tree())], scaled(), cv=3),
    "stack in a pipeline": make_pipeline(
        StandardScaler(), StackingClassifier([("a", scaled())])
    ),
    "calibration": CalibratedClassifierCV(scaled(), cv=3),
    "default calibration": CalibratedClassifierCV(cv=3),
    "search": GridSearchCV(scaled(), {"logisticregression__C": [0.1, 1]}, cv=3),
    "search by name": GridSearchCV(
        scaled(), {"logisticregression__C": [0.1, 1]}, scoring="f1"
    ),
    "search by names": GridSearchCV(
        logistic(), {"C": [0.1, 1]}, scoring=["f1", "jaccard"], refit="f1", cv=3
    ),
    "search in a pipeline": make_pipeline(
        StandardScaler(), GridSearchCV(logistic(), {"C": [0.1, 1]}, cv=3)
    ),
    "threshold": TunedThresholdClassifierCV(logistic(), cv=3),
    "one against rest": OneVsRestClassifier(logistic()),
    "elimination": RFE(logistic(), n_features_to_select=2),
    "selection before": make_pipeline(SelectFromModel(logistic()), logistic()),
    "union before": make_pipeline(
        FeatureUnion([("s", StandardScaler()), ("p", PCA(2))]), logistic()
    ),
    "columns before": make_pipeline(
        ColumnTransformer([("s", StandardScaler(), [0, 1])]), logistic()
    ),
}
REGRESSORS = {
    "scaled target": TransformedTargetRegressor(
        make_pipeline(StandardScaler(), Ridge()),
        transformer=QuantileTransformer(n_quantiles=5),
    ),
    "own search": RidgeCV(),
    "own search in a pipeline": make_pipeline(StandardScaler(), LassoCV()),
    "stack of own searches": StackingRegressor([("a", RidgeCV()), ("b", Ridge())]),
}
SEVERAL = {
    "outputs": MultiOutputClassifier(logistic()),
    "chain": ClassifierChain(logistic()),
}
ALL = [
    pytest.param(estimator, kind, id=name)
    for kind, group in [("labels", CLASSIFIERS), ("values", REGRESSORS), ("several", SEVERAL)]
    for name, estimator in group.items()
]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] + 0.7 * rng.normal(size=60) > 0).astype(int)
    weights = rng.gamma(1, size=60) + 0.01
    return (
        X,
        {"labels": y, "values": X[:, 0] ** 2 + X[:, 1], "several": np.c_[y, 1 - y]},
        weights,
    )


def answers(estimator, X):
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(X))
    if hasattr(estimator, "decision_function"):
        return estimator.decision_function(X)
    return estimator.predict(X)


@pytest.mark.parametrize(("estimator", "kind"), ALL)
def test_weights_count_and_routing_makes_no_difference(estimator, kind, data):
    X, targets, weights = data
    y = targets[kind]
    check_takes_weights(estimator, "Owner")
    found = []
    for routing in (False, True):
        with config_context(enable_metadata_routing=routing):
            found.append(answers(fit_with_weights(estimator, X, y, weights), X))
    equal = answers(fit_with_weights(estimator, X, y, np.ones(60)), X)
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], equal)


@pytest.mark.parametrize("name", ["linear", "kernel", "boosted trees", "without routing"])
def test_estimators_get_what_their_own_fit_would_get(name, data):
    X, targets, weights = data
    estimator, y = CLASSIFIERS[name], targets["labels"]
    expected = clone(estimator).fit(X, y, sample_weight=weights)
    found = fit_with_weights(estimator, X, y, weights)
    np.testing.assert_array_equal(answers(found, X), answers(expected, X))


def test_the_last_step_alone_is_weighted(data):
    X, targets, weights = data
    found = fit_with_weights(scaled(), X, targets["labels"], weights)
    expected = scaled().fit(X, targets["labels"], logisticregression__sample_weight=weights)
    np.testing.assert_array_equal(answers(found, X), answers(expected, X))
    np.testing.assert_allclose(found[0].mean_, X.mean(axis=0))


@pytest.mark.parametrize("last", [logistic(), boosted()], ids=["routed", "without routing"])
def test_a_step_that_asks_for_weights_gets_them(last, data):
    X, targets, weights = data
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
    found = fit_with_weights(make_pipeline(scaler, last), X, targets["labels"], weights)
    np.testing.assert_allclose(found[0].mean_, np.average(X, axis=0, weights=weights))


def test_a_part_that_declines_weights_gets_none(data):
    X, targets, weights = data
    with config_context(enable_metadata_routing=True):
        declining = LogisticRegression().set_fit_request(sample_weight=False)
    stack = StackingClassifier([("a", declining), ("b", logistic())], cv=3)
    check_takes_weights(stack, "Owner")
    found = fit_with_weights(stack, X, targets["labels"], weights)
    plain = logistic().fit(X, targets["labels"])
    weighted = logistic().fit(X, targets["labels"], sample_weight=weights)
    np.testing.assert_allclose(found.named_estimators_["a"].coef_, plain.coef_)
    np.testing.assert_allclose(found.named_estimators_["b"].coef_, weighted.coef_)


def test_a_search_is_scored_with_the_weights(data):
    X, targets, _ = data
    y = targets["values"]
    weights = np.where(X[:, 1] > 0, 1.0, 1e-9)
    search = GridSearchCV(
        Ridge(), {"alpha": [1e-3, 1e3]}, cv=[(np.arange(30), np.arange(30, 60))]
    )
    found = fit_with_weights(search, X, y, weights)
    model = Ridge(1e-3).fit(X[:30], y[:30], sample_weight=weights[:30])
    expected = model.score(X[30:], y[30:], sample_weight=weights[30:])
    assert found.cv_results_["mean_test_score"][0] == pytest.approx(expected)


def test_requests_of_the_given_estimator_stay_open(data):
    X, targets, weights = data
    search = GridSearchCV(scaled(), {"logisticregression__C": [1]}, scoring="f1", cv=3)
    fit_with_weights(search, X, targets["labels"], weights)
    assert search.scoring == "f1"
    request = search.estimator[1]._get_metadata_request()
    assert request.fit.requests["sample_weight"] is None
    assert request.score.requests["sample_weight"] is None


class Plain(ClassifierMixin):
    """Estimator that accepts weights and does not support scikit-learn's routing."""

    def __init__(self, C=1.0):
        self.C = C

    def get_params(self, deep=True):
        return {"C": self.C}

    def fit(self, X, y, sample_weight=None):
        self.seen_ = sample_weight
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[0], len(X))


def test_classes_from_elsewhere_get_weights(data):
    X, targets, weights = data
    found = fit_with_weights(Plain(), X, targets["labels"], weights)
    np.testing.assert_array_equal(found.seen_, weights)


class TakesAnything(ClassifierMixin, BaseEstimator):
    """Estimator that accepts any parameters without naming those it supports."""

    def fit(self, X, y, **params):
        return self

    def predict(self, X):
        return np.zeros(len(X))


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (KNeighborsClassifier(), "KNeighborsClassifier does not"),
        (
            make_pipeline(StandardScaler(), KNeighborsClassifier()),
            "KNeighborsClassifier in Pipe",
        ),
        (
            StackingClassifier([("k", KNeighborsClassifier())]),
            "KNeighborsClassifier in Stacking",
        ),
        (GridSearchCV(KNeighborsClassifier(), {}), "KNeighborsClassifier in GridSearchCV"),
        (BaggingClassifier(KNeighborsClassifier()), "KNeighborsClassifier in Bagging"),
        (make_pipeline(StandardScaler(), "passthrough"), "'passthrough' in Pipeline"),
        (make_pipeline(LinearRegression(), TakesAnything()), "TakesAnything in Pipeline"),
        (TakesAnything(), "TakesAnything does not"),
    ],
)
def test_what_cannot_take_weights_is_named(estimator, named):
    with pytest.raises(TypeError, match=f"Owner needs an estimator.*{named}"):
        check_takes_weights(estimator, "Owner")
