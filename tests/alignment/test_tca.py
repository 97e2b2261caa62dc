"""TransferComponentAnalysis against the textbook's eigenproblem and scikit-learn's kernels."""

import numpy as np
import pytest
import scipy.linalg
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import linear_kernel, polynomial_kernel, rbf_kernel

from sklearn_transfer import TransferComponentAnalysis
from sklearn_transfer.alignment import _tca


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    return rng.normal(size=(25, 3)), rng.normal([1, 0, 0.5], 1.5, size=(18, 3))


def textbook(K, n, m, mu, k):
    """Leading eigenvalues and vectors of (K L K + mu I)^-1 K H K, as defined."""
    N = n + m
    K = K * N / np.trace(K)
    e = np.repeat([1 / n, -1 / m], [n, m])
    H = np.eye(N) - 1 / N
    matrix = np.linalg.solve(K @ np.outer(e, e) @ K + mu * np.eye(N), K @ H @ K)
    values, vectors = scipy.linalg.eig(matrix)
    order = np.argsort(-values.real)[:k]
    return values.real[order], vectors.real[:, order]


KERNELS = {
    "rbf": rbf_kernel,
    "linear": lambda X, Y, gamma: linear_kernel(X, Y),
    "polynomial": polynomial_kernel,
}


@pytest.mark.parametrize("mu", [1e-3, 0.1, 1, 100])
@pytest.mark.parametrize("kernel", KERNELS)
def test_components_are_those_of_the_textbook(domains, kernel, mu):
    X, T = domains
    tca = TransferComponentAnalysis(2, kernel=kernel, mu=mu).fit(X, X_target=T)
    K = KERNELS[kernel](tca.X_fit_, tca.X_fit_, gamma=tca.gamma_)
    values, vectors = textbook(K, 25, 18, mu, 2)
    np.testing.assert_allclose(tca.eigenvalues_, values, rtol=1e-6)
    for found, expected in zip(tca.dual_coef_.T, vectors.T, strict=True):
        cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
        assert abs(cosine) == pytest.approx(1, abs=1e-9)


def test_a_callable_kernel_gives_what_the_same_named_one_gives(domains):
    X, T = domains
    named, called = (
        TransferComponentAnalysis(2, kernel=kernel, gamma=0.5).fit(X, X_target=T)
        for kernel in ("rbf", lambda X, Y: rbf_kernel(X, Y, gamma=0.5))
    )
    np.testing.assert_allclose(called.transform(T), named.transform(T), atol=1e-8)


def test_columns_have_variances_like_roots_of_eigenvalues_and_no_correlation(domains):
    X, T = domains
    tca = TransferComponentAnalysis(4).fit(X, X_target=T)
    rows = np.concatenate([tca.transform(X), tca.transform(T)])
    variances = np.sqrt(tca.eigenvalues_ / tca.eigenvalues_[0])
    np.testing.assert_allclose(np.cov(rows.T, bias=True), np.diag(variances), atol=1e-8)


def test_rows_not_seen_in_fit_pass_through_the_kernel(domains):
    X, T = domains
    tca = TransferComponentAnalysis(2).fit(X, X_target=T)
    rows = np.random.default_rng(1).normal(size=(6, 3))
    K = rbf_kernel(rows, np.concatenate([X, T]), gamma=tca.gamma_)
    np.testing.assert_allclose(tca.transform(rows), K @ tca.dual_coef_, atol=1e-10)


def test_smaller_mu_brings_the_means_nearer(domains):
    X, T = domains
    gaps = []
    for mu in (1e-4, 1e-2, 1, 100):
        tca = TransferComponentAnalysis(2, mu=mu).fit(X, X_target=T)
        gap = tca.transform(X).mean(axis=0) - tca.transform(T).mean(axis=0)
        gaps.append(np.linalg.norm(gap))
    assert gaps == sorted(gaps)
    assert gaps[0] < 0.05 < 0.3 < gaps[-1]


def test_large_mu_and_a_centered_linear_kernel_are_principal_components(domains):
    X, T = domains
    mean = np.concatenate(domains).mean(axis=0)
    X, T = X - mean, T - mean
    tca = TransferComponentAnalysis(3, kernel="linear", mu=1e9).fit(X, X_target=T)
    pca = PCA(3).fit(np.concatenate([X, T]))
    unit = np.sqrt(pca.explained_variance_[0] * 42 / 43)
    np.testing.assert_allclose(
        np.abs(tca.transform(T)), np.abs(pca.transform(T)) / unit, rtol=1e-5
    )


def test_there_are_no_more_components_than_the_kernel_has(domains):
    X, T = domains
    tca = TransferComponentAnalysis(10, kernel="linear").fit(X, X_target=T)
    assert tca.n_components_ == 3
    assert list(tca.get_feature_names_out()) == [
        f"transfercomponentanalysis{i}" for i in range(3)
    ]


def test_constant_kernel_gives_a_column_of_zeros():
    tca = TransferComponentAnalysis().fit(np.full((9, 2), 0.1), X_target=np.full((7, 2), 0.1))
    np.testing.assert_array_equal(tca.transform([[0.1, 0.1], [5, 5]]), np.zeros((2, 1)))


def test_kernel_of_zeros_gives_a_column_of_zeros():
    tca = TransferComponentAnalysis(kernel="linear")
    found = tca.fit_transform(np.zeros((5, 2)), X_target=np.zeros((4, 2)))
    np.testing.assert_array_equal(found, np.zeros((5, 1)))


def test_without_target_components_hold_the_variance_of_the_kernel(domains):
    X, _ = domains
    with pytest.warns(UserWarning, match="no target samples"):
        tca = TransferComponentAnalysis(2).fit(X)
    K = rbf_kernel(X, gamma=tca.gamma_)
    centered = K - K.mean(axis=0)
    values = np.linalg.eigvalsh(centered.T @ centered)[::-1][:2]
    np.testing.assert_allclose(tca.eigenvalues_, values, rtol=1e-6)


def test_too_many_rows_are_refused_before_memory_is_taken(domains, monkeypatch):
    monkeypatch.setattr(_tca, "_MOST", 42)
    with pytest.raises(ValueError, match="got 43 rows .* at most 42"):
        TransferComponentAnalysis().fit(domains[0], X_target=domains[1])


def test_sign_does_not_depend_on_the_order_of_the_rows(domains):
    X, T = domains
    one, other = (
        TransferComponentAnalysis(3).fit(X[::step], X_target=T[::step]) for step in (1, -1)
    )
    np.testing.assert_allclose(one.transform(T), other.transform(T), atol=1e-8)


def test_median_gamma_is_that_of_rows_of_both_domains(domains):
    X, T = domains
    tca = TransferComponentAnalysis().fit(X, X_target=T)
    assert tca.gamma_ == pytest.approx(
        1 / (2 * np.median(pdist(np.concatenate(domains))) ** 2)
    )


def test_without_target_the_rows_of_fit_are_copied(domains):
    X = domains[0].copy()
    with pytest.warns(UserWarning, match="no target samples"):
        tca = TransferComponentAnalysis(2).fit(X)
    expected = tca.transform(domains[1])
    X[:] = 0
    np.testing.assert_array_equal(tca.transform(domains[1]), expected)
