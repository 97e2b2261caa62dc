"""Exact plans against those of POT, which is another solver."""

import numpy as np
import ot
import pytest

from sklearn_transfer.finetuning.objectives.plans import compute_plan

SIZES = [(1, 5), (5, 1), (2, 3), (8, 8), (12, 9), (9, 12), (40, 40), (30, 64)]


def make_costs(n, m, seed=0):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(n, 5)), rng.normal(1, 1, size=(m, 5))
    return ((source[:, None] - target) ** 2).sum(axis=2)


def assert_is_plan(plan, shares):
    assert plan.min() >= 0
    np.testing.assert_allclose(plan.sum(axis=1), shares, atol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / plan.shape[1], atol=1e-12)


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("is_even", [True, False])
def test_plans_are_those_of_another_solver(n, m, is_even):
    costs = make_costs(n, m)
    shares = np.ones(n) if is_even else np.random.default_rng(1).uniform(0.1, 3, n)
    shares /= shares.sum()
    plan = compute_plan(costs, shares)
    assert_is_plan(plan, shares)
    expected = ot.emd(shares, np.full(m, 1 / m), costs)
    np.testing.assert_allclose(plan, expected, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_plans_do_not_depend_on_the_scale_of_costs(scale):
    costs, shares = make_costs(9, 12), np.full(9, 1 / 9)
    found = compute_plan(scale * costs - 5 * scale, shares)
    np.testing.assert_allclose(found, compute_plan(costs, shares), atol=1e-12)


@pytest.mark.parametrize("costs", [np.zeros((4, 6)), np.ones((4, 6)), np.eye(6)[:4]])
def test_ties_have_a_plan_of_the_least_cost(costs):
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    plan = compute_plan(costs, shares)
    assert_is_plan(plan, shares)
    expected = ot.emd2(shares, np.full(6, 1 / 6), costs)
    assert (plan * costs).sum() == pytest.approx(expected, abs=1e-12)


def test_a_row_without_mass_sends_none():
    costs, shares = make_costs(5, 4), np.array([0.5, 0.0, 0.25, 0.25, 0.0])
    plan = compute_plan(costs, shares)
    assert_is_plan(plan, shares)


def test_masses_of_any_size_have_a_plan():
    shares = np.geomspace(1e-9, 1, 12)
    shares /= shares.sum()
    costs = make_costs(12, 9)
    plan = compute_plan(costs, shares)
    expected = ot.emd2(shares, np.full(9, 1 / 9), costs)
    assert (plan * costs).sum() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_far_outliers_do_not_hide_the_best_cells(seed):
    rng = np.random.default_rng(seed)
    costs = make_costs(40, 33, seed) * rng.lognormal(0, 3, size=(40, 1))
    shares = rng.uniform(0.1, 3, 40)
    shares /= shares.sum()
    plan = compute_plan(costs, shares)
    expected = ot.emd2(shares, np.full(33, 1 / 33), costs)
    assert (plan * costs).sum() == pytest.approx(expected, rel=1e-8)
