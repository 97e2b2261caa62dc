import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from sklearn_transfer.selection._neighbors import (
    compare_parts,
    compute_neighbor_information,
    find_neighbors,
)


def draw_probabilities(n=60, n_classes=4, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(n_classes, 0.5), n)


def test_neighbors_are_those_of_all_distances():
    X = np.random.default_rng(0).normal(size=(40, 3)) * [1, 10, 0.1]
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    distances = np.linalg.norm(scaled[:, None] - scaled, axis=2)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(find_neighbors(X, 5), np.argsort(distances, axis=1)[:, :5])


def test_a_few_rows_have_fewer_neighbors():
    assert find_neighbors(np.eye(3)).shape == (3, 2)


def test_copies_of_a_row_are_its_neighbors():
    X = np.repeat(np.random.default_rng(0).normal(size=(10, 2)), 4, axis=0)
    groups = find_neighbors(X, 3) // 4
    np.testing.assert_array_equal(groups, np.repeat(np.arange(10), 4)[:, None] * [1, 1, 1])


def test_hard_predictions_have_the_mutual_information_of_pairs():
    """With probabilities of 0 and 1, the score is that of scikit-learn on all pairs."""
    rng = np.random.default_rng(0)
    labels, neighbors = rng.integers(3, size=50), rng.integers(50, size=(50, 4))
    first, second = np.repeat(labels, 4), labels[neighbors].ravel()
    # Each pair counts in both orders, as the score does not depend on which row is first.
    both = np.concatenate([first, second]), np.concatenate([second, first])
    expected = mutual_info_score(*both) / np.log(3)
    found = compute_neighbor_information(np.eye(3)[labels], neighbors).mean()
    assert found == pytest.approx(expected, rel=1e-9)


def test_soft_predictions_follow_the_formula():
    P, neighbors = draw_probabilities(), find_neighbors(draw_probabilities(seed=1))
    joint = np.zeros((4, 4))
    for row in range(len(P)):
        for other in neighbors[row]:
            joint += np.outer(P[row], P[other]) / neighbors.size
    joint = (joint + joint.T) / 2
    share = joint.sum(axis=1)
    expected = (joint * np.log(joint / np.outer(share, share))).sum() / np.log(4)
    found = compute_neighbor_information(P, neighbors).mean()
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("share", [0.0, 1e-3])
def test_a_collapsed_model_scores_nothing(share):
    P = np.tile([1 - share, share], (30, 1))
    neighbors = find_neighbors(np.random.default_rng(0).normal(size=(30, 2)))
    assert compute_neighbor_information(P, neighbors).mean() == pytest.approx(0, abs=1e-6)


def test_clusters_with_a_class_each_score_one():
    labels = np.repeat(np.arange(4), 20)
    X = np.random.default_rng(0).normal(100 * labels[:, None] * [1, -1], 1)
    score = compute_neighbor_information(np.eye(4)[labels], find_neighbors(X)).mean()
    assert score == pytest.approx(1)


def test_the_error_of_a_difference_is_that_of_redrawn_rows():
    rng = np.random.default_rng(0)
    n = 400
    own = draw_probabilities(2 * n, seed=1)
    neighbors = (
        np.arange(2 * n).reshape(-1, 1) ^ 1
    )  # pairs of rows, so that rows are drawn alike
    other = 0.8 * own + 0.2 * own[rng.permutation(2 * n)]
    parts = [compute_neighbor_information(P, neighbors) for P in (own, other)]
    by_pair = [part.reshape(n, 2).mean(axis=1) for part in parts]
    _, error = compare_parts(*by_pair)
    drawn = []
    for _ in range(300):
        pairs = rng.integers(n, size=n)
        rows = np.stack([2 * pairs, 2 * pairs + 1], axis=1).ravel()
        first, second = (
            compute_neighbor_information(P[rows], neighbors).mean() for P in (own, other)
        )
        drawn.append(first - second)
    assert error == pytest.approx(np.std(drawn), rel=0.2)
