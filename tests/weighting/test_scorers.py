"""Scorers that estimate a model's score on the target from the source."""

import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, get_scorer, log_loss, make_scorer, max_error
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sklearn_transfer import (
    KMM,
    DEVScorer,
    ImportanceWeighted,
    ImportanceWeightedScorer,
    PretrainedFeatures,
    TargetDomain,
)
from sklearn_transfer.weighting._base import BaseWeighter
from tests import small_networks

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")


@pytest.fixture
def model(domains):
    X, y, _ = domains
    return LogisticRegression().fit(X[:30], y[:30])


class Ratio(BaseWeighter):
    """Weighter with known weights whose mean is not 1, which counts its fits."""

    fits = 0

    def _estimate(self, X_source, X_target, y_source):
        type(self).fits += 1
        return np.exp(0.5 * X_source[:, 0])


def test_the_metric_is_weighted_by_the_fold(domains, model):
    X, y, T = domains
    scorer = ImportanceWeightedScorer("accuracy", X_target=T, weighter=KMM(B=5))
    weights = KMM(B=5).fit(X[30:], X_target=T).weights_
    expected = accuracy_score(y[30:], model.predict(X[30:]), sample_weight=weights)
    assert scorer(model, X[30:], y[30:]) == expected


def test_kernel_mean_matching_is_the_default(domains, model):
    X, y, T = domains
    found = ImportanceWeightedScorer("accuracy", X_target=T)(model, X, y)
    expected = ImportanceWeightedScorer("accuracy", X_target=T, weighter=KMM())(model, X, y)
    assert found == expected


@pytest.mark.parametrize("kind", [ImportanceWeightedScorer, DEVScorer])
def test_scoring_again_gives_the_same(kind, domains, model):
    X, y, T = domains
    scorer = kind("neg_log_loss", X_target=T)
    scores = {scorer(model, X, y) for _ in range(3)}
    scores.add(clone(scorer)(model, X, y))
    scores.add(pickle.loads(pickle.dumps(scorer))(model, X, y))
    assert len(scores) == 1


@pytest.mark.parametrize("kind", [ImportanceWeightedScorer, DEVScorer])
def test_a_search_scores_each_fold_with_weights_of_its_own_estimated_once(kind, domains):
    X, y, T = domains
    Ratio.fits = 0
    scorer = kind("accuracy", X_target=TargetDomain(T), weighter=Ratio())
    search = GridSearchCV(
        LogisticRegression(), {"C": [0.01, 1, 10]}, scoring=scorer, cv=KFold(3)
    )
    search.fit(X, y)
    assert Ratio.fits == 3
    train, test = next(KFold(3).split(X))
    fold = LogisticRegression(C=0.01).fit(X[train], y[train])
    fresh = kind("accuracy", X_target=T, weighter=Ratio())
    assert search.cv_results_["split0_test_score"][0] == fresh(fold, X[test], y[test])


def test_another_target_or_weighter_is_noticed(domains, model):
    X, y, T = domains
    scorer = ImportanceWeightedScorer("accuracy", X_target=T)
    scorer(model, X, y)
    scorer.set_params(X_target=T - 2)
    moved = ImportanceWeightedScorer("accuracy", X_target=T - 2)(model, X, y)
    assert scorer(model, X, y) == moved
    scorer.set_params(weighter=Ratio())
    other = ImportanceWeightedScorer("accuracy", X_target=T, weighter=Ratio())(model, X, y)
    assert scorer(model, X, y) == other
    assert other != moved


def test_weights_are_not_pickled(domains, model):
    X, y, T = domains
    scorer = ImportanceWeightedScorer("accuracy", X_target=T)
    size = len(pickle.dumps(scorer))
    scorer(model, X, y)
    assert len(pickle.dumps(scorer)) == size


def test_a_callable_gets_the_weights(domains, model):
    X, y, T = domains

    def scoring(estimator, X, y, sample_weight):
        return sample_weight[0]

    scorer = ImportanceWeightedScorer(scoring, X_target=T, weighter=KMM(B=5))
    assert scorer(model, X, y) == KMM(B=5).fit(X, X_target=T).weights_[0]


