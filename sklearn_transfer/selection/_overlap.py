"""Measures of how far two domains overlap, as functions of arrays."""

import numpy as np
from scipy.stats import rankdata
from sklearn.neighbors import NearestNeighbors

from sklearn_transfer.selection._two_sample import compute_auc, split_rows

_NEIGHBOR = 5
_INSIDE = 0.99  # of the source's own distances


def compute_covered_size(weights):
    """(sum of weights)^2 / (sum of squared weights), less what they miss of the target.

    A ratio of densities has mean 1 over the source where the source covers the target, and
    else the covered share: equal weights of 0.01 are no good weights.
    """
    largest = weights.max()
    if largest == 0:
        return 0.0
    covered = min(1.0, weights.mean())
    weights = weights / largest
    return float(covered * weights.sum() ** 2 / (weights @ weights))


def compute_outside_share(X, T):
    """Share of target rows farther from the source than nearly all of its own rows."""
    X = np.unique(X, axis=0)  # copies have distance 0, which leaves all else outside
    if len(X) == 1:
        return float(np.mean((T != X).any(axis=1)))
    k = min(_NEIGHBOR, len(X) - 1)
    neighbors = NearestNeighbors(n_neighbors=k).fit(X)
    own = neighbors.kneighbors()[0][:, -1]
    distances = neighbors.kneighbors(T)[0][:, -1]
    return float(np.mean(distances > np.quantile(own, _INSIDE) * (1 + 1e-9)))


def compute_best_feature_auc(X, T, random_state):
    """Area under the ROC curve, on held-out rows, of the feature that was best on the others.

    A classifier of many features misses what one of them tells where rows are few.
    """
    (X_seen, X_held), (T_seen, T_held) = (
        split_rows(rows, 0.5, random_state) for rows in (X, T)
    )
    seen = _compute_areas(X_seen, T_seen) - 0.5
    best = int(np.abs(seen).argmax())
    held = _compute_areas(X_held[:, [best]], T_held[:, [best]])[0]
    return float(held if seen[best] >= 0 else 1 - held)


def _compute_areas(X, T):
    """Areas under the ROC curves of single features."""
    n, m = len(X), len(T)
    ranks = rankdata(np.concatenate([X, T]), axis=0)
    return compute_auc(ranks[n:].sum(axis=0), n, m)
