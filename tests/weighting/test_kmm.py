import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import rbf_kernel

from sklearn_transfer import KMM, TargetDomain
from sklearn_transfer.weighting import _box_slab, _kmm, _working_set

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 3)), rng.normal([0.8, 0, 0], size=(200, 3))


def weights(X, T, **options):
    return KMM(**options).fit(X, X_target=T).weights_


def close(a, b, tolerance=1e-3):
    return np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b)


@pytest.mark.parametrize("d", [1, 5, 20])
def test_weighted_mean_comes_most_of_the_way(d):
    shares = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, T = rng.normal(size=(1000, d)), rng.normal(size=(1000, d))
        T[:, 0] += 1
        mean = np.average(X[:, 0], weights=weights(X, T))
        shares.append((mean - X[:, 0].mean()) / (T[:, 0].mean() - X[:, 0].mean()))
    assert np.mean(shares) >= 0.8


def test_weights_are_not_negative_and_have_mean_one(domains):
    kmm = KMM().fit(domains[0], X_target=domains[1])
    assert kmm.weights_.shape == (300,)
    assert kmm.weights_.min() >= 0
    assert kmm.weights_.mean() == pytest.approx(1)
    np.testing.assert_allclose(kmm.weights_, kmm.solution_ / kmm.solution_.mean())


def test_effective_sample_size_follows_its_formula(domains):
    kmm = KMM().fit(domains[0], X_target=domains[1])
    w = kmm.weights_
    assert kmm.ess_ == pytest.approx(w.sum() ** 2 / (w**2).sum())


def test_small_bound_is_kept(domains):
    assert KMM(B=2).fit(domains[0], X_target=domains[1]).solution_.max() <= 2


def test_discrepancy_falls(domains):
    kmm = KMM().fit(domains[0], X_target=domains[1])
    assert kmm.mmd_after_ < 0.2 * kmm.mmd_before_


def test_bound_below_the_least_mean_is_refused(domains):
    with pytest.raises(ValueError, match="B=0.5 with eps=0.1 leaves no solution"):
        KMM(B=0.5, eps=0.1).fit(domains[0], X_target=domains[1])


@pytest.mark.filterwarnings("ignore:KMM got no target")
def test_bound_below_the_least_mean_is_refused_without_a_target(domains):
    with pytest.raises(ValueError, match="B=0.5 with eps=0.1 leaves no solution"):
        KMM(B=0.5, eps=0.1).fit(domains[0])


@pytest.mark.parametrize("B", [1e12, 1e308])
@pytest.mark.parametrize("solver", ["full", "working-set"])
def test_bounds_that_no_weight_can_reach_change_nothing(domains, B, solver):
    kmm = KMM(B=B, kernel="linear", solver=solver).fit(domains[0], X_target=domains[1])
    expected = KMM(B=400, kernel="linear").fit(domains[0], X_target=domains[1])
    assert kmm.dual_gap_ <= 1e-6
    assert kmm.objective_ == pytest.approx(expected.objective_, rel=2e-6)


def test_bound_at_the_least_mean_leaves_equal_weights(domains):
    np.testing.assert_allclose(weights(*domains, B=0.9, eps=0.1), 1)


def test_bound_one_without_slack_leaves_equal_weights(domains):
    np.testing.assert_allclose(weights(*domains, B=1, eps=0), 1)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
def test_unit_of_the_features_does_not_matter(domains, scale):
    X, T = domains
    assert close(weights(scale * X, scale * T), weights(X, T))


@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_units_whose_square_is_no_number_do_not_matter(domains, scale, kernel):
    X, T = domains
    kmm = KMM(kernel=kernel, B=5).fit(scale * X, X_target=scale * T)
    expected = KMM(kernel=kernel, B=5).fit(X, X_target=T)
    assert kmm.objective_ == pytest.approx(expected.objective_, rel=2e-6)
    assert 0 < kmm.gamma_ < np.inf


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_kernels_beyond_single_precision_reach_the_same_optimum(domains, scale):
    X, T = domains
    found = KMM(kernel="linear").fit(scale * X, X_target=scale * T)
    expected = KMM(kernel="linear").fit(X, X_target=T)
    assert found.objective_ == pytest.approx(expected.objective_ * scale**2, rel=2e-6)


@pytest.mark.parametrize("kernel", ["linear", lambda X, Y: X @ Y.T])
def test_kernels_without_a_factor_look_for_none(domains, monkeypatch, kernel):
    monkeypatch.setattr(_kmm, "compute_median_distance", None)
    assert KMM(kernel=kernel).fit(domains[0], X_target=domains[1]).gamma_ is None


def test_place_of_the_origin_does_not_matter(domains):
    X, T = domains
    assert close(weights(X + 1e3, T + 1e3), weights(X, T))


def test_units_of_many_wide_features_do_not_make_the_kernel_an_identity():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(100, 512)), rng.normal(0.1, 1, size=(100, 512))
    one, five = (KMM().fit(s * X, X_target=s * T).ess_ for s in (1, 5))
    assert one == pytest.approx(five, rel=1e-3)
    assert one < 99


