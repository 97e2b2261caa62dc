"""KMM against kernels of scikit-learn, linear programs of HiGHS, and other solvers."""

import importlib.util

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, linprog, minimize
from sklearn.metrics.pairwise import linear_kernel, polynomial_kernel, rbf_kernel
from threadpoolctl import threadpool_limits

from sklearn_transfer import KMM
from sklearn_transfer.weighting._working_set import Problem

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")

# (n, m, d, B, eps)
PROBLEMS = [
    (n, m, d, B, eps)
    for n, m, d in [(20, 30, 1), (60, 20, 3), (150, 200, 40), (300, 100, 2), (500, 400, 8)]
    for B, eps in [(1.5, "auto"), (5.0, 0.0), (50.0, 0.3), (1000.0, "auto")]
]


def data(n, m, d, seed=0):
    rng = np.random.default_rng(seed + n)
    return rng.normal(size=(n, d)), rng.normal(0.7, 0.8, size=(m, d))


def quadratic(X, T, kernel):
    """Return K and k of the problem."""
    return kernel(X), len(X) * kernel(X, T).mean(axis=1)


def bounds_of(n, eps):
    eps = min(0.5, 1 / np.sqrt(n)) if eps == "auto" else eps
    return n * (1 - eps), n * (1 + eps)


def lower_bound(K, k, x, B, low, high):
    """No feasible point has a lower objective, by convexity and a linear program."""
    gradient = K @ x - k
    rows = np.stack([np.ones(len(x)), -np.ones(len(x))])
    best = linprog(gradient, A_ub=rows, b_ub=[high, -low], bounds=(0, B), method="highs")
    assert best.status == 0
    return x @ K @ x / 2 - k @ x - (gradient @ x - best.fun)


@pytest.mark.parametrize("solver", ["working-set", "full"])
@pytest.mark.parametrize(("n", "m", "d", "B", "eps"), PROBLEMS)
def test_objective_is_within_a_millionth_of_the_least(n, m, d, B, eps, solver):
    X, T = data(n, m, d)
    kmm = KMM(B=B, eps=eps, solver=solver).fit(X, X_target=T)
    K, k = quadratic(X, T, lambda *rows: rbf_kernel(*rows, gamma=kmm.gamma_))
    x, (low, high) = kmm.solution_, bounds_of(n, eps)
    objective = x @ K @ x / 2 - k @ x
    assert objective == pytest.approx(kmm.objective_, rel=1e-9)
    assert objective - lower_bound(K, k, x, B, low, high) <= 1e-6 * abs(objective)
    assert x.min() >= 0
    assert x.max() <= B
    assert low / n - 1e-8 <= x.mean() <= high / n + 1e-8


@pytest.mark.parametrize(("n", "m", "d", "B", "eps"), PROBLEMS[:8])
def test_objective_equals_that_of_scipy(n, m, d, B, eps):
    X, T = data(n, m, d)
    kmm = KMM(B=B, eps=eps).fit(X, X_target=T)
    K, k = quadratic(X, T, lambda *rows: rbf_kernel(*rows, gamma=kmm.gamma_))
    scale = abs(kmm.objective_)
    with threadpool_limits(1):
        other = minimize(
            lambda x: (x @ K @ x / 2 - k @ x) / scale,
            np.full(n, min(B, 1.0)),
            jac=lambda x: (K @ x - k) / scale,
            bounds=[(0, B)] * n,
            constraints=LinearConstraint(np.ones((1, n)), *bounds_of(n, eps)),
            method="SLSQP",
            options={"maxiter": 1000, "ftol": 1e-12},
        )
    assert other.status == 0
    assert kmm.objective_ / scale <= other.fun + 1e-6


@pytest.mark.skipif(not importlib.util.find_spec("cvxopt"), reason="cvxopt is not installed")
@pytest.mark.parametrize(("n", "m", "d", "B", "eps"), PROBLEMS)
def test_objective_equals_that_of_cvxopt(n, m, d, B, eps):
    from cvxopt import matrix, solvers

    X, T = data(n, m, d)
    kmm = KMM(B=B, eps=eps).fit(X, X_target=T)
    K, k = quadratic(X, T, lambda *rows: rbf_kernel(*rows, gamma=kmm.gamma_))
    low, high = bounds_of(n, eps)
    rows = np.concatenate([np.eye(n), -np.eye(n), np.ones((1, n)), -np.ones((1, n))])
    limits = np.concatenate([np.full(n, B), np.zeros(n), [high, -low]])
    options = {"show_progress": False, "abstol": 1e-9, "reltol": 1e-9, "maxiters": 200}
    other = solvers.qp(*map(matrix, (K, -k, rows, limits)), options=options)
    assert kmm.objective_ == pytest.approx(other["primal objective"], rel=1e-6)


