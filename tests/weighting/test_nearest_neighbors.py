"""Tests of the counts of target rows per nearest source row."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import NearestNeighborWeights

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")


def counts(X, T, **options):
    return NearestNeighborWeights(**options).fit(X, X_target=T).counts_


def by_sorting(X, T, k):
    """Compute the counts from all distances."""
    total = np.zeros(len(X))
    for row in cdist(T, X):
        reach = np.sort(row)[k - 1]
        inside, border = row < reach - 1e-9, np.abs(row - reach) <= 1e-9
        total += inside / k + border * (1 - inside.sum() / k) / border.sum()
    return total


@pytest.mark.parametrize("d", [1, 3, 30])
@pytest.mark.parametrize("k", [1, 4, 60])
def test_counts_are_those_of_all_distances(d, k):
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(60, d)), rng.normal(0.5, 1, size=(80, d))
    np.testing.assert_allclose(
        counts(X, T, n_neighbors=k, standardize=False), by_sorting(X, T, k), atol=1e-12
    )


@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_ties_on_a_grid_are_shared(k):
    rng = np.random.default_rng(0)
    X, T = (rng.integers(0, 4, size=(n, 2)).astype(float) for n in (40, 50))
    found = counts(X, T, n_neighbors=k, standardize=False)
    np.testing.assert_allclose(found, by_sorting(X, T, k), atol=1e-12)
    assert found.sum() == pytest.approx(50)


def test_duplicates_share_and_their_order_does_not_matter():
    X = np.array([[0.0], [0.0], [5.0], [0.0]])
    found = counts(X, np.array([[0.1], [4.0], [0.0], [-1.0]]))
    np.testing.assert_allclose(found, [1, 1, 1, 1])


def test_equal_rows_share_everything():
    np.testing.assert_allclose(counts(np.ones((5, 2)), np.ones((10, 2))), 2)


def test_smoothing_is_added_to_each_count():
    X, T = np.array([[0.0], [1.0], [2.0]]), np.array([[0.9], [1.2], [1.9], [1.1]])
    found = NearestNeighborWeights(smoothing=1).fit(X, X_target=T)
    np.testing.assert_allclose(found.weights_, np.array([1, 4, 2]) / (7 / 3))
    assert found.mean_weight_ == pytest.approx(7 / 4)


def test_mean_of_the_raw_estimate_is_one():
    rng = np.random.default_rng(0)
    found = NearestNeighborWeights(n_neighbors=3)
    found.fit(rng.normal(size=(30, 2)), X_target=rng.normal(size=(70, 2)))
    assert found.mean_weight_ == pytest.approx(1)


def test_standardizing_removes_the_effect_of_units():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(60, 2)), rng.normal(size=(50, 2))
    unit = np.array([1.0, 1e4])
    np.testing.assert_allclose(counts(X * unit, T * unit), counts(X, T))
    raw = counts(X * unit, T * unit, standardize=False)
    assert not np.allclose(raw, counts(X, T, standardize=False))
    np.testing.assert_allclose(raw, counts(X[:, 1:], T[:, 1:], standardize=False))


def test_blocks_of_rows_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    X, T = rng.integers(0, 3, size=(200, 2)), rng.integers(0, 3, size=(300, 2))
    expected = counts(X, T)
    monkeypatch.setattr("sklearn_transfer._kernels.BLOCK_BYTES", 1)
    np.testing.assert_allclose(counts(X, T), expected)


def test_new_rows_have_no_weights():
    assert not hasattr(NearestNeighborWeights(), "predict_weights")


def test_standardizing_is_that_of_both_domains_together():
    rng = np.random.default_rng(0)
    X, T = rng.exponential([1, 1], (60, 2)), rng.normal(size=(50, 2)) ** 3
    scale = StandardScaler().fit(np.concatenate([X, T]))
    expected = counts(scale.transform(X), scale.transform(T), standardize=False)
    np.testing.assert_allclose(counts(X, T), expected)
    assert not np.allclose(counts(X, T, standardize=False), expected)
