"""Translation of labels and numbers to the output of a network, and back."""

from collections.abc import Mapping

import numpy as np

from sklearn_transfer._sample_weight import validate_sample_weight
from sklearn_transfer._validation import column_or_1d, format_list, shorten, suggest_near
from sklearn_transfer.finetuning.targets.columns import Block, Table, is_indicator, make_table
from sklearn_transfer.finetuning.targets.row_weights import compute_factors, weigh_rows
from sklearn_transfer.finetuning.targets.tasks import KINDS, Task, TaskRequest, read_requests


class Targets:
    """The tasks of a network, learned from y.

    Make one with `from_labels`, `from_numbers` or `from_json`. The network has one output of
    shape (n, n_outputs), of which each task owns the range `columns`.

    Parameters
    ----------
    tasks : tuple of Task
        Tasks in the order of the columns of y.
    flat : bool
        Whether y was 1-D.
    names : list of str or None
        Names of the columns of y, where it had some.

    Notes
    -----
    A 1-D y, or one column of labels, is one multiclass task. Several columns of 0 and 1 are
    one multilabel task, also where some entries are missing, so that folds of the same y do
    not differ in kind. Any other table of labels is one multiclass task per column. Numbers
    are one regression task of as many outputs as y has columns. `tasks` overrules all this.

    Missing are NaN, None, NaT and pandas' NA. They are an error in 1-D y.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer.finetuning.targets.targets import Targets
    >>> targets = Targets.from_labels(["cat", "owl", "cat", "dog"])
    >>> targets.encode(["dog", "cat"])
    (array([1, 0]),)
    >>> targets.predict(np.array([[0.0, 0.5, 2.0]]))
    array(['owl'], dtype='<U3')
    """

    def __init__(self, tasks, flat, names):
        self.tasks = tuple(tasks)
        self.flat = flat
        self.names = names
        self.n_outputs = self.tasks[-1].columns.stop

    @classmethod
    def from_labels(cls, y, *, tasks=None, classes=None, sample_weight=None):
        """Targets of labels.

        Parameters
        ----------
        y : array-like or mapping of shape (n_samples,) or (n_samples, n_columns)
            Labels.
        tasks : list of dict, default=None
            One entry per task with `name`, `kind` ("multiclass", "multilabel" or
            "regression"), `weight` and `n_columns`, all optional, in the order of the columns
            of y.
        classes : array-like, or list with one array-like or None per task, default=None
            All labels, where y may not hold them all. Not read for several labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the mean and scale of regression tasks.
        """
        table = make_table(y)
        if tasks is not None:
            requests = read_requests(tasks, "multiclass")
            _check_some(requests, {"multiclass", "multilabel"}, "FineTunedRegressor")
        elif len(table.columns) == 1:
            requests = [TaskRequest("multiclass")]
            if not (table.flat or isinstance(y, Mapping)):
                column_or_1d(table.columns[0][:, None], warn=True)
        elif is_indicator(table) and not _are_several(classes):
            requests = [TaskRequest("multilabel", n_columns=len(table.columns))]
        else:
            requests = [TaskRequest("multiclass")] * len(table.columns)
        return cls._learn(table, requests, classes, sample_weight)

    @classmethod
    def from_numbers(cls, y, *, tasks=None, sample_weight=None):
        """Targets of numbers; parameters are those of `from_labels`."""
        table = make_table(y)
        if tasks is None:
            requests = [TaskRequest("regression", n_columns=len(table.columns))]
        else:
            requests = read_requests(tasks, "regression")
            _check_some(requests, {"regression"}, "FineTunedClassifier")
        return cls._learn(table, requests, None, sample_weight)

    @classmethod
    def _learn(cls, table, requests, classes, sample_weight):
        _check_widths(requests, table)
        if sample_weight is not None:
            sample_weight = validate_sample_weight(sample_weight, table)
        classes = _divide_classes(classes, requests)
        tasks, column, start = [], 0, 0
        for request, name, given in zip(
            requests, _name_tasks(requests, table), classes, strict=True
        ):
            alone = len(requests) == 1
            block = _make_block(table, name, column, request.n_columns, request.kind, alone)
            task = KINDS[request.kind].learn(
                name,
                float(request.weight),
                start,
                block,
                classes=given,
                sample_weight=sample_weight,
            )
            tasks.append(task)
            column, start = column + request.n_columns, task.columns.stop
        return cls(tasks, table.flat, table.names)

    @property
    def single(self):
        """Whether there is one task: 1-D y, one block of labels or one of numbers."""
        return len(self.tasks) == 1

    @property
    def classes(self):
        """What a classifier calls `classes_`: an array, or a list with one per task.

        It is 0, 1, ... for the columns of several labels, and None for numbers.
        """
        found = [
            np.arange(task.n_outputs) if task.kind == "multilabel" else task.classes
            for task in self.tasks
        ]
        return found[0] if self.single else found

    def _divide(self, y):
        """Pairs of tasks and their columns of y, which must be like those in fit."""
        table = make_table(y)
        _check_same_columns(table, self.names, sum(task.width for task in self.tasks))
        found, column = [], 0
        for task in self.tasks:
            block = _make_block(table, task.name, column, task.width, task.kind, self.single)
            found.append((task, block))
            column += task.width
        return found

    def encode(self, y):
        """Arrays that a loss works on, one per task, with the rows of y.

        int64 (n,) with -1 for missing where a task is multiclass; float32 (n, k) with NaN for
        missing where it is multilabel (0 or 1) or regression (standardized).
        """
        return tuple(task.encode(block) for task, block in self._divide(y))

    def stratify(self, y):
        """Codes that a validation split keeps the shares of, or None.

        None for several tasks, several labels and numbers, and where a class has one row.
        """
        if not self.single or self.tasks[0].kind != "multiclass":
            return None
        (codes,) = self.encode(y)
        return None if (np.bincount(codes) == 1).any() else codes

    def compute_row_weights(self, y, class_weight=None, sample_weight=None):
        """Weights of the rows: `sample_weight` times those of their classes, mean 1.

        Parameters
        ----------
        y : array-like or mapping
            Labels, like those in fit.
        class_weight : None, "balanced", dict or list of these, default=None
            Weight of each class; classes that a dict leaves out have weight 1. "balanced" is
            inverse to the sum of `sample_weight` over a class. A list has one entry per task,
            None for numbers. As with scikit-learn, weights of several tasks and of several
            labels multiply; a missing entry counts 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows, at least 0.

        Returns
        -------
        weights : ndarray of shape (n_samples,)
        """
        return self.weigh(y, class_weight, sample_weight)[0]

    def weigh(self, y, class_weight=None, sample_weight=None):
        """What `compute_row_weights` returns, and the sum of the weights before scaling."""
        return weigh_rows(self._divide(y), class_weight, sample_weight)

    def compute_factors(self, encoded, row_weights=None):
        """One factor per task: all rows over those with an entry, by weight.

        With it, a task with few entries counts as much as the others. It is 0 where no row of
        a weight above 0 has an entry.
        """
        return compute_factors(self.tasks, encoded, row_weights)

    def predict(self, output):
        """Predictions in the form of y.

        One multiclass task, or numbers where y was 1-D, give shape (n,). All else has shape
        (n, n_columns), one column for each column of y: classes, 0 or 1 for one of several
        labels, or numbers. The dtype is that of the tasks, and object where labels are of
        different kinds, or labels and numbers stand side by side.
        """
        output = _check_output(output, self.n_outputs)
        parts = [task.predict(output[:, task.columns]) for task in self.tasks]
        if not self.single:
            return _join_predictions(parts)
        flat = self.flat or self.tasks[0].kind == "multiclass"
        return parts[0][:, 0] if flat and parts[0].shape[1] == 1 else parts[0]

    def predict_proba(self, output):
        """Probabilities in the order of the classes: an array, or a list with one per task.

        The array is (n, n_classes), and (n, n_labels) for several labels, each by itself. It
        is None for numbers.
        """
        output = _check_output(output, self.n_outputs)
        return self._join([t.predict_proba(output[:, t.columns]) for t in self.tasks])

    def predict_log_proba(self, output):
        """Logarithms of `predict_proba`, from the logits: finite for all finite outputs."""
        output = _check_output(output, self.n_outputs)
        return self._join([t.predict_log_proba(output[:, t.columns]) for t in self.tasks])

    def decision_function(self, output):
        """Logits: an array, or a list with one per task.

        For two classes it is 1-D: the logit of the second less that of the first. It is None
        for numbers.
        """
        output = _check_output(output, self.n_outputs)
        return self._join([t.decision_function(output[:, t.columns]) for t in self.tasks])

    def _join(self, parts):
        return parts[0] if self.single else parts

    def score(self, output, y, sample_weight=None):
        """Mean of the tasks' scores, weighted by the weights of the tasks.

        Accuracy for classes, and for several labels that of their entries, not of whole rows;
        R2 for numbers. Missing entries are left out, and so are tasks without any, or with
        one row for R2. It is NaN where all are. A label that is no class counts as wrong.
        """
        output, blocks = _check_output(output, self.n_outputs), self._divide(y)
        weights = validate_sample_weight(sample_weight, blocks[0][1])
        scores = np.array([t.score(output[:, t.columns], b, weights) for t, b in blocks])
        return _average_scores(scores, np.array([task.weight for task in self.tasks]))

    def to_json(self):
        """A dict that `json.dumps` can write."""
        tasks = [_write_task(task) for task in self.tasks]
        return {"flat": self.flat, "names": self.names, "tasks": tasks}

    @classmethod
    def from_json(cls, record):
        """The targets that `to_json` described, equal in every label, number and dtype."""
        tasks = [_read_task(task) for task in record["tasks"]]
        return cls(tasks, record["flat"], record["names"])


