"""OptimalTransport against sorting, linear programs, scaled kernels and POT's estimators."""

import sys

import numpy as np
import ot
import pytest
from scipy.optimize import linear_sum_assignment, linprog, minimize
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import euclidean_distances

from sklearn_transfer import OptimalTransport
from sklearn_transfer.alignment import _couplings, _optimal_transport


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 2)), rng.normal([2, 1], [1, 2], size=(20, 2))


@pytest.fixture
def y():
    return np.tile([-1, 1, 1], 10)


def costs(X, T):
    return euclidean_distances(X, T, squared=True)


def relative(aligner, value):
    """Convert a parameter that is relative to our unit of cost to that of POT."""
    return value * aligner.cost_scale_


def test_exact_plan_sorts_numbers():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(50, 1)), rng.gamma(2, size=(50, 1))
    moved = OptimalTransport(reg=0).fit_transform(X, X_target=T)
    np.testing.assert_allclose(moved[np.argsort(X[:, 0])], np.sort(T, axis=0), atol=1e-12)


@pytest.mark.parametrize("reg", [0, None])
def test_exact_plan_of_as_many_rows_is_an_assignment(domains, reg):
    X, T = domains[0][:20], domains[1]
    moved = OptimalTransport(reg=reg).fit_transform(X, X_target=T)
    _, columns = linear_sum_assignment(costs(X, T))
    np.testing.assert_allclose(moved, T[columns], atol=1e-12)


def test_exact_plan_costs_what_a_linear_program_costs(domains):
    X, T = domains
    plan = OptimalTransport(reg=0).fit(X, X_target=T).coupling_
    n, m = plan.shape
    sums = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    shares = np.repeat([1 / n, 1 / m], [n, m])
    other = linprog(costs(X, T).ravel(), A_eq=sums, b_eq=shares, method="highs")
    np.testing.assert_allclose(plan.sum(axis=1), 1 / n)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / m)
    assert (plan * costs(X, T)).sum() == pytest.approx(other.fun, rel=1e-9)


def test_exact_plan_is_that_of_pot(domains):
    X, T = domains
    moved = OptimalTransport(reg=0).fit_transform(X, X_target=T)
    expected = ot.da.EMDTransport().fit_transform(Xs=X, Xt=T)
    np.testing.assert_allclose(moved, expected, atol=1e-9)


@pytest.mark.parametrize("reg", [0.02, 0.05, 1])
def test_entropic_plan_is_that_of_pot(domains, reg):
    X, T = domains
    aligner = OptimalTransport(reg=reg, tol=1e-10, max_iter=10_000)
    moved = aligner.fit_transform(X, X_target=T)
    other = ot.da.SinkhornTransport(reg_e=relative(aligner, reg), tol=1e-12, max_iter=10_000)
    np.testing.assert_allclose(moved, other.fit_transform(Xs=X, Xt=T), atol=1e-7)
    np.testing.assert_allclose(aligner.coupling_, other.coupling_, atol=1e-9)


def test_entropic_plan_is_a_scaled_kernel_with_equal_sums(domains):
    X, T = domains
    aligner = OptimalTransport(reg=0.1, tol=1e-10).fit(X, X_target=T)
    plan = aligner.coupling_
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 30, atol=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 20, atol=1e-9)
    scalings = np.log(plan) + costs(X, T) / relative(aligner, 0.1)
    rest = scalings - scalings[:1] - scalings[:, :1] + scalings[0, 0]
    np.testing.assert_allclose(rest, 0, atol=1e-8)


def test_cost_scale_is_the_mean_of_centered_costs(domains):
    aligner = OptimalTransport().fit(domains[0], X_target=domains[1])
    assert aligner.cost_scale_ == pytest.approx(sum(r.var(axis=0).sum() for r in domains))


def test_small_reg_comes_to_the_exact_plan(domains):
    X, T = domains
    exact = OptimalTransport(reg=0).fit(X, X_target=T).coupling_
    near = OptimalTransport(reg=3e-3, max_iter=5000, tol=1e-3).fit(X, X_target=T).coupling_
    excess = ((near - exact) * costs(X, T)).sum()
    assert abs(excess) < 1e-2 * (exact * costs(X, T)).sum()


