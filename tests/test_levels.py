"""The bounds of tests/levels.py are right, and they catch what they claim to catch."""

from math import comb

import numpy as np
import pytest

from tests.levels import RISK, assert_level_is_kept, least_alarms, most_alarms, power


def tail(n, count, level):
    """Compute the probability of more than `count` of n term by term."""
    return sum(comb(n, k) * level**k * (1 - level) ** (n - k) for k in range(count + 1, n + 1))


@pytest.mark.parametrize("level", [0.05, 0.25, 0.5])
@pytest.mark.parametrize("n", [100, 400])
def test_bound_is_the_least_of_its_risk(n, level):
    found = most_alarms(n, level)
    assert tail(n, found, level) <= RISK < tail(n, found - 1, level)


def test_bound_from_below_mirrors_that_from_above():
    assert least_alarms(400, 0.5) == 400 - most_alarms(400, 0.5)
    assert tail(400, 400 - least_alarms(400, 0.25), 0.75) <= RISK


@pytest.mark.parametrize(
    ("n", "level", "actual"),
    [(100, 0.25, 0.58), (200, 0.25, 0.5), (200, 0.05, 0.3), (400, 0.05, 0.2)],
)
def test_power(n, level, actual):
    assert power(n, level, actual) > 0.95
    assert power(n, level, actual) == pytest.approx(tail(n, most_alarms(n, level), actual))


def test_uniform_p_values_pass():
    for seed in range(20):
        p_values = np.random.default_rng(seed).random(200)
        assert_level_is_kept(p_values, uniform=True)


@pytest.mark.parametrize("seed", range(5))
def test_doubled_level_is_caught_in_200_draws(seed):
    p_values = np.random.default_rng(seed).random(200) / 2
    with pytest.raises(AssertionError, match=r"0\.25|0\.5"):
        assert_level_is_kept(p_values)


def test_p_values_that_are_never_small_are_caught_where_they_should_be_uniform():
    p_values = 0.5 + np.random.default_rng(0).random(200) / 2
    assert_level_is_kept(p_values)
    with pytest.raises(AssertionError):
        assert_level_is_kept(p_values, uniform=True)
