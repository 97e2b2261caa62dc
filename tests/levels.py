"""Whether a statistical test keeps its level, told from few draws."""

import numpy as np
from scipy.stats import binom

RISK = 1e-6
LEVELS = (0.05, 0.1, 0.25, 0.5)


def most_alarms(n_draws, level):
    """The least count that a test which keeps its level exceeds with probability <= RISK.

    Without a difference, the p-values of independent draws fall to or under the level with
    probability `level` at most, so their count is at most binomial: the bound is exact.
    """
    return int(binom.isf(RISK, n_draws, level))


def least_alarms(n_draws, level):
    """The same from below, for a test whose p-values are uniform."""
    return n_draws - most_alarms(n_draws, 1 - level)


def power(n_draws, level, actual):
    """Probability that a test of another level than it says has too many alarms."""
    return float(binom.sf(most_alarms(n_draws, level), n_draws, actual))


def assert_level_is_kept(p_values, levels=LEVELS, uniform=False):
    """At large levels a doubled one shows in few draws, at small ones a threefold."""
    p_values, n = np.asarray(p_values), len(p_values)
    for level in levels:
        alarms = np.count_nonzero(p_values <= level * (1 + 1e-9))
        assert alarms <= most_alarms(n, level), level
        assert not uniform or alarms >= least_alarms(n, level), level
