"""Tests of clusters that stand apart, against clusters that scikit-learn links."""

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering

from sklearn_transfer.selection._isolation import find_isolated_pairs


def list_pairs(points):
    pairs = np.array([(i, j) for i in range(len(points)) for j in range(i + 1, len(points))])
    distance = np.abs(points[pairs[:, 0]] - points[pairs[:, 1]])
    return pairs, 1 - np.minimum(distance, 1)


def test_a_tight_group_is_told_from_points_that_are_evenly_close():
    points = np.array([0, 0.01, 0.02, 0.2, 0.3, 0.4, 0.5])
    pairs, similarity = list_pairs(np.concatenate([points, np.arange(9) / 10 + 0.6]))
    found = find_isolated_pairs(16, pairs, similarity, threshold=0.8, ratio=0.4)
    np.testing.assert_array_equal(pairs[found], [[0, 1], [0, 2], [1, 2]])


@pytest.mark.parametrize(("step", "are_copies"), [(0.07, True), (0.09, False)])
def test_all_samples_are_copies_only_by_closer_links(step, are_copies):
    pairs, similarity = list_pairs(np.arange(12) * step)
    found = find_isolated_pairs(12, pairs, similarity, threshold=0.8, ratio=0.4)
    assert found.all() == found.any() == are_copies


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_of_single_linkage(seed):
    """Every distance at which single linkage may be cut is tried by scikit-learn."""
    rng = np.random.default_rng(seed)
    centers = rng.random(8)
    points = np.concatenate([centers, centers[:4] + rng.normal(0, 0.004, 4), rng.random(4)])
    pairs, similarity = list_pairs(points)
    found = find_isolated_pairs(16, pairs, similarity, threshold=0.95, ratio=0.3)
    expected = set()
    for cut in np.sort(1 - similarity) + 1e-12:
        linked = AgglomerativeClustering(None, linkage="single", distance_threshold=cut)
        labels = linked.fit(points[:, None]).labels_
        for label in np.unique(labels):
            inside = np.sort(points[labels == label])
            if len(inside) == 1:
                continue
            birth = np.diff(inside).max()
            rest = points[labels != label]
            death = np.abs(rest[:, None] - inside).min(initial=1)
            if birth <= 0.05 and birth <= 0.3 * death:
                rows = np.flatnonzero(labels == label)
                expected |= {(i, j) for i in rows for j in rows if i < j}
    assert set(map(tuple, pairs[found].tolist())) == expected


def test_without_pairs_nothing_is_found():
    pairs = np.empty((0, 2), np.intp)
    assert len(find_isolated_pairs(3, pairs, np.empty(0), threshold=0.8, ratio=0.4)) == 0
