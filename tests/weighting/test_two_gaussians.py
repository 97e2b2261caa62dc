"""Ratios and means of two normal distributions one standard deviation apart."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from sklearn_transfer import KLIEP, KMM, ULSIF, DomainClassifierWeights, NearestNeighborWeights

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")

RATIOS = {
    "kliep": KLIEP,
    "ulsif": ULSIF,
    "rulsif": lambda **options: ULSIF(alpha=0.1, **options),
    "classifier": DomainClassifierWeights,
}
LEAST = {1: 0.9, 5: 0.8}
SEEDS = range(3)


def domains(d, seed, n=2000):
    rng = np.random.default_rng(seed)
    X, T, fresh = (rng.normal(size=(n, d)) for _ in range(3))
    T[:, 0] += 1  # so the ratio is exp(x_0 - 1/2)
    return X, T, fresh


def way_to_the_target(X, T, weights):
    start, end = X[:, 0].mean(), T[:, 0].mean()
    return (np.average(X[:, 0], weights=weights) - start) / (end - start)


def rank_correlation(name, d, seed):
    X, T, fresh = domains(d, seed)
    weighter = RATIOS[name](random_state=seed).fit(X, X_target=T)
    return spearmanr(weighter.predict_weights(fresh), fresh[:, 0])[0]


def way_of(make, d, seed):
    X, T, _ = domains(d, seed)
    return way_to_the_target(X, T, make().fit(X, X_target=T).weights_)


@pytest.mark.parametrize("d", [1, 5])
@pytest.mark.parametrize("name", RATIOS)
def test_ratio_of_unseen_rows_ranks_as_the_true_one(name, d):
    found = [rank_correlation(name, d, seed) for seed in SEEDS]
    assert np.mean(found) > LEAST[d]


@pytest.mark.parametrize("name", ["ulsif", "rulsif", "classifier"])
def test_ratio_ranks_as_the_true_one_in_many_dimensions(name):
    assert np.mean([rank_correlation(name, 20, seed) for seed in SEEDS]) > 0.9


@pytest.mark.parametrize(
    ("make", "d"),
    [(NearestNeighborWeights, 1), (NearestNeighborWeights, 5)]
    + [pytest.param(KMM, d, marks=pytest.mark.slow) for d in (1, 5, 20)]
    + [(KLIEP, 1), (KLIEP, 5), (ULSIF, 1), (ULSIF, 5)]
    + [(DomainClassifierWeights, d) for d in (1, 5, 20)],
)
def test_weighted_mean_comes_most_of_the_way(make, d):
    assert np.mean([way_of(make, d, seed) for seed in SEEDS]) >= 0.8


@pytest.mark.parametrize(
    "weighter", [KLIEP(), ULSIF(), DomainClassifierWeights()], ids=lambda w: type(w).__name__
)
def test_ratio_is_near_the_true_one(weighter):
    X, T, fresh = domains(1, 0)
    weighter.set_params(random_state=0).fit(X, X_target=T)
    ratio = weighter.predict_weights(fresh) * weighter.mean_weight_
    true = np.exp(fresh[:, 0] - 0.5)
    assert np.abs(ratio - true).mean() < 0.2  # the values have a mean of 1


@pytest.mark.parametrize(
    "weighter", [KLIEP(), ULSIF(), DomainClassifierWeights()], ids=lambda w: type(w).__name__
)
def test_raw_mean_is_near_one(weighter):
    """For the true ratio, it is 1 for any number of rows in either domain."""
    X, T, _ = domains(2, 0, 1000)
    weighter.set_params(random_state=0)
    for sources, targets in [(1000, 1000), (1000, 200), (200, 1000)]:
        fitted = weighter.fit(X[:sources], X_target=T[:targets])
        assert fitted.mean_weight_ == pytest.approx(1, abs=0.2)


def test_nearest_neighbors_stop_half_way_in_many_dimensions():
    X, T, _ = domains(20, 0)
    for options in ({}, {"n_neighbors": 5}, {"standardize": False}):
        weights = NearestNeighborWeights(**options).fit(X, X_target=T).weights_
        assert 0.4 < way_to_the_target(X, T, weights) < 0.7
