"""Weights of rows from those of their classes."""

from collections.abc import Mapping

import numpy as np

from sklearn_transfer._sample_weight import validate_sample_weight
from sklearn_transfer._validation import shorten, suggest_near


def weigh_rows(blocks, class_weight, sample_weight):
    """Weights of rows with mean 1, as `Targets.weigh` has them, and their sum before scaling.

    `blocks` are pairs of a task and its columns of y.
    """
    given = validate_sample_weight(sample_weight, blocks[0][1])
    weights = given / given.max()
    entries = _list_class_weights(class_weight, len(blocks))
    for (task, block), entry in zip(blocks, entries, strict=True):
        if entry is not None:
            for codes, classes in task.list_codes(block):
                weights = weights * compute_class_weights(
                    entry, codes, classes, given, block.where
                )
    if not weights.any():
        raise ValueError(
            "Every row has weight 0, as sample_weight times class_weight: give one row a "
            "weight above 0"
        )
    largest = float(given.max()) * float(weights.max())  # floats overflow unwarned
    weights = weights / weights.max()
    return weights / weights.mean(), largest * float(weights.sum())


def _list_class_weights(class_weight, n_tasks):
    """The entry of each task."""
    if isinstance(class_weight, list | tuple):
        if len(class_weight) != n_tasks:
            raise ValueError(
                f"class_weight has {len(class_weight)} entries and y {n_tasks} "
                "tasks: give one entry per task, in their order"
            )
        return class_weight
    if isinstance(class_weight, dict) and n_tasks > 1:
        raise ValueError(
            f"class_weight is one dict and y has {n_tasks} tasks: give a list "
            "with one dict, 'balanced' or None per task"
        )
    return [class_weight] * n_tasks


def compute_factors(tasks, encoded, row_weights):
    """One factor per task, as `Targets.compute_factors` has them."""
    found = []
    for task, values in zip(tasks, encoded, strict=True):
        missing = values < 0 if task.kind == "multiclass" else np.isnan(values).all(axis=1)
        weights = np.ones(len(values)) if row_weights is None else row_weights
        kept = float(np.sum(weights[~missing]))
        found.append(float(np.sum(weights)) / kept if kept else 0.0)
    return found


def compute_class_weights(entry, codes, classes, weights, where):
    """Weight of each row by its class; 1 where the code is -1, for missing."""
    if isinstance(entry, Mapping):
        found = _read_weights(entry, classes, where)
    elif isinstance(entry, str) and entry == "balanced":
        found = _balance(codes, len(classes), weights)
    else:
        near = suggest_near(entry, ["balanced"]) if isinstance(entry, str) else ""
        raise ValueError(
            f"class_weight is {shorten(entry)}: it must be None, 'balanced', a dict from "
            f"class to weight, or a list with one of these per task.{near}"
        )
    return np.append(found, 1.0)[codes]


def _balance(codes, n_classes, weights):
    present = codes >= 0
    sums = np.bincount(codes[present], weights[present], minlength=n_classes)
    seen = sums > 0
    found = np.ones(n_classes)
    found[seen] = sums.sum() / (seen.sum() * sums[seen])
    return found


def _read_weights(entry, classes, where):
    labels = classes.tolist()
    left_out = [label for label in labels if label not in entry]
    unknown = [key for key in entry if key not in labels]
    if left_out and unknown:  # either alone is a smaller sample, or a shorter way to write 1
        raise ValueError(
            f"class_weight names {shorten(unknown)}, which are no classes of {where}, and "
            f"leaves out {shorten(left_out)}.{suggest_near(unknown[0], left_out)}"
        )
    found = np.array([entry.get(label, 1.0) for label in labels], dtype=np.float64)
    if not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError(
            f"class_weight of {where} is {shorten(dict(entry))}: each weight must be at "
            "least 0 and finite"
        )
    return found


def check_same_classes(known, given):
    """Raise ValueError where classes of one task, or lists of several, are other ones."""
    pairs = [(known, given)]
    if isinstance(known, list):
        same_number = len(given) == len(known)
        pairs = list(zip(known, given, strict=True)) if same_number else [((), (None,))]
    for own, other in pairs:
        if own is not None and set(np.asarray(own).tolist()) != set(
            np.asarray(other).tolist()
        ):
            raise ValueError(
                f"classes={shorten(given)} are not those of the first call, {shorten(known)};"
                " call fit to begin anew"
            )