@pytest.mark.parametrize(
    ("kernel", "peer"),
    [
        ("linear", lambda gamma: linear_kernel),
        ("polynomial", lambda gamma: lambda *rows: polynomial_kernel(*rows, gamma=gamma)),
        (lambda X, Y: (X @ Y.T) ** 2, lambda gamma: lambda *r: linear_kernel(*r) ** 2),
    ],
    ids=["linear", "polynomial", "callable"],
)
def test_other_kernels_reach_their_optimum(kernel, peer):
    X, T = data(200, 150, 4)
    kmm = KMM(kernel=kernel).fit(X, X_target=T)
    K, k = quadratic(X, T, peer(kmm.gamma_))
    bound = lower_bound(K, k, kmm.solution_, 1000, *bounds_of(200, "auto"))
    assert kmm.objective_ - bound <= 1e-6 * abs(kmm.objective_)


def test_reported_gap_is_that_of_a_linear_program():
    X, T = data(200, 150, 4)
    kmm = KMM(tol=1e-3).fit(X, X_target=T)
    K, k = quadratic(X, T, lambda *rows: rbf_kernel(*rows, gamma=kmm.gamma_))
    bound = lower_bound(K, k, kmm.solution_, 1000, *bounds_of(200, "auto"))
    gap = (kmm.objective_ - bound) / abs(kmm.objective_)
    assert kmm.dual_gap_ == pytest.approx(gap, rel=1e-4, abs=1e-10)


def test_discrepancies_are_those_of_the_definition():
    X, T = data(120, 90, 3)
    kmm = KMM().fit(X, X_target=T)
    kernel = lambda *rows: rbf_kernel(*rows, gamma=kmm.gamma_)  # noqa: E731
    for weights, found in [(np.ones(120), kmm.mmd_before_), (kmm.weights_, kmm.mmd_after_)]:
        w = weights / weights.sum()
        squared = w @ kernel(X) @ w - 2 * w @ kernel(X, T).mean(axis=1) + kernel(T).mean()
        assert found == pytest.approx(np.sqrt(squared), rel=1e-6)


def test_working_sets_smaller_than_the_source_reach_the_optimum():
    X, T = data(2500, 800, 3)
    kmm = KMM(solver="working-set").fit(X, X_target=T)
    assert kmm.n_iter_ > 1
    K, k = quadratic(X, T, lambda *rows: rbf_kernel(*rows, gamma=kmm.gamma_))
    bound = lower_bound(K, k, kmm.solution_, 1000, *bounds_of(2500, "auto"))
    assert kmm.objective_ - bound <= 1e-6 * abs(kmm.objective_)


def test_kernel_that_is_not_held_reaches_the_optimum(monkeypatch):
    monkeypatch.setattr(Problem, "hold", lambda problem: None)
    X, T = data(2500, 800, 3)
    kmm = KMM().fit(X, X_target=T)
    K, k = quadratic(X, T, lambda *rows: rbf_kernel(*rows, gamma=kmm.gamma_))
    bound = lower_bound(K, k, kmm.solution_, 1000, *bounds_of(2500, "auto"))
    assert kmm.objective_ - bound <= 1e-6 * abs(kmm.objective_)


def test_gap_of_an_approximation_is_that_of_the_exact_kernel():
    X, T = data(200, 150, 4)
    kmm = KMM(n_components=50, random_state=0).fit(X, X_target=T)
    K, k = quadratic(X, T, lambda *rows: rbf_kernel(*rows, gamma=kmm.gamma_))
    x = kmm.solution_
    objective = x @ K @ x / 2 - k @ x
    bound = lower_bound(K, k, x, 1000, *bounds_of(200, "auto"))
    assert kmm.objective_ == pytest.approx(objective, rel=1e-9)
    assert kmm.dual_gap_ == pytest.approx((objective - bound) / abs(objective), rel=1e-6)


def test_working_sets_move_rows_between_bounds_where_none_is_free():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(1500, 1)), rng.normal(0.5, 1, size=(750, 1))
    X[750:] = X[
        0
    ]  # so many equal rows at either bound that all of them have the same gradient
    kmm = KMM(B=1.5, kernel="linear").fit(X, X_target=T)
    K, k = quadratic(X, T, linear_kernel)
    bound = lower_bound(K, k, kmm.solution_, 1.5, *bounds_of(1500, "auto"))
    assert kmm.objective_ - bound <= 1e-6 * abs(kmm.objective_)
