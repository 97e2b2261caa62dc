"""Tests of weights from the odds of a classifier of domains."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_transfer import DomainClassifierWeights

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 2)), rng.normal([1, 0], size=(300, 2))


def fitted(X, T, estimator=None, **options):
    return DomainClassifierWeights(estimator, random_state=0, **options).fit(X, X_target=T)


def test_ratio_is_the_odds_of_the_fitted_classifier(domains):
    X, T = domains
    found = fitted(X, T)
    rows = np.concatenate([X, T])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    p = model.fit(rows, np.repeat([0, 1], [400, 300])).predict_proba(X)
    expected = p[:, 1] / p[:, 0] * 400 / 300
    np.testing.assert_allclose(found.predict_weights(X) * found.mean_weight_, expected)


@pytest.mark.parametrize("sizes", [(400, 300), (400, 30), (40, 300)])
def test_ratio_is_that_of_the_densities_at_any_share_of_the_domains(sizes):
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(sizes[0], 1)), rng.normal(1, 1, size=(sizes[1], 1))
    found = fitted(X, T, GaussianNB())
    ratio = found.predict_weights([[0.5]]) * found.mean_weight_
    assert ratio == pytest.approx(1, abs=0.35)  # exp(0.5 - 1/2)


@pytest.mark.parametrize(
    ("estimator", "calibration"),
    [
        (RandomForestClassifier(50, min_samples_leaf=5, random_state=0), "auto"),
        (RandomForestClassifier(50, random_state=0), "sigmoid"),
        (LinearSVC(), "auto"),
        (LinearSVC(), "isotonic"),
        (GaussianNB(), None),
        (KNeighborsClassifier(30), "auto"),
    ],
    ids=str,
)
def test_any_classifier_points_to_the_target(estimator, calibration, domains):
    X, T = domains
    found = fitted(X, T, estimator, calibration=calibration)
    fresh = np.random.default_rng(1).normal(size=(400, 2))
    assert np.isfinite(found.weights_).all()
    assert spearmanr(found.weights_, X[:, 0])[0] > 0.5
    assert spearmanr(found.predict_weights(fresh), fresh[:, 0])[0] > 0.5


def test_rows_learned_by_heart_do_no_harm_to_weights(domains):
    """A tree recognizes every row that it has seen: its own odds for the source are 0."""
    X, T = domains
    found = fitted(X, T, DecisionTreeClassifier(random_state=0), max_ratio=10)
    assert found.predict_weights(X).max() == pytest.approx(0, abs=1e-12)
    assert spearmanr(found.weights_, X[:, 0])[0] > 0.2


def test_weights_come_from_models_that_did_not_see_the_row(domains):
    class Recorder(GaussianNB):
        seen = []

        def fit(self, X, y):
            self.rows_ = {tuple(row) for row in X}
            return super().fit(X, y)

        def predict_proba(self, X):
            self.seen.append(len(self.rows_ & {tuple(row) for row in X}))
            return super().predict_proba(X)

    X, T = domains
    fitted(X, T, Recorder(), cv=4)
    assert Recorder.seen == [0] * 4


def test_quadratic_terms_see_a_change_of_spread():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(1000, 1)), rng.normal(0, 0.5, size=(1000, 1))
    x = np.array([[0.0], [1.5]])
    quadratic = make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression())
    narrow = fitted(X, T, quadratic).predict_weights(x)
    linear = fitted(X, T).predict_weights(x)
    np.testing.assert_allclose(narrow, [2, 2 * np.exp(-1.5 * 1.5**2)], atol=0.25)
    np.testing.assert_allclose(linear, 1, atol=0.25)


@pytest.mark.filterwarnings("ignore:The estimate averages")
def test_sure_classifiers_give_no_infinity():
    X, T = np.arange(20.0)[:, None], np.arange(100.0, 120.0)[:, None]
    found = fitted(X, T, DecisionTreeClassifier(), max_ratio=50)
    raw = found.predict_weights(T)
    assert np.isfinite(raw).all()
    assert np.isfinite(found.weights_).all()


def test_largest_ratio_is_kept(domains):
    X, T = domains
    free, cut = fitted(X, T), fitted(X, T, max_ratio=2)
    assert (free.weights_ * free.mean_weight_).max() > 2
    np.testing.assert_allclose(
        cut.weights_ * cut.mean_weight_, np.minimum(free.weights_ * free.mean_weight_, 2)
    )
    assert (cut.predict_weights(T) * cut.mean_weight_).max() <= 2 + 1e-12


def test_classifier_without_probabilities_is_refused_without_calibration(domains):
    with pytest.raises(ValueError, match="LinearSVC has no predict_proba"):
        fitted(*domains, LinearSVC(), calibration=None)


def test_calibration_of_one_row_is_refused(domains):
    with pytest.raises(ValueError, match="400 source and 1 target rows to fit on"):
        fitted(domains[0], domains[1][:1], LinearSVC())


def test_classifier_of_the_caller_is_not_fitted(domains):
    model = GaussianNB()
    fitted(*domains, model)
    assert not hasattr(model, "classes_")


def test_weights_and_predictions_track_each_other(domains):
    found = fitted(*domains)
    assert spearmanr(found.weights_, found.predict_weights(domains[0]))[0] > 0.99


def test_domains_apart_are_told_where_the_odds_are_equal():
    """All odds are at the bound, so their effective sample size is uninformative."""
    X = np.random.default_rng(0).normal(size=(80, 2))
    weighter = DomainClassifierWeights(random_state=0)
    with pytest.warns(UserWarning, match="averages .* over the source.*Do not reweight"):
        weighter.fit(X, X_target=X + 1e4)
    assert weighter.ess_ > 40
