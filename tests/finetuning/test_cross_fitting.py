"""Folds that do not read y, and features of several networks in one basis."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
)

from sklearn_transfer.finetuning._cross_fitting import (
    compute_scale,
    compute_scores,
    divide_into_folds,
    find_rotation,
    join_rows,
)


def draw(n_rows, n_features, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, n_features))


def draw_rotation(n_features):
    return np.linalg.qr(draw(n_features, n_features, seed=1))[0]


def test_rows_of_one_digest_or_group_are_one_unit():
    units = join_rows(list("abcadef"), ["x", "y", "z", "w", "y", "v", "u"])
    assert units.tolist() == [0, 1, 2, 0, 1, 3, 4]


def test_rows_that_others_connect_are_one_unit():
    assert join_rows(list("aabb"), [1, 2, 2, 3]).tolist() == [0, 0, 0, 0]


def test_a_missing_group_is_named():
    with pytest.raises(ValueError, match="groups has no entry in row 1"):
        join_rows(list("abc"), ["x", None, "y"])


def test_a_number_of_folds_divides_units_evenly():
    units = np.repeat(np.arange(10), 3)
    folds = divide_into_folds(units, 5, np.ones(30))
    assert np.bincount(folds).tolist() == [6] * 5
    assert all(len(set(folds[units == unit])) == 1 for unit in range(10))


def test_rows_without_weight_move_no_other_row():
    weights = np.ones(12)
    weights[[2, 7]] = 0
    with_all = divide_into_folds(np.arange(12), 3, weights)
    kept = weights > 0
    assert (with_all[kept] == divide_into_folds(np.arange(10), 3, np.ones(10))).all()


@pytest.mark.parametrize(
    "cv",
    [
        KFold(3, shuffle=True, random_state=1),
        GroupKFold(3),
        LeaveOneOut(),
        PredefinedSplit([0, 1, 2] * 4),
        list(KFold(3).split(np.zeros(12))),
        None,
    ],
    ids=["KFold", "GroupKFold", "LeaveOneOut", "PredefinedSplit", "list", "None"],
)
def test_splitters_keep_units_together(cv):
    units = np.array([0, 1, 2, 3, 4, 5, 0, 1, 2, 6, 7, 8])
    folds = divide_into_folds(units, cv, np.ones(12))
    assert all(len(set(folds[units == unit])) == 1 for unit in units)
    assert len(set(folds)) > 1


def test_a_splitter_decides_on_the_folds():
    expected = np.empty(10, dtype=int)
    splitter = KFold(5, shuffle=True, random_state=3)
    for fold, (_, held) in enumerate(splitter.split(expected)):
        expected[held] = fold
    assert (divide_into_folds(np.arange(10), splitter, np.ones(10)) == expected).all()


@pytest.mark.parametrize(
    ("cv", "match"),
    [
        (StratifiedKFold(3), "does not divide rows without y .* give a number of folds"),
        (ShuffleSplit(3, random_state=0), "holds row . out . times"),
        ([([1], [0]), ([0], [1, 2])], "neither trains on nor holds out row 2"),
        ([([0, 1, 2], [0]), ([0], [1, 2])], "both trains on and holds out row 0"),
        (4, "only 3 can be made"),
        (PredefinedSplit([0, 1, 1]), None),
        ([([1, 2], [0]), ([0], [1, 2])], None),
    ],
    ids=["stratified", "shuffled", "purged", "overlap", "too many", "fixed", "list"],
)
def test_folds_that_cannot_be_used_are_refused(cv, match):
    if match is None:
        assert divide_into_folds(np.arange(3), cv, np.ones(3)).tolist() == [0, 1, 1]
        return
    with pytest.raises(ValueError, match=match):
        divide_into_folds(np.arange(3), cv, np.ones(3))


def test_folds_of_a_splitter_that_units_join_are_refused():
    with pytest.raises(ValueError, match="leaves no row to train on"):
        divide_into_folds(np.zeros(4, dtype=int), KFold(2), np.ones(4))


def test_scale_is_the_standard_deviation_of_repeated_rows():
    features, weights = draw(15, 3), np.arange(15) % 3
    features[:, 2] = 7
    expected = np.repeat(features, weights, axis=0).std(axis=0)
    expected[2] = 1
    assert np.allclose(compute_scale(features, weights), expected)


@pytest.mark.parametrize("n_rows", [12, 40])
def test_scores_are_those_of_principal_components(n_rows):
    features = draw(n_rows, 20) * np.arange(1, 21)
    found = compute_scores(features, np.ones(n_rows), 4)
    expected = PCA(4, svd_solver="full").fit_transform(features)
    assert np.allclose(np.abs(found), np.abs(expected), atol=1e-9)


def test_scores_of_weighted_rows_are_those_of_repeated_ones():
    features, weights = draw(15, 6), np.arange(15) % 3
    found = compute_scores(features, weights, 3)[weights > 0]
    repeated = np.repeat(features, weights, axis=0)
    expected = compute_scores(repeated, np.ones(len(repeated)), 3)
    firsts = np.cumsum(weights[weights > 0]) - 1
    assert np.allclose(found, expected[firsts])


def test_scores_are_no_more_than_the_rank():
    features = draw(30, 2) @ draw(2, 9, seed=1)
    assert compute_scores(features, np.ones(30), 5).shape == (30, 2)
    assert compute_scores(features, np.ones(30), None).shape == (30, 2)
    assert compute_scores(np.ones((4, 3)), np.ones(4), 5).shape == (4, 1)


def test_rotation_solves_the_orthogonal_procrustes_problem():
    features, scores = draw(30, 5), draw(30, 5, seed=2)
    mean, rotation = find_rotation(features, scores, np.ones(30))
    expected, _ = orthogonal_procrustes(features - features.mean(axis=0), scores)
    assert np.allclose(mean, features.mean(axis=0))
    assert np.allclose(rotation, expected)


def test_turned_features_come_back_to_the_scores():
    features = draw(30, 6)
    scores = compute_scores(features, np.ones(30), 4)
    turned = features @ draw_rotation(6) + 3
    mean, rotation = find_rotation(turned, scores, np.ones(30))
    assert np.allclose((turned - mean) @ rotation, scores)


def test_columns_of_the_rotation_are_orthonormal():
    _, rotation = find_rotation(draw(30, 7), draw(30, 3, seed=2), np.ones(30))
    assert np.allclose(rotation.T @ rotation, np.eye(3))
