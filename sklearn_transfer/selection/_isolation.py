"""Clusters of samples that are much more like each other than like any other sample."""

import numpy as np

_FEW = 10  # samples of which all may be copies of each other


def find_isolated_pairs(n_samples, pairs, similarity, threshold, ratio):
    """Whether each pair lies in a cluster that stands apart from all other samples.

    Clusters are those of single linkage by the distance 1 - similarity. One stands apart if
    the links that hold it together are of at most ``1 - threshold``, and of at most `ratio`
    times its distance to the nearest sample outside. Different pictures that all resemble
    each other, such as digits, form no such cluster. More than half of the samples, if they
    are not few, have too little outside to stand apart from: their links must be of at most
    ``ratio * (1 - threshold)``.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    pairs : ndarray of shape (n_pairs, 2)
        Rows that were compared; others count as of similarity 0.
    similarity : ndarray of shape (n_pairs,)
        Their similarity, at most 1.
    threshold, ratio : float
        See above.

    Returns
    -------
    is_isolated : ndarray of bool of shape (n_pairs,)
    """
    distance = 1 - np.asarray(similarity, dtype=np.float64)
    children, sizes, births, deaths = _link(n_samples, pairs, distance)
    labels = np.arange(n_samples)
    is_most = sizes > max(n_samples / 2, _FEW)
    deaths[is_most] = np.minimum(deaths[is_most], 1 - threshold)
    is_apart = (births <= 1 - threshold) & (births <= ratio * deaths)
    # From the last cluster to the first, so that what lies in one that stands apart is done.
    inside = np.full(len(births), -1)
    for cluster in range(len(births) - 1, n_samples - 1, -1):
        if inside[cluster] < 0 and is_apart[cluster]:
            inside[cluster] = cluster
        inside[children[cluster]] = inside[cluster]
    labels = np.where(inside[:n_samples] < 0, labels, inside[:n_samples])
    return labels[pairs[:, 0]] == labels[pairs[:, 1]]


def _link(n_samples, pairs, distance):
    """Clusters of single linkage: parts and size of each, and when it begins and ends."""
    parents, sizes = np.arange(2 * n_samples), np.ones(2 * n_samples, dtype=np.intp)
    children, n_clusters = np.zeros((2 * n_samples, 2), dtype=np.intp), n_samples
    births, deaths = np.zeros(2 * n_samples), np.ones(2 * n_samples)
    for place in np.argsort(distance, kind="stable"):
        if distance[place] >= 1:
            break
        first, second = (_find_top(parents, row) for row in pairs[place])
        if first != second:
            deaths[[first, second]] = births[n_clusters] = distance[place]
            parents[[first, second]] = n_clusters
            children[n_clusters] = first, second
            sizes[n_clusters] = sizes[first] + sizes[second]
            n_clusters += 1
    return tuple(found[:n_clusters] for found in (children, sizes, births, deaths))


def _find_top(parents, cluster):
    """The largest cluster around one so far; the way to it is shortened."""
    while parents[cluster] != cluster:
        parents[cluster] = parents[parents[cluster]]
        cluster = parents[cluster]
    return cluster
