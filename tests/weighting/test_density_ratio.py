"""KLIEP and uLSIF against independent solutions of their problems."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import KFold

from sklearn_transfer import KLIEP, ULSIF
from sklearn_transfer._kernels import compute_median_gamma
from sklearn_transfer.weighting import _density_ratio
from sklearn_transfer.weighting._density_ratio import LeftOut

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    return rng.normal(size=(150, 2)), rng.normal([0.8, 0], size=(100, 2))


def test_kliep_solves_its_problem(domains):
    """Solve for the coefficients by SLSQP under the constraint as stated in the paper."""
    X, T = domains
    kliep = KLIEP(gamma=0.5, n_centers=10, tol=1e-9, random_state=0).fit(X, X_target=T)
    A, b = rbf_kernel(T, kliep.centers_, 0.5), rbf_kernel(X, kliep.centers_, 0.5).mean(axis=0)
    expected = minimize(
        lambda a: -np.log(A @ a).mean(),
        np.full(10, 1 / b.sum()),
        jac=lambda a: -(A / (A @ a)[:, None]).mean(axis=0),
        method="SLSQP",
        bounds=[(0, None)] * 10,
        constraints={"type": "eq", "fun": lambda a: b @ a - 1, "jac": lambda a: b},
        options={"ftol": 1e-13, "maxiter": 500},
    )
    assert kliep.objective_ == pytest.approx(-expected.fun, abs=1e-6)
    weights = rbf_kernel(X, kliep.centers_, 0.5) @ expected.x
    np.testing.assert_allclose(kliep.weights_, weights, atol=1e-2)


def test_kliep_objective_is_the_mean_log_ratio_of_the_target(domains):
    X, T = domains
    kliep = KLIEP(random_state=0).fit(X, X_target=T)
    assert kliep.objective_ == pytest.approx(np.log(kliep.predict_weights(T)).mean())
    assert kliep.dual_gap_ <= 1e-6


def test_kliep_ratio_has_mean_one(domains):
    assert KLIEP(random_state=0).fit(domains[0], X_target=domains[1]).mean_weight_ == (
        pytest.approx(1, rel=1e-12)
    )


def test_kliep_scores_are_likelihoods_of_rows_left_out(domains):
    X, T = domains
    kliep = KLIEP(gamma=[0.1, 1.0], n_centers=len(T), cv=3, random_state=0)
    kliep.fit(X, X_target=T)
    state = np.random.RandomState(0)
    state.choice(len(T), len(T), replace=False)  # the centers
    folds = KFold(3, shuffle=True, random_state=state.randint(2**31 - 1))
    for gamma, score in zip([0.1, 1.0], kliep.scores_, strict=True):
        A, b = rbf_kernel(T, T, gamma), rbf_kernel(X, T, gamma).mean(axis=0)
        logs = []
        for seen, held in folds.split(T):
            p = np.full(len(T), 1 / len(T))
            for _ in range(3000):  # EM
                p *= (A[seen] / b / (A[seen] / b @ p)[:, None]).mean(axis=0)
            logs.extend(np.log(A[held] / b @ p))
        assert score == pytest.approx(np.mean(logs), abs=5e-3)


def test_chosen_width_has_the_best_score(domains):
    X, T = domains
    kliep = KLIEP(random_state=0).fit(X, X_target=T)
    assert kliep.gamma_ == kliep.gammas_[np.argmax(kliep.scores_)]
    assert kliep.scores_[np.argmin(kliep.gammas_)] < kliep.scores_.max()
    assert kliep.scores_[np.argmax(kliep.gammas_)] < kliep.scores_.max()
    ulsif = ULSIF(random_state=0).fit(X, X_target=T)
    i, j = np.argwhere(ulsif.scores_ == ulsif.scores_.min())[0]
    assert (ulsif.gamma_, ulsif.reg_) == (ulsif.gammas_[i], ulsif.regs_[j])


def test_kliep_tells_of_too_few_rounds(domains):
    with pytest.warns(ConvergenceWarning, match="KLIEP stopped after 1 rounds at a gap"):
        KLIEP(gamma=1.0, tol=1e-14, max_iter=1).fit(domains[0], X_target=domains[1])


def test_kliep_sees_a_target_that_no_kernel_reaches():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(50, 1)), rng.normal(100, 0.1, size=(40, 1))
    kliep = KLIEP(gamma=1.0, random_state=0).fit(X, X_target=T)
    assert np.isfinite(kliep.weights_).all()
    assert kliep.weights_.argmax() == X[:, 0].argmax()
    assert np.isfinite(kliep.predict_weights([[1e3], [-1e3], [100]])).all()


def test_ulsif_leaves_weights_equal_where_no_kernel_reaches():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(50, 1)), rng.normal(100, 0.1, size=(40, 1))
    with pytest.warns(UserWarning, match="The estimate is 0 at every source sample"):
        ulsif = ULSIF(gamma=1.0, random_state=0).fit(X, X_target=T)
    np.testing.assert_array_equal(ulsif.weights_, 1)
    np.testing.assert_array_equal(ulsif.predict_weights(T), 1)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_ulsif_minimizes_its_objective(domains, alpha):
    X, T = domains
    ulsif = ULSIF(alpha=alpha, gamma=0.4, reg=0.05, n_centers=15, random_state=0)
    ulsif.fit(X, X_target=T)
    S, Q = rbf_kernel(X, ulsif.centers_, 0.4), rbf_kernel(T, ulsif.centers_, 0.4)

    def objective(a):
        quadratic = alpha * np.mean((Q @ a) ** 2) + (1 - alpha) * np.mean((S @ a) ** 2)
        return quadratic / 2 - np.mean(Q @ a) + 0.05 / 2 * a @ a

    expected = minimize(objective, np.zeros(15), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(ulsif.coef_, expected, atol=1e-5)
    ratio = np.maximum(S @ ulsif.coef_, 0)
    np.testing.assert_allclose(ulsif.weights_ * ulsif.mean_weight_, ratio, rtol=1e-8)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("sizes", [(12, 12), (15, 8), (7, 14)])
def test_left_out_coefficients_are_those_of_refits(alpha, sizes):
    rng = np.random.default_rng(0)
    n, m = sizes
    P, Q, reg = rng.random((n, 5)), rng.random((m, 5)), 0.03
    pairs = min(n, m)
    left_out = LeftOut(P[:pairs], Q[:pairs], P.T @ P, Q.T @ Q, Q.sum(axis=0), n, m, alpha)
    losses = []
    for i in range(pairs):
        S, T = np.delete(P, i, axis=0), np.delete(Q, i, axis=0)
        H = alpha * T.T @ T / (m - 1) + (1 - alpha) * S.T @ S / (n - 1)
        a = np.linalg.solve(H + reg * np.eye(5), T.mean(axis=0))
        p, q = max(P[i] @ a, 0), max(Q[i] @ a, 0)
        losses.append(alpha / 2 * q**2 + (1 - alpha) / 2 * p**2 - q)
    assert left_out.compute_error(reg) == pytest.approx(np.mean(losses), rel=1e-9)


def test_ulsif_scores_are_errors_of_refits(domains):
    """Compare with full fits, each without one source row and one target row."""
    X, T = domains[0][:20], domains[1][:20]
    options = {"alpha": 0.2, "gamma": [0.3, 1.0], "reg": [0.01, 1.0], "n_centers": 20}
    ulsif = ULSIF(random_state=0, **options).fit(X, X_target=T)
    state = np.random.RandomState(0)
    state.choice(20, 20, replace=False)
    rows, others = state.permutation(20), state.permutation(20)
    for i, gamma in enumerate(options["gamma"]):
        S, Q = rbf_kernel(X, T, gamma), rbf_kernel(T, T, gamma)
        for j, reg in enumerate(options["reg"]):
            losses = []
            for s, t in zip(rows, others, strict=True):
                A, B = np.delete(S, s, axis=0), np.delete(Q, t, axis=0)
                H = 0.2 * B.T @ B / 19 + 0.8 * A.T @ A / 19
                a = np.linalg.solve(H + reg * np.eye(20), B.mean(axis=0))
                p, q = max(S[s] @ a, 0), max(Q[t] @ a, 0)
                losses.append(0.1 * q**2 + 0.4 * p**2 - q)
            assert ulsif.scores_[i, j] == pytest.approx(np.mean(losses), rel=1e-6)


def test_relative_ratio_is_bounded_by_its_share():
    """1 / alpha is the bound of the ratio itself; the estimate may exceed it slightly."""
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(500, 1)), rng.normal(1.5, 1, size=(500, 1))
    x = np.linspace(-2, 3, 50)[:, None]
    ulsif = ULSIF(alpha=0.5, random_state=0).fit(X, X_target=T)
    found = ulsif.predict_weights(x) * ulsif.mean_weight_
    ratio = np.exp(1.5 * x[:, 0] - 1.5**2 / 2)
    assert np.abs(found - ratio / (0.5 * ratio + 0.5)).max() < 0.3
    assert found.max() < 2.3


@pytest.mark.parametrize("make", [KLIEP, ULSIF])
def test_median_is_the_shared_heuristic(make, domains):
    found = make(gamma="median").fit(domains[0], X_target=domains[1])
    assert found.gamma_ == pytest.approx(compute_median_gamma(*domains))


@pytest.mark.parametrize("make", [KLIEP, ULSIF])
def test_centers_are_rows_of_the_target(make, domains):
    X, T = domains
    found = make(n_centers=7, random_state=0).fit(X, X_target=T).centers_
    assert found.shape == (7, 2)
    assert {tuple(row) for row in found} <= {tuple(row) for row in T}
    assert len(make(n_centers=500).fit(X, X_target=T).centers_) == len(T)


@pytest.mark.parametrize("make", [KLIEP, ULSIF])
@pytest.mark.parametrize("bad", [[0.5, -1.0], [], [[1.0]], [np.nan]])
def test_bad_candidates_are_refused(make, bad, domains):
    with pytest.raises(ValueError, match="gamma holds .* a list of positive numbers"):
        make(gamma=bad).fit(domains[0], X_target=domains[1])


def test_bad_penalties_are_refused(domains):
    with pytest.raises(ValueError, match="reg holds"):
        ULSIF(reg=[0.0]).fit(domains[0], X_target=domains[1])


@pytest.mark.parametrize("make", [KLIEP, ULSIF])
def test_blocks_of_rows_change_nothing(make, domains, monkeypatch):
    X, T = domains
    expected = make(random_state=0).fit(X, X_target=T)
    monkeypatch.setattr("sklearn_transfer._kernels.BLOCK_BYTES", 1)
    found = make(random_state=0).fit(X, X_target=T)
    np.testing.assert_allclose(found.weights_, expected.weights_, rtol=1e-6)


def test_number_of_left_out_rows_is_bounded(domains, monkeypatch):
    X, T = domains
    monkeypatch.setattr(_density_ratio, "_PAIRS", 10)
    few = ULSIF(random_state=0).fit(X, X_target=T).scores_
    monkeypatch.setattr(_density_ratio, "_PAIRS", 50)
    assert not np.allclose(few, ULSIF(random_state=0).fit(X, X_target=T).scores_)


def test_a_mirrored_shift_gives_mirrored_weights(domains):
    X, T = domains
    for make in (KLIEP, ULSIF):
        one = make(random_state=0).fit(X, X_target=T).weights_
        other = make(random_state=0).fit(-X, X_target=-T).weights_
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_number_of_rows_that_choose_a_width_is_bounded(domains, monkeypatch):
    X, T = domains
    expected = KLIEP(random_state=0).fit(X, X_target=T)
    monkeypatch.setattr(_density_ratio, "_COMPARED", 40)
    found = KLIEP(random_state=0, gamma=expected.gammas_).fit(X, X_target=T)
    assert not np.allclose(found.scores_, expected.scores_)
    alone = KLIEP(random_state=0, gamma=found.gamma_).fit(X, X_target=T)
    np.testing.assert_array_equal(found.weights_, alone.weights_)  # of all rows


def test_kliep_chooses_its_width_by_converged_likelihoods(monkeypatch):
    """With narrow kernels, one alone covers the outermost row and dominates the system."""
    gaps, fit_mixture = [], _density_ratio.fit_mixture

    def spy(terms, tol, max_iter):
        found = fit_mixture(terms, tol, max_iter)
        gaps.append(found.gap)
        return found

    monkeypatch.setattr(_density_ratio, "fit_mixture", spy)
    rng = np.random.default_rng(1)
    X, T = rng.normal(size=(2000, 1)), rng.normal(size=(2000, 1)) + 1
    KLIEP(random_state=2).fit(X, X_target=T)
    assert max(gaps) <= 1e-4
