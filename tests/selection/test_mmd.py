import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import linear_kernel, polynomial_kernel, rbf_kernel

from sklearn_transfer import KMM, TargetDomain
from sklearn_transfer._kernels import compute_median_gamma
from sklearn_transfer.selection import _mmd, mmd, mmd_test
from tests.levels import assert_level_is_kept

KERNELS = {
    "rbf": lambda X, Y: rbf_kernel(X, Y, gamma=0.3),
    "linear": linear_kernel,
    "polynomial": lambda X, Y: polynomial_kernel(X, Y, gamma=0.3),
}


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), rng.normal(0.8, 1, size=(25, 3))


def by_loops(X, T, kernel, w, unbiased):
    """Compute the discrepancy by its definition, pair by pair."""
    v = np.ones(len(T))

    def mean(rows, weights):
        total = norm = 0.0
        for i in range(len(rows)):
            for j in range(len(rows)):
                if not unbiased or i != j:
                    total += weights[i] * weights[j] * kernel(rows[[i]], rows[[j]]).item()
                    norm += weights[i] * weights[j]
        return total / norm

    return mean(X, w) + mean(T, v) - 2 * w @ kernel(X, T).mean(axis=1) / w.sum()


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("name", KERNELS)
def test_discrepancy_is_that_of_the_definition(domains, name, unbiased):
    X, T = domains
    expected = by_loops(X, T, KERNELS[name], np.ones(40), unbiased)
    assert mmd(X, T, kernel=name, gamma=0.3, unbiased=unbiased) == pytest.approx(expected)


@pytest.mark.parametrize("unbiased", [True, False])
def test_weighted_discrepancy_is_that_of_the_definition(domains, unbiased):
    X, T = domains
    w = np.arange(40)
    expected = by_loops(X, T, KERNELS["rbf"], w, unbiased)
    found = mmd(X, T, gamma=0.3, unbiased=unbiased, sample_weight=w)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_mean_of_estimates_is_the_value_between_gaussians(shift):
    # E exp(-g (x - y)^2) for x - y ~ N(s, 2) is exp(-g s^2 / (1 + 4 g)) / sqrt(1 + 4 g).
    rng = np.random.default_rng(0)
    found = [
        mmd(rng.normal(size=(50, 1)), rng.normal(shift, 1, size=(70, 1)), gamma=0.5)
        for _ in range(400)
    ]
    expected = 2 * (1 - np.exp(-0.5 * shift**2 / 3)) / np.sqrt(3)
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / 20)


def test_biased_discrepancy_is_the_square_of_that_of_kernel_mean_matching(domains):
    kmm = KMM(B=5).fit(domains[0], X_target=domains[1])
    before = mmd(*domains, unbiased=False)
    after = mmd(*domains, unbiased=False, sample_weight=kmm.weights_)
    assert before == pytest.approx(kmm.mmd_before_**2)
    assert after == pytest.approx(kmm.mmd_after_**2)


def test_unit_of_weights_does_not_matter(domains):
    w = np.random.default_rng(0).random(40)
    found = mmd(*domains, sample_weight=w)
    assert mmd(*domains, sample_weight=1e-6 * w) == pytest.approx(found)


@pytest.mark.parametrize("w", [np.zeros(40), -np.ones(40)])
def test_weights_without_a_positive_sum_are_refused(domains, w):
    with pytest.raises(ValueError, match="sample_weight is (-1 in row 0|zero in every row)"):
        mmd(*domains, sample_weight=w)


def test_one_row_has_a_biased_discrepancy_only():
    X, T = [[0.0]], [[1.0], [2.0]]
    expected = 1 + (2 + 2 * np.exp(-1)) / 4 - (np.exp(-1) + np.exp(-4))
    assert mmd(X, T, gamma=1, unbiased=False) == pytest.approx(expected)
    with pytest.raises(ValueError, match="X has one row of weight above 0"):
        mmd(X, T)
    with pytest.raises(ValueError, match="X_target has one row of weight above 0"):
        mmd(T, X)