def test_log_domain_and_kernel_values_agree(domains, monkeypatch):
    X, T = domains
    expected = OptimalTransport(tol=1e-9).fit(X, X_target=T)
    monkeypatch.setattr(_couplings, "_UNDERFLOW", 0)
    found = OptimalTransport(tol=1e-9).fit(X, X_target=T)
    np.testing.assert_allclose(found.coupling_, expected.coupling_, atol=1e-9)


@pytest.mark.parametrize("class_reg", ["lpl1", "l1l2"])
@pytest.mark.parametrize("far", [30, 1e6])
def test_outliers_do_not_underflow(domains, y, class_reg, far):
    X, T = (rows.copy() for rows in domains)
    X[:4], T[:4] = far, -far  # too many to be stray rows, which would be left out
    moved = OptimalTransport(class_reg=class_reg, reg=1e-2, max_iter=20_000).fit_transform(
        X, y, X_target=T
    )
    assert np.isfinite(moved).all()


def test_large_reg_draws_rows_to_the_mean(domains):
    X, T = domains
    moved = OptimalTransport(reg=1e6).fit_transform(X, X_target=T)
    np.testing.assert_allclose(moved, np.tile(T.mean(axis=0), (30, 1)), atol=1e-4)


def test_roots_of_class_mass_are_penalized_as_in_pot(domains, y, monkeypatch):
    X, T = domains
    monkeypatch.setattr(_optimal_transport, "_SETTLED", 1e-9)
    monkeypatch.setattr(_optimal_transport, "_ROUNDS", 60)
    aligner = OptimalTransport(class_reg="lpl1", reg=0.1, eta=0.2, tol=1e-11, max_iter=2000)
    plan = aligner.fit(X, y, X_target=T).coupling_
    expected = ot.da.sinkhorn_lpl1_mm(
        np.full(30, 1 / 30),
        y,
        np.full(20, 1 / 20),
        costs(X, T),
        relative(aligner, 0.1),
        eta=relative(aligner, 0.2),
        numItermax=61,
        numInnerItermax=2000,
        stopInnerThr=1e-12,
    )
    np.testing.assert_allclose(plan, expected, atol=1e-8)


def penalized(plan, M, reg, eta, y):
    lengths = sum(np.sqrt((plan[y == c] ** 2).sum(axis=0)).sum() for c in np.unique(y))
    return (plan * M).sum() + reg * xlogy(plan, plan).sum() + eta * lengths


def test_lengths_of_class_mass_are_penalized_to_the_optimum_of_scipy(monkeypatch):
    rng = np.random.default_rng(0)
    X, T, y = rng.normal(size=(6, 2)), rng.normal(1, 1, size=(5, 2)), np.array([0, 1] * 3)
    monkeypatch.setattr(_optimal_transport, "_SETTLED", 1e-7)
    monkeypatch.setattr(_optimal_transport, "_ROUNDS", 2000)
    aligner = OptimalTransport(class_reg="l1l2", reg=0.1, eta=1.0, tol=1e-10)
    plan = aligner.fit(X, y, X_target=T).coupling_
    M = costs(X - X.mean(axis=0), T - T.mean(axis=0)) / aligner.cost_scale_
    sums = np.concatenate([np.kron(np.eye(6), np.ones(5)), np.kron(np.ones(6), np.eye(5))[:4]])
    other = minimize(
        lambda G: penalized(G.reshape(6, 5), M, 0.1, 1.0, y),
        np.full(30, 1 / 30),
        bounds=[(1e-12, 1)] * 30,
        constraints={
            "type": "eq",
            "fun": lambda G: sums @ G - np.repeat([1 / 6, 1 / 5], [6, 4]),
        },
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-13},
    )
    assert other.status == 0
    assert penalized(plan, M, 0.1, 1.0, y) == pytest.approx(other.fun, abs=1e-6)
    start = OptimalTransport(reg=0.1).fit(X, X_target=T).coupling_
    assert penalized(start, M, 0.1, 1.0, y) > other.fun + 1e-3


@pytest.mark.parametrize("class_reg", ["lpl1", "l1l2"])
def test_without_weight_a_class_penalty_changes_nothing(domains, y, class_reg):
    X, T = domains
    plain = OptimalTransport(tol=1e-9).fit(X, X_target=T).coupling_
    aligner = OptimalTransport(class_reg=class_reg, eta=0, tol=1e-9).fit(X, y, X_target=T)
    np.testing.assert_allclose(aligner.coupling_, plain, atol=1e-9)