def test_constant_columns_change_nothing(domains):
    X, T = domains
    wider = [np.column_stack([rows, np.full(len(rows), 7.0)]) for rows in domains]
    assert close(weights(*wider), weights(X, T))


def test_constant_data_have_equal_weights():
    np.testing.assert_allclose(weights(np.ones((5, 2)), np.ones((4, 2))), 1)


def test_duplicates_share_the_weight_of_one(domains):
    X, T = domains
    options = {
        "eps": 0.1,
        "gamma": 5,
        "tol": 1e-10,
    }  # with such a narrow kernel, weights are exact
    kmm = KMM(**options).fit(np.repeat(X, 2, axis=0), X_target=T)
    once = KMM(**options).fit(X, X_target=T)
    assert close(kmm.solution_.reshape(-1, 2).mean(axis=1), once.solution_, 1e-4)
    # The objective sums over n^2 pairs: twice the rows give four times the value.
    assert kmm.objective_ == pytest.approx(4 * once.objective_, rel=1e-9)


def test_one_source_row_has_weight_one():
    np.testing.assert_allclose(weights(np.array([[1.0, 2.0]]), np.zeros((3, 2))), 1)


def test_one_target_row_draws_weight_to_its_neighbors(domains):
    X, _ = domains
    w = weights(X, X[:1])
    near = np.linalg.norm(X - X[0], axis=1) < 1
    assert w[near].mean() > 2 * w[~near].mean()


def test_more_features_than_rows():
    rng = np.random.default_rng(0)
    w = weights(rng.normal(size=(20, 100)), rng.normal(0.5, 1, size=(10, 100)))
    assert np.isfinite(w).all()


def test_float32_and_lists_agree_with_float64(domains):
    X, T = (rows.astype(np.float32) for rows in domains)
    expected = weights(X.astype(np.float64), T.astype(np.float64))
    np.testing.assert_array_equal(weights(X, T), expected)
    np.testing.assert_array_equal(weights(X.tolist(), T.tolist()), expected)


def test_memory_layout_does_not_matter(domains):
    X, T = domains
    wide = np.zeros((600, 6))
    wide[::2, ::2] = X
    assert close(weights(wide[::2, ::2], np.asfortranarray(T)), weights(X, T))


def test_frames_agree_with_arrays(domains):
    X, T = (pd.DataFrame(rows, columns=["a", "b", "c"]) for rows in domains)
    kmm = KMM().fit(X, X_target=T)
    assert list(kmm.feature_names_in_) == ["a", "b", "c"]
    assert close(kmm.weights_, weights(*domains))


def test_arrays_of_the_caller_stay_as_they_are(domains):
    X, T = (rows.copy() for rows in domains)
    X.flags.writeable = T.flags.writeable = False
    weights(X, T)
    np.testing.assert_array_equal(X, domains[0])
    np.testing.assert_array_equal(T, domains[1])


def test_kernel_that_writes_leaves_the_arrays_of_the_caller_alone(domains):
    def kernel(X, Y):
        block = X @ Y.T
        X[:] = Y[:] = 0
        return block

    X, T = (rows.copy() for rows in domains)
    expected = weights(X, T, kernel=lambda X, Y: X @ Y.T)
    np.testing.assert_array_equal(weights(X, T, kernel=kernel), expected)
    np.testing.assert_array_equal(X, domains[0])
    np.testing.assert_array_equal(T, domains[1])


def test_row_order_is_that_of_the_source(domains):
    X, T = domains
    assert close(weights(X[::-1], T), weights(X, T)[::-1], 1e-2)


def test_same_data_give_the_same_weights(domains):
    np.testing.assert_array_equal(weights(*domains), weights(*domains))


def test_pickle_and_clone(domains):
    kmm = KMM(B=5).fit(domains[0], X_target=domains[1])
    copy = pickle.loads(pickle.dumps(kmm))
    np.testing.assert_array_equal(copy.weights_, kmm.weights_)
    assert clone(kmm).get_params() == kmm.get_params()


def test_fit_leaves_parameters_alone(domains):
    kmm = KMM()
    before = kmm.get_params()
    kmm.fit(domains[0], X_target=TargetDomain(domains[1]))
    assert kmm.get_params() == before


def test_too_few_rounds_are_warned_of(domains):
    with pytest.warns(ConvergenceWarning, match="stopped after 1 rounds"):
        KMM(tol=1e-18, max_iter=1).fit(domains[0], X_target=domains[1])


def test_kernel_that_is_an_identity_is_warned_of(domains):
    with pytest.warns(UserWarning, match="every source row is unlike all others"):
        KMM(gamma=1e5).fit(domains[0], X_target=domains[1])


@pytest.mark.filterwarnings("default:The weights amount to")
def test_few_effective_samples_are_warned_of():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(300, 1)), rng.normal(2.5, 0.1, size=(200, 1))
    with pytest.warns(UserWarning, match="amount to .* of 300 source samples"):
        KMM().fit(X, X_target=T)