@pytest.mark.parametrize("kernel", [*KERNELS, lambda X, Y: (X @ Y.T) ** 2])
def test_statistic_is_the_unbiased_discrepancy(domains, kernel, monkeypatch):
    monkeypatch.setattr(_mmd, "_TILE", 16)
    result = mmd_test(*domains, kernel=kernel, n_permutations=9, random_state=0)
    expected = mmd(*domains, kernel=kernel, gamma=result.gamma)
    assert result.statistic == pytest.approx(expected)
    assert result.gamma == pytest.approx(compute_median_gamma(*domains))


def test_statistics_of_splits_are_the_discrepancies_of_these(domains, monkeypatch):
    monkeypatch.setattr(_mmd, "_TILE", 16)
    X, T = domains
    random_state = np.random.RandomState(0)
    _, permuted, _ = _mmd.compute_permuted_mmd(X, T, "rbf", 0.3, 7, random_state)
    groups = _mmd.draw_groups(40, 25, 7, np.random.RandomState(0)).astype(bool)
    pooled = np.concatenate(domains)
    expected = [mmd(pooled[g], pooled[~g], gamma=0.3) for g in groups.T]
    assert (groups.sum(axis=0) == 40).all()
    np.testing.assert_allclose(permuted, expected, rtol=1e-9, atol=1e-14)


def test_p_value_counts_splits_at_least_as_far_apart(domains):
    X, T = domains[0], domains[1] - 0.6
    statistic, permuted, _ = _mmd.compute_permuted_mmd(
        X, T, "rbf", 0.3, 99, np.random.RandomState(5)
    )
    found = mmd_test(X, T, gamma=0.3, n_permutations=99, random_state=5).p_value
    assert 0.01 < found < 1
    assert found == pytest.approx((1 + np.sum(permuted >= statistic)) / 100)


def p_values(draw, n_draws, **options):
    return [
        mmd_test(*draw(np.random.default_rng(seed)), random_state=seed, **options).p_value
        for seed in range(n_draws)
    ]


def rejections(draw, n_draws, **options):
    return np.mean(np.array(p_values(draw, n_draws, **options)) <= 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 10])
def test_level_is_kept(d):
    draw = lambda rng: (rng.normal(size=(30, d)), rng.normal(size=(40, d)))  # noqa: E731
    assert_level_is_kept(p_values(draw, 1000, n_permutations=99), uniform=True)


def test_level_is_kept_in_few_draws():
    draw = lambda rng: (rng.normal(size=(12, 2)), rng.normal(size=(20, 2)))  # noqa: E731
    assert_level_is_kept(p_values(draw, 500, n_permutations=19), uniform=True)


def test_level_is_kept_where_the_bandwidth_is_that_of_some_rows(monkeypatch):
    """With sorted rows, evenly spaced rows of each domain would reveal the domain."""
    monkeypatch.setattr(_mmd, "_POOLED", 6)
    draw = lambda rng: (np.sort(rng.normal(size=(9, 1)), 0), rng.normal(size=(12, 1)))  # noqa: E731
    assert_level_is_kept(p_values(draw, 500, n_permutations=19), uniform=True)


@pytest.mark.parametrize("d", [1, 10])
def test_shift_of_one_standard_deviation_is_seen(d):
    def draw(rng):
        T = rng.normal(size=(100, d))
        T[:, 0] += 1
        return rng.normal(size=(100, d)), T

    assert rejections(draw, 40, n_permutations=99) > 0.9


def test_other_spread_is_seen():
    draw = lambda rng: (rng.normal(size=(100, 2)), 2 * rng.normal(size=(100, 2)))  # noqa: E731
    assert rejections(draw, 10, n_permutations=99) > 0.9