@pytest.mark.parametrize("scoring", ["neg_max_error", make_scorer(max_error), len])
def test_a_metric_without_weights_is_refused(scoring, domains, model):
    X, y, T = domains
    with pytest.raises(TypeError, match="takes no sample_weight"):
        ImportanceWeightedScorer(scoring, X_target=T)(model, X, y)


@pytest.mark.parametrize("kind", [ImportanceWeightedScorer, DEVScorer])
def test_no_target_is_refused(kind, domains, model):
    X, y, _ = domains
    with pytest.raises(ValueError, match=f"{kind.__name__} got X_target=None"):
        kind("accuracy", X_target=None)(model, X, y)


@pytest.mark.parametrize("kind", [ImportanceWeightedScorer, DEVScorer])
def test_several_metrics_at_once(kind, domains):
    X, y, T = domains
    scoring = {name: kind(name, X_target=T) for name in ("accuracy", "neg_log_loss")}
    found = cross_validate(LogisticRegression(), X, y, scoring=scoring, cv=3)
    for name, scorer in scoring.items():
        expected = cross_val_score(LogisticRegression(), X, y, scoring=scorer, cv=3)
        np.testing.assert_array_equal(found[f"test_{name}"], expected)


def test_representation_compares_domains(domains, model):
    X, y, T = domains
    scorer = ImportanceWeightedScorer(
        "accuracy", X_target=T, weighter=KMM(B=5), representation=PCA(1)
    )
    pca = PCA(1).fit(X)
    weights = KMM(B=5).fit(pca.transform(X), X_target=pca.transform(T)).weights_
    assert scorer(model, X, y) == accuracy_score(y, model.predict(X), sample_weight=weights)