def test_lpl1_keeps_classes_apart(domains, y):
    X, T = domains

    def mixed(**options):
        plan = OptimalTransport(reg=0.1, **options).fit(X, y, X_target=T).coupling_
        sent = np.stack([plan[y == c].sum(axis=0) for c in (-1, 1)])
        return np.min(sent, axis=0).sum()

    assert mixed(class_reg="lpl1", eta=0.5) < 0.5 * mixed()


def test_rows_not_seen_in_fit_move_as_their_nearest(domains):
    X, T = domains
    aligner = OptimalTransport()
    moved = aligner.fit_transform(X, X_target=T)
    rows = np.random.default_rng(1).normal(size=(15, 2))
    nearest = euclidean_distances(rows, X).argmin(axis=1)
    found = aligner.transform(rows, sample_domain=np.ones(15))
    np.testing.assert_allclose(found, rows + moved[nearest] - X[nearest])


def test_copies_of_a_row_may_go_to_different_rows():
    """fit_transform distinguishes equal rows; transform maps all of them as the first."""
    X, T = np.zeros((2, 1)), np.array([[1.0], [3.0]])
    aligner = OptimalTransport(reg=0)
    moved = aligner.fit_transform(X, X_target=T)
    np.testing.assert_allclose(np.sort(moved, axis=0), T)
    found = aligner.transform(X, sample_domain=[0, 0])
    np.testing.assert_allclose(found, moved[[0, 0]])


def test_equal_domains_stay_as_they_are_when_exact(domains):
    X, _ = domains
    moved = OptimalTransport(reg=0).fit_transform(X, X_target=X)
    np.testing.assert_allclose(moved, X, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "got"),
    [({"reg": 0.1}, "y=None"), ({"reg": 0}, "reg=0"), ({"reg": None}, "reg=None")],
)
def test_class_penalty_without_labels_or_entropy_is_refused(domains, y, options, got):
    labels = None if got == "y=None" else y
    with pytest.raises(ValueError, match=f"class_reg='lpl1' got {got}"):
        OptimalTransport(class_reg="lpl1", **options).fit(
            domains[0], labels, X_target=domains[1]
        )


def test_class_penalty_on_numbers_is_refused(domains):
    with pytest.raises(ValueError, match="Unknown label type"):
        OptimalTransport(class_reg="l1l2").fit(
            domains[0], np.linspace(0, 1, 30), X_target=domains[1]
        )


@pytest.mark.parametrize("reg", [0.01, 1e-4])  # kernel values, log domain
def test_too_few_iterations_are_warned_of(domains, reg):
    with pytest.warns(ConvergenceWarning, match="after 2 iterations .* misses its place"):
        OptimalTransport(max_iter=2, reg=reg).fit(domains[0], X_target=domains[1])


def test_simplex_that_does_not_end_is_warned_of(domains, monkeypatch):
    monkeypatch.setattr(_couplings, "_SIMPLEX_STEPS", 3)
    with pytest.warns(ConvergenceWarning, match="exact plan is not optimal. Give a reg"):
        OptimalTransport(reg=0).fit(domains[0], X_target=domains[1])


@pytest.mark.parametrize("class_reg", ["lpl1", "l1l2"])
def test_too_few_rounds_are_warned_of(domains, y, class_reg, monkeypatch):
    monkeypatch.setattr(_optimal_transport, "_ROUNDS", 1)
    with pytest.warns(ConvergenceWarning, match=f"after 1 rounds of class_reg='{class_reg}'"):
        OptimalTransport(class_reg=class_reg, eta=1.0).fit(domains[0], y, X_target=domains[1])


def test_iterations_are_counted(domains):
    X, T = domains
    few, many = (OptimalTransport(tol=tol).fit(X, X_target=T).n_iter_ for tol in (0.1, 1e-9))
    assert 1 <= few < many <= 1000
    assert OptimalTransport(reg=0).fit(X, X_target=T).n_iter_ == 1


def test_missing_pot_names_its_extra(domains, monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(ImportError, match=r'OptimalTransport needs ot: .*transfer\[ot\]"'):
        OptimalTransport().fit(domains[0], X_target=domains[1])


def test_without_target_pot_is_not_needed(domains, monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.warns(UserWarning, match="no target samples"):
        OptimalTransport().fit(domains[0])
