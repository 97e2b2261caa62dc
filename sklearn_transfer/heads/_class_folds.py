"""Penalties and the margin of seen classes, chosen by holding classes out."""

from itertools import combinations

import numpy as np
from scipy.ndimage import uniform_filter

from sklearn_transfer.heads._bilinear import (
    RegularizationPath,
    compute_mean_eigenvalue,
    solve_compatibility,
)

# Penalties, in mean eigenvalues; beyond, solutions are all that of the largest one.
_GRID = 10.0 ** np.arange(-3, 2)
_MIDDLE = 1.0  # the one that is taken where nothing can choose
_ALL_PAIRS = 9  # classes up to which each pair is held out once
_FOLDS = 5  # groups of more classes, drawn in two ways
_ROWS = 3  # a third of the rows of the other classes is held out with the classes


def build_class_folds(S):
    """Groups of two or more classes to hold out; no groups if there are fewer than four.

    They depend on the attributes of the classes alone, not on their names.
    """
    order = np.lexsort(S.T[::-1])
    if len(order) < 4:
        return []
    if len(order) <= _ALL_PAIRS:
        return [np.array(pair) for pair in combinations(order, 2)]
    return [order[j::_FOLDS] for j in range(_FOLDS)] + np.array_split(order, _FOLDS)


def encode_signs(codes, n_classes):
    """1 for the class of each row, and -1 for the others."""
    return np.where(codes[:, None] == np.arange(n_classes), 1.0, -1.0)


def choose_penalties(X, codes, S, gamma, alpha, folds):
    """Both penalties, those that are "auto" chosen by the classes of `folds` held out.

    Without folds that of the features has the least squared error on rows left out.
    """
    if "auto" not in (gamma, alpha):
        return float(gamma), float(alpha)
    gammas, alphas = (
        unit * _GRID if penalty == "auto" else np.array([float(penalty)])
        for unit, penalty in [
            (compute_mean_eigenvalue(X), gamma),
            (compute_mean_eigenvalue(S), alpha),
        ]
    )
    if not folds:
        alpha = _MIDDLE * compute_mean_eigenvalue(S) if alpha == "auto" else float(alpha)
        return _choose_by_error(X, codes, S, gammas), alpha
    right = np.zeros((len(gammas), len(alphas)))
    for held in folds:
        right += _rate_recognition(X, codes, S, held, gammas, alphas)
    # Accuracies of few classes tie and jump, so each is averaged with its neighbors.
    right = uniform_filter(right, 3, mode="nearest")
    row, column = np.unravel_index(right.argmax(), right.shape)
    return float(gammas[row]), float(alphas[column])


def _choose_by_error(X, codes, S, gammas):
    if len(gammas) == 1:
        return float(gammas[0])
    Y = encode_signs(codes, len(S))
    path, alpha = RegularizationPath(X, Y, np.eye(len(S))), _GRID[0]
    errors = [np.sum((path.score_left_out(gamma, alpha) - Y) ** 2) for gamma in gammas]
    return float(gammas[int(np.argmin(errors))])


def _rate_recognition(X, codes, S, held, gammas, alphas):
    """Mean accuracy of held-out classes among themselves, for each pair of penalties."""
    out = np.isin(codes, held)
    kept = np.setdiff1d(np.arange(len(S)), held)
    own = np.searchsorted(np.sort(held), codes[out])
    shares = _compute_shares(own)
    path = RegularizationPath(
        X[~out], encode_signs(np.searchsorted(kept, codes[~out]), len(kept)), S[kept]
    )
    scores = path.iterate_scores(X[out], S[np.sort(held)], gammas, alphas)
    right = [shares @ (found.argmax(axis=1) == own) for _, _, found in scores]
    return np.reshape(right, (len(gammas), len(alphas)))


def _compute_shares(codes):
    """Weights of rows by which each class counts the same, of sum 1."""
    counts = np.bincount(codes)
    return 1 / (counts[codes] * np.count_nonzero(counts))


def find_seen_class_margin(X, codes, S, gamma, alpha, folds):
    """Margin to subtract from scores of seen classes for the best harmonic mean.

    In each fold some classes play the unseen ones, and some rows of the others are held
    out with them.
    """
    found = [
        part
        for i, held in enumerate(folds)
        for part in _iterate_margins(X, codes, S, gamma, alpha, held, i)
    ]
    seen, unseen = found[::2], found[1::2]
    if not seen:
        return 0.0
    return find_best_margin(*(np.concatenate(part, axis=1) for part in (seen, unseen)))


def _iterate_margins(X, codes, S, gamma, alpha, held, i):
    """For rows of seen and of unseen classes: seen's lead over unseen, and the row's share.

    The share is 0 where another class of the same kind scores higher.
    """
    kept, held = np.setdiff1d(np.arange(len(S)), held), np.sort(held)
    out = np.isin(codes, held)
    test = out | (_rank_in_class(codes) % _ROWS == i % _ROWS) & (np.bincount(codes)[codes] > 1)
    Y = encode_signs(np.searchsorted(kept, codes[~test]), len(kept))
    scores = X[test] @ solve_compatibility(X[~test], Y, S[kept], gamma, alpha) @ S.T
    lead = scores[:, kept].max(axis=1) - scores[:, held].max(axis=1)
    for group in (kept, held):
        rows = np.isin(codes[test], group)
        own = np.searchsorted(group, codes[test][rows])
        right = scores[rows][:, group].argmax(axis=1) == own
        yield np.stack([lead[rows], _compute_shares(own) * right])


def _rank_in_class(codes):
    """Number of rows of the same class before each row."""
    order = np.argsort(codes, kind="stable")
    starts = np.cumsum(np.bincount(codes)) - np.bincount(codes)
    rank = np.empty(len(codes), dtype=int)
    rank[order] = np.arange(len(codes)) - starts[codes[order]]
    return rank


def find_best_margin(seen, unseen):
    """The margin, 0 or more, of the best harmonic mean of both accuracies.

    Each argument holds leads and shares: a row of a seen class is right, by its share, where
    its lead exceeds the margin, one of an unseen class where it does not.
    """
    leads = np.unique(np.concatenate([seen[0], unseen[0]]))
    steps = np.concatenate([leads, leads[-1:] + 1])
    tried = np.concatenate([[0.0], (steps[1:] + steps[:-1]) / 2])
    tried = tried[tried >= 0]
    right = seen[1].sum() - _sum_shares_under(tried, *seen)
    caught = _sum_shares_under(tried, *unseen)
    means = 2 * right * caught / np.maximum(right + caught, np.finfo(float).tiny)
    return float(tried[int(means.argmax())])


def _sum_shares_under(values, leads, shares):
    order = np.argsort(leads)
    total = np.concatenate([[0.0], np.cumsum(shares[order])])
    return total[np.searchsorted(leads[order], values, side="right")]
