"""Random splits and p-values, which all permutation tests share."""

import numpy as np

_ROUNDING = 1e-12  # of the statistic's scale; differences below it are ties


def draw_groups(n, m, n_permutations, random_state):
    """Random splits of n + m rows, (n + m, n_permutations) of int8: n ones in each column."""
    groups = np.zeros((n + m, n_permutations), dtype=np.int8)
    for column in range(n_permutations):
        groups[random_state.permutation(n + m)[:n], column] = 1
    return groups


def compute_p_value(statistic, permuted, scale=1.0):
    """Share of statistics at least as large, the observed one included.

    Those that rounding alone keeps apart count as equal.
    """
    as_large = np.count_nonzero(permuted >= statistic - _ROUNDING * scale)
    return float((1 + as_large) / (1 + len(permuted)))
