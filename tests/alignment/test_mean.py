"""MeanAlignment against NumPy's means and standard deviations."""

import numpy as np
import pytest

from sklearn_transfer import MeanAlignment


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    return rng.normal(size=(80, 3)) * [1, 2, 3], rng.normal(size=(60, 3)) * [2, 1, 5] + 5


def test_moved_rows_have_the_mean_of_the_target_and_their_own_deviations(domains):
    X, T = domains
    moved = MeanAlignment().fit_transform(X, X_target=T)
    np.testing.assert_allclose(moved, X - X.mean(axis=0) + T.mean(axis=0))


def test_match_scale_gives_them_the_deviations_of_the_target(domains):
    X, T = domains
    moved = MeanAlignment(match_scale=True).fit_transform(X, X_target=T)
    np.testing.assert_allclose(moved.mean(axis=0), T.mean(axis=0))
    np.testing.assert_allclose(moved.std(axis=0, ddof=1), T.std(axis=0, ddof=1))


def test_rows_not_seen_in_fit_move_alike(domains):
    X, T = domains
    aligner = MeanAlignment(match_scale=True).fit(X, X_target=T)
    rows = np.random.default_rng(1).normal(size=(5, 3))
    ratio = T.std(axis=0, ddof=1) / X.std(axis=0, ddof=1)
    expected = (rows - X.mean(axis=0)) * ratio + T.mean(axis=0)
    np.testing.assert_allclose(aligner.transform(rows, sample_domain=np.ones(5)), expected)
    np.testing.assert_array_equal(aligner.transform(rows), rows)


@pytest.mark.parametrize("factor", [0.0, 1e-6, 1e6])
def test_a_feature_almost_constant_in_one_domain_is_not_scaled(domains, factor):
    X, T = domains
    T = T.copy()
    T[:, 1] = 5 + factor * T[:, 1]
    moved = MeanAlignment(match_scale=True).fit_transform(X, X_target=T)
    np.testing.assert_allclose(moved[:, 1].std(), X[:, 1].std())


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_the_unit_of_the_features_does_not_matter(domains, unit):
    X, T = domains
    found = MeanAlignment(match_scale=True).fit_transform(unit * X, X_target=unit * T)
    expected = MeanAlignment(match_scale=True).fit_transform(X, X_target=T)
    np.testing.assert_allclose(found / unit, expected)