def test_constant_data_have_p_value_one():
    result = mmd_test(np.full((6, 2), 0.3), np.full((5, 2), 0.3), n_permutations=19)
    assert result.p_value == 1


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_unit_and_origin_do_not_matter(domains, scale, kernel):
    options = {"kernel": kernel, "n_permutations": 49, "random_state": 0}
    expected = mmd_test(*domains, **options).p_value
    moved = [scale * (rows - [0, 100, 0]) for rows in domains]
    assert mmd_test(*moved, **options).p_value == expected


def test_ties_by_rounding_count_as_ties():
    """Swapping two equal halves changes nothing, whatever the order of the sums."""
    X = np.random.default_rng(0).normal(size=(1, 3)).repeat(2, axis=0)
    assert mmd_test(X, X * 1.0, n_permutations=49, random_state=0).p_value == 1


def test_rows_beyond_the_largest_number_are_left_out(domains):
    X, T = domains
    result = mmd_test(X, T, max_samples=30, n_permutations=9, random_state=0)
    rows = np.sort(np.random.RandomState(0).choice(40, 30, replace=False))
    assert result.statistic == pytest.approx(mmd(X[rows], T, gamma=result.gamma))


def test_same_seed_same_answer(domains):
    first, second = (mmd_test(*domains, n_permutations=19, random_state=3) for _ in range(2))
    assert first == second


def test_containers_and_types_do_not_matter(domains):
    X, T = (rows.astype(np.float32) for rows in domains)
    expected = mmd(X.astype(np.float64), T.astype(np.float64))
    frames = [pd.DataFrame(rows, columns=list("abc")) for rows in (X, T)]
    assert mmd(X, TargetDomain(T)) == expected
    assert mmd(*frames) == expected
    assert mmd(np.asfortranarray(X), T) == pytest.approx(expected)


def test_arrays_of_the_caller_are_not_written_to(domains):
    before = [rows.copy() for rows in domains]
    expected = mmd_test(*domains, n_permutations=3)
    for rows, copy in zip(domains, before, strict=True):
        np.testing.assert_array_equal(rows, copy)
        rows.setflags(write=False)
    assert mmd_test(*domains, n_permutations=3) == expected


def test_one_row_cannot_be_tested(domains):
    with pytest.raises(ValueError, match="X_target has 1 row; at least 2 are needed"):
        mmd_test(domains[0], domains[1][:1])


def test_nan_is_refused_by_name(domains):
    X, T = domains
    T[0, 0] = np.nan
    with pytest.raises(ValueError, match="Input X_target contains NaN"):
        mmd_test(X, T)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        mmd(T, X)


def test_other_widths_and_names_are_refused(domains):
    X, T = domains
    with pytest.raises(ValueError, match="X_target has 2 features and X has 3"):
        mmd(X, T[:, :2])
    frames = pd.DataFrame(X, columns=list("abc")), pd.DataFrame(T, columns=list("acb"))
    with pytest.raises(ValueError, match=r"X has columns \['a', 'b', 'c'\] and X_target"):
        mmd(*frames)


def test_bandwidth_does_not_tell_which_domain_is_which(monkeypatch):
    monkeypatch.setattr(_mmd, "_POOLED", 6)
    X, T = np.random.default_rng(0).normal(size=(2, 20, 2)) * [[[1.0]], [[100.0]]]
    draws = [np.random.RandomState(seed) for seed in range(300)]
    one, other = (
        np.mean([np.log(_mmd.compute_pooled_gamma(*rows, draw)) for draw in draws])
        for rows in ((X, T), (T, X))
    )
    assert one == pytest.approx(other, abs=1)  # out of 9 between the domains


def test_linear_kernel_keeps_its_digits_far_from_the_origin(domains):
    far = [rows + 2.0**30 for rows in domains]
    near = [rows - 2.0**30 for rows in far]  # the digits are the same
    expected = mmd(*near, kernel="linear")
    assert mmd(*far, kernel="linear") == pytest.approx(expected, rel=1e-6)
    found = mmd_test(*far, kernel="linear", n_permutations=1).statistic
    assert found == pytest.approx(expected, rel=1e-6)
