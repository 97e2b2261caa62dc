"""Comparison of two models on labeled target rows, over several fits of both."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student
from sklearn.metrics import accuracy_score

from sklearn_transfer._validation import TargetDomain, _safe_indexing, format_list

_MOST_GROUPS = 20  # of rows, each of which is left out once


@dataclass(frozen=True, eq=False)
class LabeledTarget:
    """Target rows that have a label, and the groups of a jackknife, or None for accuracy."""

    X: object
    y: np.ndarray
    groups: list[np.ndarray] | None

    def score(self, scorer, model):
        """Score of a model, and an array of parts from which its spread over rows is known.

        The parts are right (1) and wrong (0) per row, or the scores without each group.
        """
        if self.groups is None:
            predicted = np.asarray(model.predict(self.X)).tolist()
            pairs = zip(predicted, self.y.tolist(), strict=True)
            right = np.array([label == truth for label, truth in pairs], dtype=float)
            return float(right.mean()), right
        rows = np.arange(len(self.y))
        parts = [self._score_rows(scorer, model, np.setdiff1d(rows, g)) for g in self.groups]
        return float(scorer(model, self.X, self.y)), np.array(parts)

    def _score_rows(self, scorer, model, rows):
        return float(scorer(model, _safe_indexing(self.X, rows), self.y[rows]))


def select_labeled(X_target, y_target, scorer, random_state):
    """`LabeledTarget` of the rows whose label is present."""
    # Here, because the package of fine-tuners loads Pillow.
    from sklearn_transfer.finetuning.targets.columns import find_missing, make_table

    X = X_target.X if isinstance(X_target, TargetDomain) else X_target
    if X is None:
        raise ValueError(
            "y_target was given and X_target=None: give all target rows as X_target, and as "
            "y_target an entry for each of them, None where it has no label"
        )
    table = make_table(y_target)
    n_target, n_given = X.shape[0] if hasattr(X, "shape") else len(X), len(table)
    if n_given != n_target:
        raise ValueError(
            f"y_target has {n_given} entries and X_target {n_target} rows: give an entry for "
            "each row, None where it has no label"
        )
    rows = np.flatnonzero(~np.any([find_missing(column) for column in table.columns], axis=0))
    if len(rows) < 2:
        raise ValueError(
            f"y_target has {len(rows)} label{'s' * (len(rows) != 1)}: at least two are needed "
            "to compare models on the target"
        )
    columns = [np.array(column[rows].tolist()) for column in table.columns]
    y = columns[0] if len(columns) == 1 else np.column_stack(columns)
    groups = None
    if not (is_accuracy(scorer) and y.ndim == 1):
        order = random_state.permutation(len(rows))
        groups = np.array_split(order, min(len(rows), _MOST_GROUPS))
    return LabeledTarget(_safe_indexing(X, rows), y, groups)


def check_labels_known(labels, y):
    """Raise where no label of the target is a class of the source, as of another type."""
    y = np.asarray(y)
    if labels.ndim > 1 or y.ndim > 1:
        return
    given, known = np.unique(labels).tolist(), np.unique(y).tolist()
    if not set(given) & set(known):
        raise ValueError(
            f"y_target holds {format_list(given, 3)}, and y {format_list(known, 3)}: no label"
            " of the target is among the classes of the source. Give labels of the same type."
        )


def is_accuracy(scorer):
    """Whether a scorer is plain accuracy, which is a mean over rows."""
    plain = getattr(scorer, "_score_func", None) is accuracy_score
    return plain and not getattr(scorer, "_kwargs", None)


def compute_target_interval(differences, parts, sizes, confidence, of_rows):
    """Mean of differences by fit, its interval, its p-value and the verdict.

    `parts` has the difference of each fit in the parts of `LabeledTarget.score`, and `sizes`
    the number of left-out and of training rows of each fit; `of_rows` tells right and wrong
    from a jackknife.
    """
    n_fits, n_parts = parts.shape
    mean = float(differences.mean())
    if of_rows:
        # One row more that each model alone gets right, as there are few such rows.
        by_row = np.concatenate([parts.mean(axis=0), [1.0, -1.0]])
        center, of_target = by_row.mean(), by_row.var() / len(by_row)
    else:
        left_out = parts.mean(axis=0)
        pseudo = n_parts * mean - (n_parts - 1) * left_out
        center, of_target = mean, pseudo.var(ddof=1) / n_parts
    # Jackknife without n_out rows: fits that share rows differ less than fits on other rows.
    ratio = np.mean(sizes[:, 1] / sizes[:, 0])
    of_training = ratio * differences.var(ddof=1)
    variance = of_target + of_training
    result = {"mean_difference": mean, "p_value": math.nan, "verdict": "undecided"}
    if variance <= (8 * np.finfo(float).eps) ** 2 * max(1.0, np.abs(differences).max()):
        return {**result, "interval": (math.nan, math.nan)}
    # Degrees of freedom of a sum of two variances, by Satterthwaite.
    # Two halves of X count once, since one determines the other.
    terms = of_target**2 / (n_parts - 1) + of_training**2 / (n_fits / 2)
    degrees, error = variance**2 / terms, math.sqrt(variance)
    half = error * float(student.ppf((1 + confidence) / 2, degrees))
    low, high = center - half, center + half
    if of_rows:
        low, high = max(low, -1.0), min(high, 1.0)
    result["interval"] = (float(low), float(high))
    result["p_value"] = float(2 * student.sf(abs(center) / error, degrees))
    if center - half > 0 or center + half < 0:
        result["verdict"] = "helps" if center > 0 else "hurts"
    return result
