"""Source and target of a fit: samples of both, and the few labels of the target."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_consistent_length

from sklearn_transfer._modalities.samples import take_samples
from sklearn_transfer._validation import TargetDomain, check_one_form, find_source_rows
from sklearn_transfer.finetuning.targets.columns import (
    convert_target,
    find_missing,
    is_indicator,
    make_table,
)
from sklearn_transfer.finetuning.targets.rows import (
    LabeledRows,
    get_first_column,
    join_rows,
    select_rows,
    take_targets,
)

# What missing labels become where an array of strings is made of them.
_MARKS = ("nan", "None", "<NA>")


@dataclass(frozen=True, eq=False)
class Domains:
    """Samples of a fit by domain.

    Parameters
    ----------
    source : LabeledRows
        Samples of the source.
    target : sequence of samples, default=None
        Samples of the target, labeled or not.
    numbers : ndarray of int, default=None
        Row numbers of the target, as those of `LabeledRows`.
    labeled : LabeledRows, default=None
        Samples of the target that have labels.
    """

    source: LabeledRows
    target: object = None
    numbers: np.ndarray | None = None
    labeled: LabeledRows | None = None

    def add_labeled(self, rows):
        """Rows of the source with those of the target that have labels."""
        return rows if self.labeled is None else join_rows(rows, self.labeled)


def read_domains(
    estimator, X, y, sample_weight, *, X_target=None, y_target=None, sample_domain=None, reset
):
    """`Domains` of the arguments of `fit`; raises ValueError where they do not fit together.

    `reset` is that of scikit-learn's `validate_data`.
    """
    check_one_form(X_target, sample_domain)
    X_target, y_target = _open_target(X_target, y_target)
    if y_target is not None and X_target is None and sample_domain is None:
        raise ValueError(
            "y_target was given without a target: pass X_target with the samples that it"
            " labels, or sample_domain"
        )
    owner, samples = type(estimator).__name__, estimator._check_samples(X, reset=reset)
    if sample_domain is not None:
        found = _divide_rows(samples, y, sample_weight, sample_domain, owner)
    else:
        found = Domains(select_rows(samples, y, sample_weight, owner))
        if X_target is not None:
            target = _check_target(estimator, X_target)
            found = replace(found, target=target, numbers=~np.arange(len(target)))
    if y_target is None:
        return found
    found = replace(found, labeled=_label(found, y_target))
    if found.labeled is None:
        return found
    if is_classifier(estimator) and estimator.tasks is None:
        _check_same_kind(make_table(found.source.y), make_table(found.labeled.y))
    if estimator._get_source().preprocess is None:
        _check_same_shape(found.source.samples, found.labeled.samples)
    return found


def take_source(X, y, sample_weight, sample_domain):
    """Arguments of a fit without the rows of the target, as a dict, for callbacks.

    Where both domains are stacked they are functions that return them.
    """
    given = {"X": X, "y": y, "sample_weight": sample_weight}
    if sample_domain is None:
        return given

    def take(values):
        rows = np.flatnonzero(find_source_rows(X, get_first_column(y), sample_domain))
        return take_targets(values, rows)

    return {n: None if v is None else partial(take, v) for n, v in given.items()}


def check_no_marks(domains):
    """Raise where marks of missing labels in y_target would become a class of their own."""
    if domains.labeled is None:
        return
    tables = make_table(domains.source.y), make_table(domains.labeled.y)
    for column, others in zip(*(table.columns for table in tables), strict=False):
        known = set(column[~find_missing(column)].tolist())
        for label in others[~find_missing(others)].tolist():
            if label not in known and (label in _MARKS or label == -1):
                raise ValueError(
                    f"y_target holds {label!r}, which is no label of y but often marks a"
                    " missing one: give None or NaN where a label is missing, or another name"
                    " to the class"
                )


def _open_target(X_target, y_target):
    """Samples of the target and their labels."""
    if not isinstance(X_target, TargetDomain):
        return X_target, y_target
    if X_target.y is not None and y_target is not None:
        raise ValueError(
            "y_target was given beside TargetDomain(X, y), which holds labels too: give one of"
            " them"
        )
    return X_target.X, y_target if X_target.y is None else X_target.y


def _divide_rows(samples, y, sample_weight, sample_domain, owner):
    """`Domains` of stacked rows. Targets and weights of target rows are never read."""
    if y is None:
        return Domains(select_rows(samples, y, sample_weight, owner))
    y = convert_target(y)
    is_source = find_source_rows(samples, get_first_column(y), sample_domain)
    rows, others = np.flatnonzero(is_source), np.flatnonzero(~is_source)
    if sample_weight is not None:
        check_consistent_length(samples, sample_weight)
        sample_weight = np.asarray(sample_weight)[rows]
    y = _forget_width(take_targets(y, rows))
    source = select_rows(take_samples(samples, rows), y, sample_weight, owner)
    source = replace(source, numbers=rows[source.numbers])
    if not len(others):
        return Domains(source)
    return Domains(source, take_samples(samples, others), others)


def _forget_width(y):
    """Strings in an array no wider than they are, since that depends on what was left out."""
    is_text = isinstance(y, np.ndarray) and y.dtype.kind in "US"
    return np.array(y.tolist()) if is_text else y


def _check_target(estimator, X_target):
    try:
        return estimator._check_samples(X_target, reset=False)
    except ValueError as error:
        raise ValueError(f"X_target: {error}") from error


def _check_same_kind(table, labeled):
    """Raise where labels of the target would make several labels into several tasks."""
    if len(table.columns) > 1 and is_indicator(table) and not is_indicator(labeled):
        raise ValueError(
            "y holds several labels per row, as 0 and 1, and y_target holds other entries:"
            " give 0, 1, or NaN where an entry is missing"
        )


def _check_same_shape(samples, labeled):
    """Raise where labeled rows of both domains cannot be in one batch."""
    if samples.shape[1:] != labeled.shape[1:]:
        raise ValueError(
            f"y_target labels rows of shape {labeled.shape[1:]}, and rows of X have shape"
            f" {samples.shape[1:]}: rows with a label are trained on together, so bring them"
            " to one shape"
        )


def _label(domains, y_target):
    """`LabeledRows` of the target's samples that have a label, or None.

    Each weighs as much as a row of the source does on average.
    """
    n_target = 0 if domains.target is None else len(domains.target)
    y_target = convert_target(y_target)
    try:
        table = make_table(y_target)
    except ValueError as error:
        raise ValueError(f"y_target: {error}") from error
    if len(table) != n_target:
        raise ValueError(
            f"y_target has {len(table)} entries and the target {n_target} samples: give one"
            " per sample, None or NaN where it is missing"
        )
    present = ~np.all([find_missing(column) for column in table.columns], axis=0)
    rows = np.flatnonzero(present)
    if not len(rows):
        return None
    return LabeledRows(
        take_samples(domains.target, rows),
        take_targets(y_target, rows),
        np.full(len(rows), domains.source.weights.mean()),
        domains.numbers[rows],
    )
