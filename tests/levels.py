"""Check from few draws whether a statistical test keeps its level."""

import numpy as np
from scipy.stats import binom

RISK = 1e-6
LEVELS = (0.05, 0.1, 0.25, 0.5)


def most_alarms(n_draws, level):
    """Return the least count that a test at its level exceeds with probability <= RISK.

    Without a difference, the p-values of independent draws fall to or under the level with
    probability `level` at most, so their count is at most binomial: the bound is exact.
    """
    return int(binom.isf(RISK, n_draws, level))


def least_alarms(n_draws, level):
    """Return the corresponding lower bound for a test whose p-values are uniform."""
    return n_draws - most_alarms(n_draws, 1 - level)


def power(n_draws, level, actual):
    """Return the probability that a test whose level is not as stated is detected."""
    return float(binom.sf(most_alarms(n_draws, level), n_draws, actual))


def assert_level_is_kept(p_values, levels=LEVELS, uniform=False):
    """At large levels, few draws reveal a doubled level; at small levels, a tripled one."""
    p_values, n = np.asarray(p_values), len(p_values)
    for level in levels:
        alarms = np.count_nonzero(p_values <= level * (1 + 1e-9))
        assert alarms <= most_alarms(n, level), level
        assert not uniform or alarms >= least_alarms(n, level), level
