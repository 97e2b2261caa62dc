import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import linear_kernel, polynomial_kernel, rbf_kernel

from sklearn_transfer import _kernels
from sklearn_transfer._kernels import Kernel, compute_median_distance, compute_median_gamma

PEERS = {
    "rbf": lambda X, Y: rbf_kernel(X, Y, gamma=0.3),
    "linear": linear_kernel,
    "polynomial": lambda X, Y: polynomial_kernel(X, Y, gamma=0.3),
}


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(3, 1, size=(40, 5)), rng.normal(3, 1, size=(30, 5))


@pytest.mark.parametrize("name", PEERS)
def test_blocks_equal_those_of_scikit_learn(rows, name):
    kernel = Kernel(name, 0.3)
    X, Y = kernel.prepare(*rows)
    np.testing.assert_allclose(kernel.compute_block(X, Y), PEERS[name](*rows), rtol=1e-10)


@pytest.mark.parametrize("name", PEERS)
def test_sums_by_blocks_equal_those_of_the_matrix(rows, name, monkeypatch):
    monkeypatch.setattr(_kernels, "BLOCK_BYTES", 1000)
    kernel = Kernel(name, 0.3)
    X, Y = kernel.prepare(*rows)
    K = kernel.compute_block(X, X)
    np.testing.assert_allclose(
        kernel.multiply(X, Y, np.ones(30)), kernel.compute_block(X, Y).sum(axis=1)
    )
    np.testing.assert_allclose(kernel.compute_diagonal(X), np.diag(K))
    assert kernel.sum_all(X) == pytest.approx(K.sum())
    np.testing.assert_allclose(kernel.compute_matrix(X), K)


def test_callable_has_its_diagonal(rows):
    kernel = Kernel(lambda X, Y: (X @ Y.T) ** 2, None)
    np.testing.assert_allclose(
        kernel.compute_diagonal(rows[0]), (rows[0] ** 2).sum(axis=1) ** 2
    )


def test_callable_that_returns_nan_is_refused(rows):
    with pytest.raises(ValueError, match="kernel returned NaN"):
        Kernel(lambda X, Y: np.full((len(X), len(Y)), np.nan), None).compute_block(*rows)


def test_near_rows_far_from_the_origin_keep_their_distance():
    X = np.array([[1e8, 0.0], [1e8, 1.0]])
    kernel = Kernel("rbf", 1.0)
    (X,) = kernel.prepare(X)
    assert kernel.compute_block(X, X)[0, 1] == pytest.approx(np.exp(-1))


def test_median_of_few_rows_is_that_of_all_distances(rows):
    median = np.median(pdist(np.concatenate(rows)))
    assert compute_median_gamma(*rows) == pytest.approx(1 / (2 * median**2))


def test_median_of_many_rows_is_near_that_of_all():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2500, 3)), rng.normal(1, 1, size=(500, 3))
    median = np.median(pdist(np.concatenate([X, Y])))
    assert compute_median_gamma(X, Y) == pytest.approx(1 / (2 * median**2), rel=0.05)


@pytest.mark.parametrize("scale", [1e-100, 1e-6, 1e6, 1e100])
def test_median_follows_the_scale(rows, scale):
    X, Y = rows
    found = compute_median_gamma(scale * X, scale * Y) * scale**2
    assert found == pytest.approx(compute_median_gamma(X, Y))


@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_distance_follows_scales_whose_square_is_no_number(rows, scale):
    X, Y = rows
    found = compute_median_distance(scale * X, scale * Y)
    assert found == pytest.approx(scale * compute_median_distance(X, Y))
    assert 0 < compute_median_gamma(scale * X, scale * Y) < np.inf
    blocks = Kernel("rbf", None, found).prepare(scale * X, scale * Y)
    peer = rbf_kernel(X, Y, gamma=compute_median_gamma(X, Y))
    np.testing.assert_allclose(Kernel("rbf", None).compute_block(*blocks), peer)


# The mean of many values of 0.3 is not exactly 0.3.
@pytest.mark.parametrize("value", [1.0, 0.3])
def test_constant_rows_have_gamma_one(value):
    assert compute_median_gamma(np.full((6, 2), value), np.full((5, 2), value)) == 1


def test_many_duplicates_leave_the_others_to_the_median():
    X = np.zeros((20, 1))
    assert compute_median_gamma(X, np.array([[2.0]])) == pytest.approx(1 / 8)