@pytest.mark.parametrize("kind", [ImportanceWeightedScorer, DEVScorer])
def test_paths_pass_through(kind, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 40, 3), dtype=np.uint8)
    paths = [str(tmp_path / f"{i}.png") for i in range(24)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    features = PretrainedFeatures(small_networks.counting_net, weights=None, engine="torch")
    pipe = make_pipeline(features, LogisticRegression())
    model = ImportanceWeighted(pipe, representation=features)
    scorer = kind("accuracy", X_target=paths[12:], representation=features)
    search = GridSearchCV(model, {"estimator__logisticregression__C": [0.1, 1]}, cv=2)
    search.set_params(scoring=scorer)
    small_networks.CountingNet.reset()
    search.fit(paths[:12], np.tile(["a", "b"], 6), X_target=TargetDomain(paths[12:]))
    assert small_networks.CountingNet.images_seen == 24
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def dev(weights, scores):
    """Compute the risk of You et al. (2019), section 3.3, with negative scores as losses."""
    losses = -np.asarray(scores, dtype=float)
    weighted = weights * losses
    eta = -np.cov(weighted, weights)[0, 1] / np.var(weights, ddof=1)
    return -(weighted.mean() + eta * weights.mean() - eta)


def sample_scores(name, model, X, y):
    if name == "accuracy":
        return model.predict(X) == y
    column = (y == "yes").astype(int)
    return np.log(model.predict_proba(X)[np.arange(len(y)), column])


@pytest.mark.parametrize("name", ["accuracy", "neg_log_loss"])
def test_control_variate_is_that_of_the_paper(name, domains, model):
    X, y, T = domains
    scorer = DEVScorer(name, X_target=T, weighter=Ratio())
    expected = dev(np.exp(0.5 * X[:, 0]), sample_scores(name, model, X, y))
    assert scorer(model, X, y) == pytest.approx(expected, rel=1e-12)
    plain = ImportanceWeightedScorer(name, X_target=T, weighter=Ratio())(model, X, y)
    assert scorer(model, X, y) != pytest.approx(plain, rel=1e-6)


class Equal(BaseWeighter):
    def _estimate(self, X_source, X_target, y_source):
        return np.ones(len(X_source))


@pytest.mark.parametrize("name", ["accuracy", "neg_log_loss"])
def test_equal_weights_give_scikit_learns_score(name, domains, model):
    X, y, T = domains
    found = DEVScorer(name, X_target=T, weighter=Equal())(model, X, y)
    assert found == pytest.approx(get_scorer(name)(model, X, y), rel=1e-12)


@pytest.mark.parametrize("name", ["neg_mean_squared_error", "neg_mean_absolute_error"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_equal_weights_give_scikit_learns_error(name, outputs, domains):
    X, _, T = domains
    y = X[:, 0] ** 2 if outputs == 1 else X**2
    model = Ridge().fit(X, y)
    found = DEVScorer(name, X_target=T, weighter=Equal())(model, X, y)
    assert found == pytest.approx(get_scorer(name)(model, X, y), rel=1e-12)


def test_a_probability_of_zero_is_cut_off(domains):
    X, _, T = domains

    class Certain:
        classes_ = np.array([3, 7])

        def predict_proba(self, X):
            return np.tile([1.0, 0.0], (len(X), 1))

    y = np.tile([3, 7], 30)
    found = DEVScorer("neg_log_loss", X_target=T, weighter=Equal())(Certain(), X, y)
    expected = -log_loss(y, Certain().predict_proba(X))
    assert found == pytest.approx(expected)


def test_a_label_that_was_not_fitted_is_named(domains, model):
    X, y, T = domains
    with pytest.raises(ValueError, match="y holds .*'maybe'.*Stratify"):
        DEVScorer("neg_log_loss", X_target=T)(model, X, np.where(X[:, 0] > 1, "maybe", y))


def test_an_unknown_score_names_those_there_are(domains, model):
    X, y, T = domains
    with pytest.raises(ValueError, match="single samples.*Did you mean 'accuracy'"):
        DEVScorer("accurate", X_target=T)(model, X, y)


def test_a_callable_returns_one_score_per_sample(domains, model):
    X, y, T = domains

    def scoring(estimator, X, y):
        return estimator.predict(X) == y

    found = DEVScorer(scoring, X_target=T)(model, X, y)
    assert found == DEVScorer("accuracy", X_target=T)(model, X, y)
    with pytest.raises(ValueError, match=r"returned shape \(\) for 60 samples"):
        DEVScorer(lambda *args: 1.0, X_target=T)(model, X, y)


@pytest.mark.parametrize(
    "make",
    [
        lambda T: ImportanceWeightedScorer("neg_mean_squared_error", X_target=T),
        lambda T: DEVScorer("neg_mean_squared_error", X_target=T),
    ],
    ids=["importance weighted", "deep embedded"],
)
def test_they_choose_the_model_that_serves_the_target(make):
    """A parabola is best overall, a line is best on the target: the plain score is misled."""
    right = plainly = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, T = rng.normal(0, 1, (300, 1)), rng.normal(1.2, 0.5, (300, 1))
        y = np.abs(X[:, 0]) + 0.1 * rng.normal(size=300)
        line = LinearRegression().fit(*_right_half(X, y))
        parabola = make_pipeline(PolynomialFeatures(2), LinearRegression()).fit(X, y)
        scorer = make(T)
        right += scorer(line, X, y) > scorer(parabola, X, y)
        plain = get_scorer("neg_mean_squared_error")
        plainly += plain(line, X, y) > plain(parabola, X, y)
    assert right >= 9
    assert plainly == 0


def _right_half(X, y):
    rows = X[:, 0] > 0
    return X[rows], y[rows]


@pytest.mark.parametrize("scoring", ["neg_mean_squared_error", "neg_mean_absolute_error"])
def test_dev_takes_one_column_of_targets_as_none(scoring, domains):
    """Otherwise, a column minus a row would give the errors of all pairs of samples."""
    X, _, T = domains
    y = X[:, 0] ** 2
    scorer = DEVScorer(scoring, X_target=T)
    row, column = (Ridge().fit(X[:30], targets[:30]) for targets in (y, y[:, None]))
    expected = scorer(row, X, y)
    for model in (row, column):
        assert scorer(model, X, y) == pytest.approx(expected)
        assert scorer(model, X, y[:, None]) == pytest.approx(expected)


def test_dev_names_numbers_of_outputs_that_differ(domains):
    X, _, T = domains
    model, scorer = Ridge().fit(X, X[:, 0]), DEVScorer("neg_mean_squared_error", X_target=T)
    with pytest.raises(ValueError, match="y has 2 outputs and the predictions have 1"):
        scorer(model, X, X)
