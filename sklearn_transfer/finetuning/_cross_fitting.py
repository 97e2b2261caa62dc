"""Cross-fitting of features: folds that do not read y, and one basis for several networks."""

from numbers import Integral

import numpy as np
from scipy import linalg
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import KFold, check_cv
from sklearn.utils.validation import check_consistent_length

from sklearn_transfer._validation import column_or_1d, shorten
from sklearn_transfer.finetuning.targets.columns import find_missing

# Below this share of the largest one, a singular value of float32 features is rounding.
_ROUNDING = 1e-6


def join_rows(digests, groups=None):
    """Number for each row of the unit that it belongs to, counted from 0.

    Rows of one digest or of one group are in one unit, and so are rows that others connect.
    """
    labels = [digests]
    if groups is not None:
        groups = column_or_1d(groups)
        check_consistent_length(digests, groups)
        groups = np.asarray(groups)
        missing = np.flatnonzero(find_missing(groups))
        if len(missing):
            raise ValueError(
                f"groups has no entry in row {missing[0]}: give each row the name of its group"
            )
        labels.append(groups.tolist())
    rows, columns, known = [], [], {}
    for kind, names in enumerate(labels):
        for row, name in enumerate(names):
            rows.append(row)
            columns.append(known.setdefault((kind, name), len(known) + len(digests)))
    n_nodes = len(digests) + len(known)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n_nodes, n_nodes))
    units = connected_components(graph, directed=False)[1][: len(digests)]
    return _rank_by_appearance(units)


def divide_into_folds(units, cv, weights):
    """Fold of each row, from 0; rows of one unit are in one fold.

    A number `cv` divides the units that have a row with a weight above 0, so that other rows
    have no effect on them. The folds of a splitter are those of all rows; rows of one unit
    are in that of the first of them.
    """
    if isinstance(cv, Integral):
        return _divide_units(units, cv, weights)
    folds, firsts = _split_rows(units, cv), np.unique(units, return_index=True)[1]
    folds = folds[firsts][units]
    if len(np.unique(folds)) < 2:
        raise ValueError(
            f"cv={shorten(cv)} leaves no row to train on, since all rows are in one fold: rows"
            " that are equal, or of one group, are kept together, so give other folds or"
            " groups"
        )
    return folds


def _divide_units(units, n_folds, weights):
    counted = np.unique(units[weights > 0])
    if len(counted) < n_folds:
        raise ValueError(
            f"cv={n_folds} folds were asked for, but only {len(counted)} can be made, since"
            " rows that are equal, or of one group, are kept together, and those of weight 0"
            " left out: give a smaller cv"
        )
    fold_of_unit = np.zeros(units.max() + 1, dtype=int)
    splitter = KFold(n_folds, shuffle=True, random_state=0)
    for fold, (_, held) in enumerate(splitter.split(counted)):
        fold_of_unit[counted[held]] = fold
    return fold_of_unit[units]


def _split_rows(units, cv):
    """Fold of each row by a splitter, which is not given y."""
    n_rows, splitter = len(units), check_cv(cv)
    groups = units if _takes_groups(splitter) else None
    try:
        splits = list(splitter.split(np.zeros((n_rows, 1)), None, groups))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cv={shorten(cv)} does not divide rows without y ({error}): folds must not depend"
            " on y, so give a number of folds, KFold or GroupKFold"
        ) from error
    folds, counts = np.zeros(n_rows, dtype=int), np.zeros(n_rows, dtype=int)
    for fold, (train, held) in enumerate(splits):
        counts[held] += 1
        folds[held] = fold
        _check_train_rows(train, held, n_rows, cv)
    wrong = np.flatnonzero(counts != 1)
    if len(wrong):
        raise ValueError(
            f"cv={shorten(cv)} holds row {wrong[0]} out {counts[wrong[0]]} times: give folds"
            " that hold each row out once, as KFold does"
        )
    return folds


def _check_train_rows(train, held, n_rows, cv):
    """Raise where a fold trains on other rows than all that it does not hold out."""
    uses = np.zeros(n_rows, dtype=int)
    for rows in (train, held):
        uses[rows] += 1
    wrong = np.flatnonzero(uses != 1)
    if len(wrong):
        row, where = wrong[0], "neither trains on nor holds out"
        where = "both trains on and holds out" if uses[row] else where
        raise ValueError(
            f"cv={shorten(cv)} {where} row {row} in one of its folds, while networks are"
            " trained on all rows that their fold does not hold out: give such folds, and"
            " groups for rows that must stay together"
        )


def _takes_groups(splitter):
    """Whether a splitter reads groups; those of scikit-learn that do not warn of them."""
    if not hasattr(splitter, "get_metadata_routing"):
        return True
    return bool(splitter.get_metadata_routing().consumes("split", ["groups"]))


def compute_scale(features, weights):
    """Weighted standard deviation of each feature; 1 where it is constant."""
    centered, shares = _center(features, weights)[1:]
    scale = np.sqrt(shares @ np.square(centered))
    return np.where(scale > 0, scale, 1.0)


def compute_scores(features, weights, n_components):
    """Scores (n_rows, n_components) on the principal components of weighted rows.

    There are fewer where the features have a smaller rank; at least one.
    """
    centered, shares = _center(features, weights)[1:]
    _, sizes, directions = linalg.svd(
        _reduce_rows(centered * np.sqrt(shares)[:, None]), full_matrices=False
    )
    rank = max(int((sizes > _ROUNDING * sizes[0]).sum()), 1)
    directions = directions[: rank if n_components is None else min(n_components, rank)]
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    return centered @ (directions * signs[:, None]).T


def find_rotation(features, scores, weights):
    """Mean, and the orthogonal map (n_features, n_components) that takes features to scores.

    With G the centered features, B the scores and W the diagonal matrix of weights, it is the
    Q of orthonormal columns that maximizes the trace of Q'G'WB [Schoenemann 1966].
    """
    mean, centered, shares = _center(features, weights)
    cross = centered.T @ (shares[:, None] * scores)
    left, _, right = linalg.svd(cross, full_matrices=False)
    return mean, left @ right


def _center(features, weights):
    """Weighted mean, features without it, and weights of sum 1.

    Features that are NaN, of missing entries, are left out of the mean and then 0.
    """
    features = np.asarray(features, dtype=np.float64)
    shares = weights / weights.sum()
    missing = np.isnan(features)
    if not missing.any():
        mean = shares @ features
        return mean, features - mean, shares
    mean = shares @ np.where(missing, 0, features) / (shares @ ~missing)
    return mean, np.where(missing, 0, features - mean), shares


def _reduce_rows(matrix):
    """Matrix of the same singular values and right vectors, with no more rows than columns."""
    if len(matrix) <= matrix.shape[1]:
        return matrix
    return linalg.qr(matrix, mode="r")[0][: matrix.shape[1]]


def _rank_by_appearance(labels):
    """Labels as numbers in the order in which they appear."""
    _, firsts, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.empty(len(firsts), dtype=int)
    order[np.argsort(firsts)] = np.arange(len(firsts))
    return order[inverse]