def test_a_usual_fit_warns_of_nothing(domains):
    KMM(B=5).fit(domains[0], X_target=domains[1])


def test_kernel_of_wrong_shape_is_refused(domains):
    with pytest.raises(ValueError, match="kernel returned shape"):
        KMM(kernel=lambda X, Y: X).fit(domains[0], X_target=domains[1])


@pytest.mark.parametrize("n_components", [20, 100])
def test_approximation_tells_its_error(domains, n_components):
    X, T = domains
    kmm = KMM(gamma=0.3, n_components=n_components, random_state=0).fit(X, X_target=T)
    landmarks = X[np.random.RandomState(0).choice(len(X), n_components, replace=False)]
    K = rbf_kernel(X, landmarks, gamma=0.3)
    found = np.trace(K @ np.linalg.solve(rbf_kernel(landmarks, gamma=0.3), K.T))
    assert kmm.approximation_error_ == pytest.approx(1 - found / len(X), rel=1e-6)


def test_approximation_gets_nearer_with_more_components(domains):
    X, T = domains
    exact = KMM().fit(X, X_target=T)
    rough, fine = (KMM(n_components=n, random_state=0).fit(X, X_target=T) for n in (20, 150))
    assert exact.approximation_error_ == 0
    assert exact.objective_ < fine.objective_ < rough.objective_
    assert fine.dual_gap_ < 0.01 * rough.dual_gap_


def test_rough_approximation_is_warned_of(domains):
    with pytest.warns(ConvergenceWarning, match="Raise n_components"):
        KMM(n_components=1, random_state=0).fit(domains[0], X_target=domains[1])


def test_fair_approximation_warns_of_nothing(domains):
    KMM(B=5, n_components=20, random_state=0).fit(domains[0], X_target=domains[1])


def test_landmarks_where_the_kernel_is_zero_leave_the_exact_problem():
    X, T = np.zeros((40, 2)), np.ones((5, 2))
    X[np.setdiff1d(np.arange(40), np.random.RandomState(0).choice(40, 3, False))[:5]] = 1
    options = {"kernel": "linear", "B": 4}
    kmm = KMM(n_components=3, random_state=0, **options).fit(X, X_target=T)
    assert close(kmm.weights_, weights(X, T, **options), 1e-6)
    assert kmm.dual_gap_ <= 1e-6


def test_all_rows_as_components_are_exact(domains):
    X, T = domains
    kmm = KMM(n_components=len(X)).fit(X, X_target=T)
    np.testing.assert_array_equal(kmm.weights_, weights(X, T))


def test_large_sources_are_approximated(domains, monkeypatch):
    X, T = domains
    monkeypatch.setattr(_kmm, "_EXACT", 299)
    monkeypatch.setattr(_kmm, "_LANDMARKS", 50)
    automatic = KMM(random_state=0).fit(X, X_target=T)
    assert automatic.approximation_error_ > 0
    chosen = KMM(random_state=0, n_components=50).fit(X, X_target=T)
    np.testing.assert_array_equal(automatic.weights_, chosen.weights_)
    assert KMM(n_components=None).fit(X, X_target=T).approximation_error_ == 0


def test_working_sets_smaller_than_what_is_free_tell_how_far_they_came(domains, monkeypatch):
    X, T = domains
    expected = KMM().fit(X, X_target=T)
    free = np.count_nonzero(expected.solution_)
    for name, rows in {"_LARGEST": free // 2, "_FEW": 10, "_FIRST": 10}.items():
        monkeypatch.setattr(_working_set, name, rows)
    with pytest.warns(ConvergenceWarning, match="stopped after 50 rounds"):
        found = KMM(max_iter=50).fit(X, X_target=T)
    missing = (found.objective_ - expected.objective_) / abs(found.objective_)
    assert 0 <= missing <= found.dual_gap_ <= 1e-2


def test_gradients_alone_come_near_the_optimum(domains, monkeypatch):
    X, T = domains
    expected = KMM(B=5).fit(X, X_target=T)
    monkeypatch.setattr(_box_slab, "_LARGEST", 0)
    found = KMM(B=5, tol=1e-4).fit(X, X_target=T)
    assert found.objective_ == pytest.approx(expected.objective_, rel=1e-4)


def test_kernel_of_zeros_leaves_any_feasible_weights():
    kmm = KMM(kernel="linear", eps=0.1).fit(np.zeros((4, 2)), X_target=np.ones((3, 2)))
    assert kmm.dual_gap_ == 0
    assert kmm.weights_.mean() == pytest.approx(1)


def test_target_mean_within_the_source_is_met_by_a_linear_kernel(domains):
    """The optimum is 0 up to the target's own term, so relative gaps are not meaningful."""
    X, _ = domains
    kmm = KMM(kernel="linear").fit(X, X_target=np.array([[0.5, 0.5, -0.5]]))
    np.testing.assert_allclose(
        np.mean(kmm.solution_[:, None] * X, axis=0), [0.5, 0.5, -0.5], atol=1e-2
    )
