"""Deep CORAL and MMD against the formulas of their papers."""

import numpy as np
import pytest
import torch

from sklearn_transfer.finetuning.objectives import MMD, DeepCORAL, formulas
from tests.objective_steps import as_arrays, assert_equals, make_step

FACTORS = (0.5, 3.0)
SIZES = [(7, 5), (4, 20), (20, 2)]


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("is_mixed", [False, True])
def test_coral_is_the_distance_of_weighted_covariances(n, m, is_mixed):
    step = make_step(n, m, is_mixed=is_mixed)
    _, shares = as_arrays(step)

    def direct(arrays):
        source = np.cov(arrays["features"].T, aweights=shares)
        target = np.cov(arrays["target_features"].T)
        return np.linalg.norm(source - target) ** 2 / (4 * 4**2)

    assert_equals(DeepCORAL().compute(step), step, direct)


def compute_squared_distance(x, z):
    return ((x - z) ** 2).sum()


def find_median(source, target):
    """Lower median over pairs of different rows."""
    rows = [*source, *target]
    squares = sorted(
        compute_squared_distance(rows[i], rows[j])
        for i in range(len(rows))
        for j in range(i + 1, len(rows))
    )
    return squares[(len(squares) - 1) // 2]


def compute_mean_kernel(first, second, weights, others, scale, *, skips_equal):
    total, mass = 0.0, 0.0
    for i, x in enumerate(first):
        for j, z in enumerate(second):
            if skips_equal and i == j:
                continue
            d = compute_squared_distance(x, z)
            kernel = sum(np.exp(-d / (factor * scale)) for factor in FACTORS) / len(FACTORS)
            total += weights[i] * others[j] * kernel
            mass += weights[i] * others[j]
    return total / mass if mass else 1.0


def compute_discrepancy(arrays, scale, shares):
    source, target = arrays["features"], arrays["target_features"]
    even = np.full(len(target), 1 / len(target))
    within = compute_mean_kernel(source, source, shares, shares, scale, skips_equal=True)
    within += compute_mean_kernel(target, target, even, even, scale, skips_equal=True)
    between = compute_mean_kernel(source, target, shares, even, scale, skips_equal=False)
    return within - 2 * between


@pytest.mark.parametrize(("n", "m"), [*SIZES, (1, 1), (6, 1)])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_mmd_is_the_mean_over_pairs_of_gaussian_kernels(n, m, is_mixed):
    step = make_step(n, m, is_mixed=is_mixed)
    fixed, shares = as_arrays(step)
    scale = find_median(fixed["features"], fixed["target_features"])
    value = MMD(bandwidths=FACTORS).compute(step)
    assert_equals(value, step, lambda arrays: compute_discrepancy(arrays, scale, shares))


def test_mmd_of_equal_domains_is_0_in_the_mean():
    values = [MMD().compute(make_step(10, 10, seed=seed)).item() for seed in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert min(values) < 0


@pytest.mark.parametrize("m", [1, 8])
def test_a_target_of_equal_rows_has_no_covariance_to_follow(m):
    step = make_step(8, m)
    with torch.no_grad():
        step.target_features[:] = step.target_features[:1]
    assert DeepCORAL().compute(step).item() == 0


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_mmd_does_not_depend_on_the_scale_of_features(scale):
    step, other = make_step(), make_step()
    with torch.no_grad():
        other.features.mul_(scale)
        other.target_features.mul_(scale)
    assert MMD().compute(other).item() == pytest.approx(MMD().compute(step).item())


def test_rows_drawn_several_times_do_not_change_the_bandwidth():
    rows = torch.tensor([[0.0], [1.0], [1000.0]]).repeat(9, 1)
    squares = formulas.compute_squared_distances(rows, rows)
    assert formulas.find_median(squares).item() == pytest.approx(1e6, rel=0.01)
