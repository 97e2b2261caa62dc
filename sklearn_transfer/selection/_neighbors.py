"""Information that predictions for target rows have of those for their neighbors."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

N_NEIGHBORS = 10
_N_COMPONENTS = 50  # distances in more dimensions tell neighbors from others less and less
_TINY = 1e-12  # probabilities under it add nothing to a sum of p log p


def find_neighbors(features, n_neighbors=N_NEIGHBORS):
    """Row numbers of the nearest neighbors of each row, (n, n_neighbors), itself left out.

    Distances are Euclidean between at most 50 principal components of scaled features.
    """
    rows = StandardScaler().fit_transform(np.asarray(features, dtype=np.float64))
    n, d = rows.shape
    if min(n, d) > _N_COMPONENTS:
        rows = PCA(_N_COMPONENTS, svd_solver="covariance_eigh").fit_transform(rows)
    n_neighbors = min(n_neighbors, n - 1)
    found = NearestNeighbors(n_neighbors=n_neighbors).fit(rows)
    return found.kneighbors(return_distance=False)


def compute_neighbor_information(probabilities, neighbors, shares=None):
    """What each row adds to the information that classes of neighbors have of each other.

    With J the mean over rows of the products of a row's probabilities and the mean ones of
    its neighbors, this is the mutual information of J's two sides, over its maximum, the
    logarithm of the number of classes [Ji 2019].

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_classes)
        Predicted probabilities of target rows.
    neighbors : ndarray of shape (n, n_neighbors)
        Row numbers of the neighbors of each row.
    shares : ndarray of shape (n_classes,), default=None
        Shares of the classes that predictions are to have: the score is lowered by their
        divergence from these shares in place of that from equal ones.

    Returns
    -------
    parts : ndarray of shape (n,)
        Their mean is the score, from 0, where predictions for neighbors have nothing in
        common or all are the same, to 1. Their spread gives its standard error, since they
        are the score's influence function but for a constant.
    """
    own = np.asarray(probabilities, dtype=np.float64)
    beside = own[neighbors].mean(axis=1)
    joint = own.T @ beside / len(own)
    joint = (joint + joint.T) / 2
    share = joint.sum(axis=0)
    ratio = np.log(np.maximum(joint, _TINY)) - np.log(
        np.maximum(np.outer(share, share), _TINY)
    )
    parts = np.einsum("ik,kl,il->i", own, ratio, beside)
    if shares is not None:
        parts += (own + beside) / 2 @ np.log(shares * own.shape[1])
    return parts / np.log(own.shape[1])


def compare_parts(parts, others):
    """Mean difference of two scores of the same rows, and its standard error."""
    differences = parts - others
    error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else 0
    return float(differences.mean()), float(error)
