"""Test of whether samples of each class look the same in both domains."""

import numpy as np

from sklearn_transfer._sampling import draw_rows
from sklearn_transfer.selection._mmd import compute_permuted_mmd
from sklearn_transfer.selection._permutation import compute_p_value
from sklearn_transfer.selection._two_sample import classifier_two_sample_test

_ROWS = 500  # of each domain that are compared: the answer is one word of a report
_FEWEST = 10  # source rows that can say something
_PERMUTATIONS = 199


def compare_within_classes(X, codes, priors, T, gamma, alpha, random_state):
    """p-value of source rows, drawn in the target's shares of classes, against the target.

    Where only these shares differ between the domains, the drawn rows are distributed as
    the target's. Of two tests, a classifier's and that of kernel means, twice the lesser p
    counts. None where too few rows can be drawn.
    """
    rows = _draw_rows(codes, priors, random_state)
    if len(rows) < _FEWEST or len(T) < _FEWEST:
        return None
    S, T = X[rows], T[draw_rows(len(T), _ROWS, random_state)]
    n_permutations = max(_PERMUTATIONS, int(np.ceil(2 / alpha)))
    options = {"n_permutations": n_permutations, "random_state": random_state}
    p_value = classifier_two_sample_test(S, T, **options).p_value
    found = compute_permuted_mmd(S, T, "rbf", gamma, n_permutations, random_state)
    return float(min(1.0, 2 * min(p_value, compute_p_value(*found))))


def _draw_rows(codes, priors, random_state):
    """Rows of each class in these shares, without replacement, as many as there can be."""
    counts = np.bincount(codes, minlength=len(priors))
    wanted = priors > 0
    most = min(_ROWS, float((counts[wanted] / priors[wanted]).min()))
    drawn = [
        random_state.permutation(np.flatnonzero(codes == code))[: round(most * share)]
        for code, share in enumerate(priors)
    ]
    return np.concatenate(drawn)
