"""Tasks of a network, each with a range of its outputs, an encoding of y and a score."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.metrics import r2_score
from sklearn.utils import assert_all_finite

from sklearn_transfer._validation import format_list, shorten, suggest_near
from sklearn_transfer.finetuning.targets.columns import (
    Block,
    RowError,
    check_labels,
    make_table,
    read_labels,
    read_numbers,
)


@dataclass(frozen=True, eq=False)
class Task:
    """One task; `columns` of the output are its own, as are `width` columns of y.

    `classes` are the labels of a multiclass task; `mean` and `scale` hold one number for each
    output of a regression.
    """

    name: str
    columns: slice
    weight: float = 1.0
    classes: np.ndarray | None = None
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    kind: ClassVar[str]

    @property
    def n_outputs(self):
        """Number of columns of the output."""
        return self.columns.stop - self.columns.start

    @property
    def width(self):
        """Number of columns of y."""
        return self.n_outputs

    def predict_proba(self, output):
        """Probabilities, or None where the task has none."""
        return None

    def predict_log_proba(self, output):
        """Logarithms of the probabilities, or None where the task has none."""
        return None

    def decision_function(self, output):
        """Logits, or None where the task has none."""
        return None

    def list_codes(self, block):
        """Pairs of codes (-1: missing) and their classes, one per column of y."""
        return []


class MulticlassTask(Task):
    """One class of several, by a softmax."""

    kind = "multiclass"
    width = 1

    @classmethod
    def learn(cls, name, weight, start, block, *, classes=None, sample_weight=None):
        """The task of one column of y, with the classes given or found in it."""
        labels, missing = read_labels(block.values[0], block.where)
        _check_rule(missing, block)
        found = _find_classes(labels, classes, block.where)
        check_labels(labels, block.where)
        task = cls(name, slice(start, start + len(found)), weight, found)
        if classes is not None:
            task.encode(block)  # refuses labels that they leave out
        return task

    def encode(self, block):
        """int64 codes of labels, -1 where missing; an error where unknown."""
        found = self._encode_known(block)
        _check_rule(found == -1, block)
        if (found == -2).any():
            row = int(np.argmax(found == -2))
            label = block.values[0][row : row + 1].tolist()[0]
            near = suggest_near(label, self.classes) if isinstance(label, str) else ""
            raise RowError(
                row,
                f"{block.where} holds {shorten(label)} in",
                f", which is none of the known classes {format_list(self.classes)}.{near} Fit"
                " on rows of all classes, or name all of them in the first call of"
                " partial_fit.",
            )
        return found

    def _encode_known(self, block):
        """Codes with -1 for missing and -2 for unknown labels."""
        labels, missing = read_labels(block.values[0], block.where)
        known = {label: code for code, label in enumerate(self.classes.tolist())}
        found = np.full(len(block), -1, dtype=np.int64)
        found[~missing] = [known.get(label, -2) for label in labels.tolist()]
        return found

    def list_codes(self, block):
        """Pairs of codes and classes, one per column of y."""
        return [(self.encode(block), self.classes)]

    def predict(self, output):
        """The likeliest class, as one column."""
        return self.classes[output.argmax(axis=1)][:, None]

    def predict_proba(self, output):
        """Probabilities (n, n_classes)."""
        return softmax(output, axis=1)

    def predict_log_proba(self, output):
        """Logarithms of the probabilities (n, n_classes)."""
        return log_softmax(output, axis=1)

    def decision_function(self, output):
        """Logits (n, n_classes); for two classes, the second less the first (n,)."""
        return output[:, 1] - output[:, 0] if output.shape[1] == 2 else output.copy()

    def score(self, output, block, weights):
        """Accuracy on rows with a label, NaN where there are none; unknown ones are wrong."""
        codes = self._encode_known(block)
        return _average(output.argmax(axis=1) == codes, weights * (codes != -1))


class MultilabelTask(Task):
    """Any number of labels, each by a sigmoid."""

    kind = "multilabel"

    @classmethod
    def learn(cls, name, weight, start, block, *, classes=None, sample_weight=None):
        """The task of several columns of 0 and 1."""
        task = cls(name, slice(start, start + len(block.values)), weight)
        _check_filled(task.encode(block), block)
        return task

    def encode(self, block):
        """float32 matrix of 0 and 1, NaN where missing."""
        found = _make_matrix(block)
        wrong = ~(np.isnan(found) | (found == 0) | (found == 1))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise RowError(
                int(row),
                f"{block.column_labels[column]} holds {found[row, column]:g} in",
                ": entries of a multilabel task must be 0 or 1, or missing",
            )
        return found.astype(np.float32)

    def list_codes(self, block):
        """Pairs of codes and classes, one per column of y."""
        found = np.nan_to_num(self.encode(block), nan=-1).astype(np.int64)
        return [(column, np.arange(2)) for column in found.T]

    def predict(self, output):
        """0 or 1 for each label."""
        return (output > 0).astype(np.int64)

    def predict_proba(self, output):
        """Probability of each label (n, n_labels)."""
        return expit(output)

    def predict_log_proba(self, output):
        """Logarithm of the probability of each label (n, n_labels)."""
        return log_expit(output)

    def decision_function(self, output):
        """Logits (n, n_labels)."""
        return output.copy()

    def score(self, output, block, weights):
        """Share of entries that are right, NaN where none is present."""
        found = _make_matrix(block)
        return _average(self.predict(output) == found, weights[:, None] * ~np.isnan(found))


class RegressionTask(Task):
    """Numbers, which the network sees at mean 0 and standard deviation 1."""

    kind = "regression"

    @classmethod
    def learn(cls, name, weight, start, block, *, classes=None, sample_weight=None):
        """The task of several columns of numbers."""
        found = _make_matrix(block)
        _check_finite(found, block)
        _check_filled(found, block, sample_weight)
        mean, scale = compute_mean_and_scale(found, sample_weight)
        return cls(name, slice(start, start + len(block.values)), weight, None, mean, scale)

    def encode(self, block):
        """float32 matrix of standardized numbers, NaN where missing."""
        found = _make_matrix(block)
        _check_finite(found, block)
        return ((found - self.mean) / self.scale).astype(np.float32)

    def predict(self, output):
        """Numbers in the unit of y."""
        return output * self.scale + self.mean

    def score(self, output, block, weights):
        """Mean R2 of the columns with two rows or more, NaN where none has."""
        found = _make_matrix(block)
        scores = []
        for truth, guess in zip(found.T, self.predict(output).T, strict=True):
            rows = ~np.isnan(truth) & (weights > 0)
            if rows.sum() > 1:
                scores.append(r2_score(truth[rows], guess[rows], sample_weight=weights[rows]))
        return float(np.mean(scores)) if scores else np.nan


KINDS = {task.kind: task for task in (MulticlassTask, MultilabelTask, RegressionTask)}


def compute_mean_and_scale(values, weights=None):
    """Weighted mean and standard deviation of each column, without its NaN.

    The scale of a column that is constant but for rounding is 1.
    """
    present = ~np.isnan(values)
    weights = np.ones(len(values)) if weights is None else weights / weights.max()
    shares = weights[:, None] * present
    shares = shares / shares.sum(axis=0)
    largest = np.nanmax(np.abs(values), axis=0)
    largest[largest == 0] = 1  # columns are brought to 1 so that no square overflows
    unit = np.where(present, values, 0) / largest
    mean = (shares * unit).sum(axis=0)
    mean += (shares * (unit - mean)).sum(axis=0)  # takes off what summation rounded
    deviation = np.sqrt((shares * (unit - mean) ** 2).sum(axis=0))
    scale = deviation * largest
    constant = (deviation <= 10 * np.finfo(float).eps * np.abs(mean)) | (scale == 0)
    return mean * largest, np.where(constant, 1.0, scale)


@dataclass(frozen=True)
class TaskRequest:
    """What a user asks of one task."""

    kind: str
    name: str | None = None
    weight: float = 1.0
    n_columns: int = 1


def read_requests(tasks, default):
    """Requests of the `tasks` parameter; `default` is the kind where an entry names none."""
    if not isinstance(tasks, list | tuple) or not tasks:
        raise ValueError(
            f"tasks is {shorten(tasks)}: it must be a list with one dict per task, or None"
        )
    requests = [_read_request(entry, f"tasks[{j}]", default) for j, entry in enumerate(tasks)]
    names = [request.name for request in requests if request.name is not None]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(
            f"tasks has several tasks of the name {shorten(repeated[0])}: rename them"
        )
    return requests


def _read_request(entry, where, default):
    if not isinstance(entry, Mapping):
        raise ValueError(
            f"{where} is {shorten(entry)}: it must be a dict such as dict(name='species', "
            "kind='multiclass', weight=1.0, n_columns=1)"
        )
    known = ["name", "kind", "weight", "n_columns"]
    for key in entry:
        if key not in known:
            raise ValueError(
                f"{where} has the key {shorten(key)}, known are"
                f" {known}.{suggest_near(key, known)}"
            )
    request = TaskRequest(**{"kind": default, **entry})
    if request.kind not in KINDS:
        raise ValueError(
            f"{where} has the kind {shorten(request.kind)}, known are {list(KINDS)}."
            f"{suggest_near(request.kind, KINDS)}"
        )
    _check_request_values(request, where)
    return request


def _check_request_values(request, where):
    if request.name is not None and not isinstance(request.name, str):
        raise ValueError(f"{where} has the name {shorten(request.name)}: it must be a string")
    if not isinstance(request.weight, Real) or not 0 < request.weight < np.inf:
        raise ValueError(
            f"{where} has the weight {shorten(request.weight)}: it must be above 0"
        )
    if not isinstance(request.n_columns, Integral) or request.n_columns < 1:
        raise ValueError(
            f"{where} has n_columns={shorten(request.n_columns)}: it must be 1 or more"
        )
    if request.kind == "multiclass" and request.n_columns != 1:
        raise ValueError(
            f"{where} is multiclass with n_columns={request.n_columns}: its labels are one "
            "column. Give a task for each column, or kind='multilabel' for a 0/1 matrix."
        )


def _find_classes(labels, classes, where):
    if classes is not None:
        labels, missing = read_labels(make_table(classes).columns[0], "classes")
        _check_rule(missing, Block([missing], "classes", ["classes"], True))
    found = np.unique(labels)
    if len(found) == 0:
        raise ValueError(f"{where} has no entry that is present: leave it out of y")
    if len(found) == 1:
        raise ValueError(
            f"{where} holds one class, {shorten(found.tolist()[0])}: a classifier "
            "needs rows of at "
            "least two classes. Add rows of another, or leave the column out of y."
        )
    return found


def _check_rule(missing, block):
    if block.strict and missing.any():
        raise RowError(
            int(np.argmax(missing)),
            f"Input {block.where} contains NaN:",
            " is missing. Leave out the rows without a label.",
        )


def _check_finite(values, block):
    for column, column_label in zip(values.T, block.column_labels, strict=True):
        assert_all_finite(column, allow_nan=not block.strict, input_name=column_label)


def _check_filled(values, block, weights=None):
    """Raise where a column has no present entry, or none of a weight above 0."""
    present = ~np.isnan(values)
    if weights is not None:
        present &= weights[:, None] > 0
    for column, column_label in zip(present.T, block.column_labels, strict=True):
        if not column.any():
            raise ValueError(
                f"{column_label} has no entry that is present and of a weight above 0: leave"
                " it out of y"
            )


def _make_matrix(block):
    columns = zip(block.values, block.column_labels, strict=True)
    return np.column_stack(
        [read_numbers(values, column_label) for values, column_label in columns]
    )


def _average(values, weights):
    """Weighted mean, NaN where no weight is left."""
    return float(np.average(values, weights=weights)) if weights.any() else np.nan