def _check_output(output, n_outputs):
    """Outputs of a network as float64; raises ValueError unless they are finite rows."""
    output = np.asarray(output, dtype=np.float64)
    if output.ndim != 2 or output.shape[1] != n_outputs:
        raise ValueError(
            f"The network's output has shape {output.shape}; expected "
            f"(n_samples, {n_outputs}), one column per class, label or number"
        )
    finite = np.isfinite(output).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"The network's output is not finite in row {int(np.argmin(finite))}: "
            "training diverged, or the input is out of range. Lower lr, or look there."
        )
    return output


def _join_predictions(parts):
    """Predictions of all tasks side by side, as objects where their types differ."""
    if len({part.dtype.kind for part in parts}) > 1:
        parts = [part.astype(object) for part in parts]
    return np.concatenate(parts, axis=1)


def _average_scores(scores, importance):
    """Weighted mean of the scores that are known; NaN where none is."""
    known = ~np.isnan(scores)
    if not known.any():
        return np.nan
    return float(np.average(scores[known], weights=importance[known]))


def _write_task(task):
    arrays = {name: getattr(task, name) for name in ("classes", "mean", "scale")}
    return {
        "kind": task.kind,
        "name": task.name,
        "columns": [task.columns.start, task.columns.stop],
        "weight": task.weight,
        **{name: _write_array(array) for name, array in arrays.items()},
    }


