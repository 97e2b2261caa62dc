"""Where one domain lies in the other: functions of arrays."""

import numpy as np
from scipy.stats import rankdata
from sklearn.covariance import ledoit_wolf
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from sklearn_transfer._kernels import median_gamma
from sklearn_transfer.selection._two_sample import auc, halves

_FOLDS = 5
_FEATURES = 100  # of the kernel
# Inverse penalties: equal domains of few rows need strong ones, distant domains weak ones.
_STRENGTHS = (0.001, 0.01, 0.1, 1, 10)
_NEIGHBOUR = 5
_LARGEST = 300  # logarithm of odds whose square is a number
_INSIDE = 0.99  # of the source's own distances
_RIDGE = 1e-6  # of the mean variance, so that equal rows have an inverse


def density_ratio(X, T, random_state):
    """Target over source density at source rows, from models that have not seen them."""
    n_folds = min(_FOLDS, len(X), len(T))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=_seed(random_state))
    features = _features(X, T, random_state)
    domain = np.repeat([0, 1], [len(X), len(T)])
    odds, least = None, np.inf
    for strength in _STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000)
        found = cross_val_predict(
            model, features, domain, cv=folds, method="decision_function"
        )
        loss = np.logaddexp(0, np.where(domain == 1, -found, found)).mean()
        if loss < least:
            odds, least = found, loss
    return np.exp(np.clip(odds[: len(X)], -_LARGEST, _LARGEST)) * len(X) / len(T)


def _features(X, T, random_state):
    """Scaled features of both domains, and random ones of the kernel beside."""
    pooled = StandardScaler().fit_transform(np.concatenate([X, T]))
    kernel = Nystroem(
        gamma=median_gamma(pooled[: len(X)], pooled[len(X) :]),
        n_components=min(_FEATURES, len(pooled) // 2),
        random_state=_seed(random_state),
    )
    return np.column_stack([pooled, kernel.fit_transform(pooled)])


def _seed(random_state):
    return random_state.randint(2**31 - 1)


def effective_size(weights):
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


def outside_share(X, T):
    """Share of target rows farther from the source than nearly all of its own rows."""
    X = np.unique(X, axis=0)  # copies have distance 0, which leaves all else outside
    if len(X) == 1:
        return float(np.mean((T != X).any(axis=1)))
    k = min(_NEIGHBOUR, len(X) - 1)
    neighbours = NearestNeighbors(n_neighbors=k).fit(X)
    own = neighbours.kneighbors()[0][:, -1]
    distances = neighbours.kneighbors(T)[0][:, -1]
    return float(np.mean(distances > np.quantile(own, _INSIDE) * (1 + 1e-9)))


def best_feature_auc(X, T, random_state):
    """Area under the ROC curve, on held-out rows, of the feature that was best on the others.

    A classifier of many features misses what one of them tells where rows are few.
    """
    (X_seen, X_held), (T_seen, T_held) = (halves(rows, 0.5, random_state) for rows in (X, T))
    seen = _areas(X_seen, T_seen) - 0.5
    best = int(np.abs(seen).argmax())
    held = _areas(X_held[:, [best]], T_held[:, [best]])[0]
    return float(held if seen[best] >= 0 else 1 - held)


def _areas(X, T):
    """One area a feature."""
    n, m = len(X), len(T)
    ranks = rankdata(np.concatenate([X, T]), axis=0)
    return auc(ranks[n:].sum(axis=0), n, m)


def with_moments_of(X, T, rows):
    """Rows of X's domain moved so that X would have the mean and covariance of T."""
    whiten = _root(X, -0.5)
    colour = _root(T, 0.5)
    return (rows - X.mean(axis=0)) @ whiten @ colour + T.mean(axis=0)


def _root(X, power):
    """Power of the shrunk covariance, with a small ridge where it is singular."""
    covariance = ledoit_wolf(X)[0]
    ridge = _RIDGE * (np.trace(covariance) / len(covariance) or 1.0)
    values, vectors = np.linalg.eigh(covariance + ridge * np.eye(len(covariance)))
    return (vectors * np.maximum(values, ridge) ** power) @ vectors.T
