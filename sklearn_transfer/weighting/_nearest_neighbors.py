"""Weights that count the nearest target rows of each source row."""

from numbers import Integral, Real

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval

from sklearn_transfer._kernels import iterate_row_blocks
from sklearn_transfer.weighting._base import BaseWeighter

_TIE = 1e-7  # of the spread of the features: rounding of distances


class NearestNeighborWeights(BaseWeighter):
    """Weights by the number of target rows that are nearest to each source row.

    Use it in few dimensions, as a baseline without parameters to tune.

    Parameters
    ----------
    n_neighbors : int, default=1
        Number of nearest source rows among which each target row is divided equally; at most
        n_source. More make weights smoother and blur the target.
    smoothing : float, default=0
        Added to each count. The paper's rule is 1, so that no row is left out; with equally
        many rows in both domains it halves the shift toward the target.
    standardize : bool, default=True
        Whether features are divided by their standard deviation over both domains, so that
        units do not matter. Give False if distances are meaningful as they are, as they are
        for features of one network.

    Attributes
    ----------
    weights_ : ndarray of shape (n_source,)
        Weights of the source rows in their order: at least 0, mean 1.
    ess_ : float
        Effective sample size, (sum of weights)^2 / (sum of squared weights).
    mean_weight_ : float
        Mean of the estimated ratio, (count + smoothing) * n / m; 1 + smoothing * n / m.
    counts_ : ndarray of shape (n_source,)
        Target rows that each source row has; a shared one counts in parts.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features where X has them.

    See Also
    --------
    KMM : Weights that match means in a kernel's space, in many dimensions too.
    KLIEP : The ratio by Gaussian kernels.
    DomainClassifierWeights : The ratio by a classifier of domains.

    Notes
    -----
    Source rows at the same distance from a target row share it, so duplicates do not depend
    on their order; distances within 1e-7 of the features' spread are the same. There is no
    `predict_weights`: a row that was not in `fit` has no cell.

    In many dimensions the nearest row is near in few features, and the weights do not reach
    the target: of 2000 normal rows, one standard deviation apart in one feature, the
    weighted mean comes 99 % of the way in 1 dimension, 87 % in 5 and 51 % in 20. More
    neighbors make that less, and standardizing does not help: fewer features do. Memory
    grows with n + m, time with that of `NearestNeighbors`.

    **Assumption.** As of `KMM`: the same dependence of labels on inputs, and source rows
    wherever the target has some. Where the style of all samples has changed, a few source
    rows that happen to lie toward the target are nearest to most of it.

    **Evidence.** On fourteen directions of real images (`python -m benchmarks.adaptation`) a
    logistic regression had a mean accuracy of 64.2 % unweighted and 59.0 % with these weights;
    on twelve others it was 72.7 and 67.1 %. Ten of the fourteen fell, by up to 32 points; the
    largest gain, 12 points, was with 64 features and other class shares.

    References
    ----------
    Loog, M. (2012). Nearest neighbor-based importance weighting. MLSP.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer import NearestNeighborWeights
    >>> X, X_target = np.array([[0.0], [1.0], [2.0]]), np.array([[0.9], [1.2], [1.9]])
    >>> NearestNeighborWeights().fit(X, X_target=X_target).weights_
    array([0., 2., 1.])
    """

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "smoothing": [Interval(Real, 0, None, closed="left")],
        "standardize": ["boolean"],
    }

    def __init__(self, *, n_neighbors=1, smoothing=0.0, standardize=True):
        self.n_neighbors = n_neighbors
        self.smoothing = smoothing
        self.standardize = standardize

    def _estimate(self, X_source, X_target, y_source):
        return self._estimate_beside(np.zeros(len(X_source), bool), X_source, X_target, None)

    def _estimate_beside(self, strays, X_source, X_target, y_source):
        X, T = _center_domains(X_source, X_target, self.standardize, ~strays)
        self.counts_ = count_shared(X, T, min(self.n_neighbors, len(X)))
        return (self.counts_ + self.smoothing) * (len(X) / len(T))


def _center_domains(X, T, standardize, usual):
    """Rows of both domains around their mean, in units of their spread.

    Rows of X that are not `usual` affect neither.
    """
    rows, usual = np.concatenate([X, T]), np.concatenate([usual, np.ones(len(T), bool)])
    rows -= rows[usual].mean(axis=0)
    largest = np.abs(rows[usual]).max(axis=0)
    if not standardize:
        largest[:] = largest.max()
    rows /= np.where(largest > 0, largest, 1)
    seen = rows[usual]
    spread = seen.std(axis=0) if standardize else np.sqrt(np.mean(seen**2))
    rows /= np.where(spread > 0, spread, 1)
    return rows[: len(X)], rows[len(X) :]


def count_shared(X, T, k):
    """Rows of T by their k nearest rows of X, in equal parts; those at a tie share theirs."""
    neighbors = NearestNeighbors(n_neighbors=min(k + 1, len(X))).fit(X)
    tie = _TIE * np.sqrt(X.shape[1])
    counts = np.zeros(len(X))
    for rows in iterate_row_blocks(len(T), len(X)):
        distances, places = neighbors.kneighbors(T[rows])
        reach = distances[:, k - 1] + tie
        tied = np.zeros(len(reach), dtype=bool)
        if distances.shape[1] > k:
            tied = distances[:, k] <= reach
        counts += np.bincount(places[~tied, :k].ravel(), minlength=len(X)) / k
        if tied.any():
            counts += _count_tied(neighbors, T[rows][tied], reach[tied], k, tie)
    return counts


def _count_tied(neighbors, T, reach, k, tie):
    """Counts where more than k rows of X are at most at the k-th distance."""
    counts = np.zeros(neighbors.n_samples_fit_)
    distances, places = neighbors.radius_neighbors(T, radius=reach.max())
    for near, place, radius in zip(distances, places, reach, strict=True):
        inside = near < radius - 2 * tie
        border = (near <= radius) & ~inside
        counts[place[inside]] += 1 / k
        counts[place[border]] += (1 - inside.sum() / k) / border.sum()
    return counts
