"""CORAL against its closed form and SciPy's matrix powers."""

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power
from sklearn.covariance import ledoit_wolf, shrunk_covariance

from sklearn_transfer import CORAL


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(4, 4))
    return rng.normal(size=(80, 4)) * [1, 2, 3, 4], rng.normal(size=(60, 4)) @ mix + 5


def test_moved_rows_have_the_mean_and_covariance_of_the_target(domains):
    X, T = domains
    moved = CORAL(reg=0).fit_transform(X, X_target=T)
    np.testing.assert_allclose(moved.mean(axis=0), T.mean(axis=0))
    np.testing.assert_allclose(np.cov(moved.T), np.cov(T.T), rtol=1e-9, atol=1e-12)


def test_shrinkage_moves_the_covariance_by_about_as_much(domains):
    X, T = domains
    moved = CORAL(reg=1e-3).fit_transform(X, X_target=T)
    difference = np.linalg.norm(np.cov(moved.T) - np.cov(T.T))
    assert 1e-4 < difference / np.linalg.norm(np.cov(T.T)) < 1e-2


@pytest.mark.parametrize("reg", [0, 0.01, 0.3, 1])
def test_map_is_that_of_the_definition(domains, reg):
    X, T = domains
    source, target = (shrunk_covariance(np.cov(rows.T), reg) for rows in domains)
    expected = fractional_matrix_power(source, -0.5) @ fractional_matrix_power(target, 0.5)
    aligner = CORAL(reg=reg).fit(X, X_target=T)
    np.testing.assert_allclose(aligner.coef_, expected, rtol=1e-8, atol=1e-10)
    rows = np.random.default_rng(1).normal(size=(5, 4))
    moved = (rows - X.mean(axis=0)) @ expected + T.mean(axis=0)
    found = aligner.transform(rows, sample_domain=np.ones(5))
    np.testing.assert_allclose(found, moved, rtol=1e-8)


def test_auto_shrinks_as_ledoit_and_wolf(domains):
    X, T = domains
    shares = [ledoit_wolf(rows)[1] for rows in domains]
    source, target = (
        shrunk_covariance(np.cov(rows.T), share)
        for rows, share in zip(domains, shares, strict=True)
    )
    expected = fractional_matrix_power(source, -0.5) @ fractional_matrix_power(target, 0.5)
    found = CORAL(reg="auto").fit(X, X_target=T).coef_
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_the_default_does_not_enlarge_directions_that_few_rows_estimate():
    """Both domains are drawn alike, so new rows should stay about where they are."""
    rng = np.random.default_rng(0)
    X, T, rows = (rng.normal(size=(60, 100)) * np.linspace(0.1, 3, 100) for _ in range(3))
    moves = []
    for aligner in (CORAL(reg=1e-3), CORAL()):
        aligner.fit(X, X_target=T)
        moved = aligner.transform(rows, sample_domain=np.ones(60))
        moves.append(np.linalg.norm(moved - rows) / np.linalg.norm(rows))
    assert moves[0] > 5
    assert moves[1] < 0.5


def test_reg_one_matches_the_total_variance_only(domains):
    X, T = domains
    moved = CORAL(reg=1).fit_transform(X, X_target=T)
    assert np.trace(np.cov(moved.T)) == pytest.approx(np.trace(np.cov(T.T)))
    np.testing.assert_allclose(np.corrcoef(moved.T), np.corrcoef(X.T), atol=1e-12)


@pytest.mark.parametrize("reg", [0, 1e-3, 0.5, "auto"])
def test_equal_domains_stay_as_they_are(domains, reg):
    X, _ = domains
    moved = CORAL(reg=reg).fit_transform(X, X_target=X)
    np.testing.assert_allclose(moved, X, rtol=0, atol=1e-9)


def test_equal_domains_of_more_features_than_rows_stay_as_they_are():
    X = np.random.default_rng(0).normal(size=(10, 50))
    for reg in (0, 1e-3, "auto"):
        moved = CORAL(reg=reg).fit_transform(X, X_target=X)
        np.testing.assert_allclose(moved, X, rtol=0, atol=1e-8)


def test_fewer_source_rows_than_features_take_the_targets_covariance_where_they_vary():
    """Nine whitened directions, each of variance 1, are recolored."""
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(10, 50)), rng.normal(size=(200, 50)) * np.linspace(1, 3, 50)
    aligner = CORAL(reg=0).fit(X, X_target=T)
    centered = X - X.mean(axis=0)
    source = np.linalg.pinv(fractional_matrix_power(np.cov(T.T), 0.5))
    whitened = (aligner.transform(X, sample_domain=np.ones(10)) - T.mean(axis=0)) @ source
    np.testing.assert_allclose(whitened @ whitened.T / 9, _projector(centered), atol=1e-8)


def _projector(rows):
    return rows @ np.linalg.pinv(rows)


@pytest.mark.parametrize(("n", "m"), [(1, 60), (80, 1)])
def test_a_domain_without_covariance_is_moved_by_its_mean(domains, n, m):
    X, T = domains[0][:n], domains[1][:m]
    moved = CORAL().fit_transform(X, X_target=T)
    np.testing.assert_allclose(moved, X - X.mean(axis=0) + T.mean(axis=0))
