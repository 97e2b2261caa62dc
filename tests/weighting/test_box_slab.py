import numpy as np
import pytest
from scipy.optimize import linprog

from sklearn_transfer.weighting._box_slab import (
    Region,
    WarmStart,
    find_multiplier,
    gather,
    minimize,
)

REGIONS = [Region(1.5, 8, 12), Region(3, 10, 10), Region(1000, 9, 11), Region(1, 10, 10)]


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return [
        scale * rng.normal(shift, 1, size=10) for scale in (1, 100) for shift in (-1, 0, 3)
    ]


def feasible(region, x):
    inside = (x >= 0).all() and (x <= region.B).all()
    return inside and region.low - 1e-9 <= x.sum() <= region.high + 1e-9


@pytest.mark.parametrize("region", REGIONS, ids=str)
def test_projection_is_feasible_and_nearest(region, vectors):
    rng = np.random.default_rng(1)
    for v in vectors:
        x = region.project(v)
        assert feasible(region, x)
        for _ in range(20):  # the angle to any other feasible point is not acute
            other = region.project(rng.normal(1, 3, size=10))
            assert (v - x) @ (other - x) <= 1e-6 * np.linalg.norm(v)


@pytest.mark.parametrize("region", REGIONS, ids=str)
def test_projection_leaves_feasible_points(region):
    x = np.full(10, 1.0)
    np.testing.assert_array_equal(region.project(x), x)


@pytest.mark.parametrize("region", REGIONS, ids=str)
def test_vertex_is_that_of_a_linear_program(region, vectors):
    rows = np.stack([np.ones(10), -np.ones(10)])
    for gradient in vectors:
        s = region.find_vertex(gradient)
        limits = [region.high, -region.low]
        best = linprog(gradient, A_ub=rows, b_ub=limits, bounds=(0, region.B))
        assert feasible(region, s)
        assert gradient @ s == pytest.approx(best.fun)


def test_singular_problem_is_solved():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(50, 2))
    K, c, region = Z @ Z.T, rng.normal(size=50), Region(5, 45, 55)
    x, Kx = minimize(K, c, region, np.ones(50), 1e-7, WarmStart(1e-2))
    assert feasible(region, x)
    np.testing.assert_allclose(Kx, K @ x, atol=1e-9)
    assert region.compute_gap(x, Kx + c) <= 1e-7


def test_matrix_that_is_not_positive_ends():
    K, c, region = -np.eye(5), np.zeros(5), Region(2, 4, 6)
    x, _ = minimize(K, c, region, np.ones(5), 1e-9, WarmStart(1e-2), max_rounds=3)
    assert feasible(region, x)


@pytest.mark.parametrize(("spread", "single"), [(1, True), (1e-12, False)])
def test_single_precision_serves_while_it_is_accurate(spread, single):
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.normal(size=(60, 60)))[0]
    K, warm = (Q * np.geomspace(1, spread, 60)) @ Q.T, WarmStart(1e-14)
    c, region = -K @ rng.uniform(0, 4, size=60), Region(5, 50, 200)
    x, _ = minimize(K, c, region, np.ones(60), 1e-9, warm)
    assert feasible(region, x)
    assert region.compute_gap(x, K @ x + c) <= 2e-9
    assert warm.single is single


def test_rows_are_gathered_in_order():
    K = np.arange(200.0**2).reshape(200, 200)
    rows = np.random.default_rng(0).permutation(200)[:150]
    np.testing.assert_array_equal(gather(K, rows, np.float32), K[np.ix_(rows, rows)])


def test_multiplier_parts_rows_that_should_move():
    x, B = np.array([0, 0, 2.0, 2.0]), 2.0
    assert find_multiplier(x, np.array([-3.0, 5.0, 1.0, -9.0]), B) == -1  # between -3 and 1
    assert (
        find_multiplier(x, np.array([5.0, 6.0, 1.0, 2.0]), B) == 0
    )  # no pair improves the objective
    assert find_multiplier(np.array([0, 1, 0.5]), np.array([9.0, 2.0, 4.0]), B) == 3


def test_multiplier_of_rows_that_all_lie_at_the_upper_bound_is_zero():
    assert find_multiplier(np.full(3, 2.0), np.ones(3), 2.0) == 0
