"""Samples of a fit: those to train on, to validate on, and of a target domain."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from sklearn_transfer.finetuning import _inputs
from sklearn_transfer.finetuning.targets.columns import describe_row, rename_rows
from sklearn_transfer.finetuning.targets.rows import LabeledRows


class Part:
    """Samples with encoded targets and weights.

    Parameters
    ----------
    rows : LabeledRows
        Samples, targets and weights as given.
    encoded : tuple of ndarray
        What `Targets.encode` makes of the targets.
    weights : ndarray of shape (n_samples,)
        Weights of samples and classes together, with mean 1.
    total : float
        Sum of the weights as given.
    name : str, default="X"
        Argument of `fit` that the samples come from.
    """

    def __init__(self, rows, encoded, weights, total, name="X"):
        self.samples, self.y, self.sample_weights = rows.samples, rows.y, rows.weights
        self.encoded, self.weights, self.total = encoded, weights, total
        self.numbers, self.name, self.column = rows.numbers, name, None
        self.payloads = None

    def __len__(self):
        return len(self.weights)

    def label_row(self, row):
        """Name of a row in messages."""
        prefix = "" if self.name == "X" else f"{self.name}, "
        suffix = "" if self.column is None else f", column {self.column!r}"
        return f"{prefix}{describe_row(self.numbers[row])}{suffix}"

    def select(self, samples, column):
        """Part of the same rows with the entries of a column as samples."""
        rows = LabeledRows(samples, self.y, self.sample_weights, self.numbers)
        found = Part(rows, self.encoded, self.weights, self.total, self.name)
        found.column = column
        return found

    def make_rows(self, inputs):
        """`Rows` of network input with the targets and weights of this part."""
        return _inputs.Rows(inputs, self.encoded, self.weights)

    def move_targets(self, device):
        """Encoded targets and weights of all rows, on a device."""
        encoded = tuple(torch.as_tensor(values).to(device) for values in self.encoded)
        return encoded, torch.as_tensor(self.weights, dtype=torch.float32).to(device)


@dataclass(frozen=True)
class Parts:
    """The samples of a fit; `valid` and `target` are None where there are none."""

    train: Part
    valid: Part | None = None
    target: Part | None = None

    def count_rows(self, has_classes):
        """Numbers of rows of each part, and of each class where y is one column of them."""
        parts = {"train": self.train, "validation": self.valid, "target": self.target}
        rows = [[name, len(part)] for name, part in parts.items() if part is not None]
        y, classes = np.asarray(self.train.y), []
        if has_classes and y.ndim == 1:
            found = Counter(map(str, y.tolist()))
            classes = [[label, found[label]] for label in sorted(found)]
        return {"rows": rows, "classes": classes}


def make_part(rows, targets, class_weight=None, name="X"):
    """`Part` of `LabeledRows`, whose targets and weights are encoded."""
    with rename_rows(rows.numbers):
        weights, total = targets.weigh(rows.y, class_weight, rows.weights)
        return Part(rows, targets.encode(rows.y), weights, total, name)


def make_target_part(samples, numbers):
    """`Part` of samples of a target domain, which have no targets."""
    n_rows = len(samples)
    ones = np.ones(n_rows)
    return Part(LabeledRows(samples, None, ones, numbers), (), ones, float(n_rows))
