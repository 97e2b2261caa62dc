"""Mixture proportions against other solvers and their optimality conditions."""

import cvxopt
import numpy as np
import pytest
from scipy.optimize import minimize

from sklearn_transfer.weighting import _mixture
from sklearn_transfer.weighting._mixture import fit_mixture


@pytest.fixture(params=[0, 1, 2])
def logs(request):
    rng = np.random.default_rng(request.param)
    centers, rows = rng.normal(size=(12, 2)), rng.normal(size=(80, 2))
    return -(2.0**request.param) * ((rows[:, None] - centers) ** 2).sum(axis=2)


def likelihood(logs, p):
    return np.log(np.exp(logs) @ p).mean()


def by_interior_points(logs):
    """Maximize the likelihood on the simplex with cvxopt's solver for convex programs."""
    A, n = np.exp(logs), logs.shape[1]

    def program(x=None, z=None):
        if x is None:
            return 0, cvxopt.matrix(1 / n, (n, 1))
        mixture = A @ np.array(x).ravel()
        if mixture.min() <= 0:
            return None
        D = A / mixture[:, None]
        value, gradient = -np.log(mixture).mean(), cvxopt.matrix(-D.mean(axis=0)[None])
        if z is None:
            return value, gradient
        return value, gradient, cvxopt.matrix(z[0] * D.T @ D / len(D))

    bounds = cvxopt.matrix(-np.eye(n)), cvxopt.matrix(0.0, (n, 1))
    total = cvxopt.matrix(1.0, (1, n)), cvxopt.matrix(1.0)
    options = {"show_progress": False, "abstol": 1e-10, "reltol": 1e-10, "feastol": 1e-10}
    found = cvxopt.solvers.cp(program, *bounds, A=total[0], b=total[1], options=options)
    return np.array(found["x"]).ravel()


def test_optimum_is_that_of_an_interior_point_method(logs):
    found = fit_mixture(logs, 1e-10, 100)
    expected = by_interior_points(logs)
    assert likelihood(logs, found.proportions) == pytest.approx(
        likelihood(logs, expected), abs=1e-8
    )
    np.testing.assert_allclose(found.proportions, expected, atol=1e-3)


def test_optimum_is_that_of_sequential_least_squares(logs):
    n = logs.shape[1]
    expected = minimize(
        lambda p: -likelihood(logs, p),
        np.full(n, 1 / n),
        method="SLSQP",
        bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    found = fit_mixture(logs, 1e-10, 100).proportions
    assert likelihood(logs, found) == pytest.approx(-expected.fun, abs=1e-6)
    assert likelihood(logs, found) >= -expected.fun - 1e-9


def test_proportions_are_on_the_simplex(logs):
    p = fit_mixture(logs, 1e-8, 100).proportions
    assert p.min() >= 0
    assert p.sum() == pytest.approx(1)


def test_gap_bounds_what_is_missing(logs):
    best = likelihood(logs, fit_mixture(logs, 1e-12, 100).proportions)
    for rounds in range(6):
        found = fit_mixture(logs, 1e-12, rounds)
        missing = best - likelihood(logs, found.proportions)
        assert -1e-12 <= missing <= found.gap + 1e-12


def test_likelihood_rises_each_round(logs):
    found = [likelihood(logs, fit_mixture(logs, 1e-12, r).proportions) for r in range(8)]
    assert np.diff(found).min() > -1e-12


def test_expectation_maximization_alone_reaches_the_same_optimum(logs, monkeypatch):
    expected = fit_mixture(logs, 1e-8, 100)
    monkeypatch.setattr(_mixture, "_find_newton_point", lambda *args: None)
    found = fit_mixture(logs, 1e-4, 20_000)
    assert found.gap <= 1e-4
    assert found.n_iter > expected.n_iter
    assert likelihood(logs, found.proportions) == pytest.approx(
        likelihood(logs, expected.proportions), abs=1e-4
    )


def test_rows_may_be_shifted_beyond_what_exponentials_hold(logs):
    expected = fit_mixture(logs, 1e-8, 100).proportions
    shifts = np.random.default_rng(0).uniform(-5000, 5000, size=(len(logs), 1))
    np.testing.assert_allclose(
        fit_mixture(logs + shifts, 1e-8, 100).proportions, expected, atol=1e-6
    )


def test_equal_components_share():
    logs = np.repeat(np.random.default_rng(0).normal(size=(30, 3)), 2, axis=1)
    found = fit_mixture(logs, 1e-8, 100)
    once = fit_mixture(logs[:, ::2], 1e-8, 100)
    assert found.gap <= 1e-8
    np.testing.assert_allclose(
        found.proportions.reshape(3, 2).sum(axis=1), once.proportions, atol=1e-4
    )


def test_weights_count_rows(logs):
    times = np.random.default_rng(0).integers(1, 4, len(logs))
    repeated = fit_mixture(np.repeat(logs, times, axis=0), 1e-10, 100)
    weighted = fit_mixture(logs, 1e-10, 100, weights=times / times.sum())
    np.testing.assert_allclose(weighted.proportions, repeated.proportions, atol=1e-5)


@pytest.mark.parametrize("newton", [True, False])
def test_components_that_were_dropped_come_back(logs, newton, monkeypatch):
    """Multiplicative updates alone would leave a proportion of 0 unchanged."""
    if not newton:
        monkeypatch.setattr(_mixture, "_find_newton_point", lambda *args: None)
    best = likelihood(logs, fit_mixture(logs, 1e-10, 100).proportions)
    start = np.eye(logs.shape[1])[0]
    found = fit_mixture(logs, 1e-10, 2000, start)
    assert likelihood(logs, start) < best - 0.1
    assert likelihood(logs, found.proportions) == pytest.approx(best, abs=1e-2)