def _write_array(array):
    return None if array is None else {"dtype": array.dtype.str, "values": array.tolist()}


def _read_task(record) -> Task:
    arrays = {name: _read_array(record[name]) for name in ("classes", "mean", "scale")}
    columns = slice(*record["columns"])
    return KINDS[record["kind"]](record["name"], columns, record["weight"], **arrays)


def _read_array(record):
    return None if record is None else np.array(record["values"], dtype=record["dtype"])


def _make_block(table: Table, name, column, width, kind, alone) -> Block:
    """The columns of a task, with what messages call them."""
    values = table.columns[column : column + width]
    names = table.names or range(len(table.columns))
    column_labels = [f"column {shorten(names[column + j])} of y" for j in range(width)]
    if table.flat or (alone and kind == "multiclass"):
        return Block(values, "y", ["y"], strict=True)
    where = column_labels[0] if width == 1 else f"task {shorten(name)} of y"
    return Block(values, where, column_labels, strict=False)


def _name_tasks(requests, table):
    """Names of the tasks: given, of their column, or by number."""
    found, column = [], 0
    for j, request in enumerate(requests):
        name = "y" if len(requests) == 1 else f"y{j}"
        if request.n_columns == 1 and table.names is not None:
            name = table.names[column]
            if request.name not in (None, name):
                raise ValueError(
                    f"tasks[{j}] has the name {shorten(request.name)}, and its column of y"
                    f" is {shorten(name)}: tasks go with the columns of y in order, under"
                    f" their names.{suggest_near(request.name, table.names)}"
                )
        found.append(name if request.name is None else request.name)
        column += request.n_columns
    return found


def _check_widths(requests, table):
    expected, width = len(table.columns), sum(request.n_columns for request in requests)
    if expected != width:
        raise ValueError(
            f"tasks describe {width} columns and y has {expected}: give an entry for each "
            "column of y, or n_columns where a task has several"
        )


def _check_some(requests, kinds, other):
    if not any(request.kind in kinds for request in requests):
        raise ValueError(
            f"tasks has no task of the kind {' or '.join(sorted(kinds))}: use {other}, which "
            "learns the others"
        )


def _are_several(classes):
    """Whether classes are those of several tasks, not numbers of labels or None."""
    return classes is not None and any(np.ndim(labels) > 0 for labels in classes)


def _divide_classes(classes, requests):
    if classes is None:
        return [None] * len(requests)
    if len(requests) == 1:
        return [classes]
    if not isinstance(classes, list | tuple) or len(classes) != len(requests):
        raise ValueError(
            f"classes must be a list with one array of labels per task, of which y has "
            f"{len(requests)}, and None for a task without classes"
        )
    return classes


def _check_same_columns(table, names, width):
    if len(table.columns) != width:
        raise ValueError(
            f"y has {len(table.columns)} columns, and had {width} in fit: both must hold the "
            "same outputs in the same order"
        )
    if table.names is not None and names is not None and table.names != names:
        raise ValueError(
            f"y has columns {format_list(table.names)}, and had {format_list(names)} in fit:"
            " both must hold the same outputs in the same order"
        )
