"""Check of a written graph: what it gives for each sample, against Python."""

import numpy as np

from sklearn_transfer.export.onnx.graphs import FEATURES
from sklearn_transfer.export.onnx.heads import SCORES
from sklearn_transfer.export.onnx.targets import LABEL, PROBABILITIES, VARIABLE


def compute_outputs(path, payloads, front):
    """Return the outputs of a file for samples by name, from batches of different sizes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    names = [output.name for output in session.get_outputs()]
    batches, parts = front.list_batches(payloads), []
    for rows in batches:
        batch = front.collate([payloads[row] for row in rows])
        parts.append((len(rows), session.run(None, batch)))
    order, found = np.argsort(np.concatenate(batches)), {}
    for position, name in enumerate(names):
        pieces = [(n, values[position]) for n, values in parts]
        axis = _find_rows(pieces)
        joined = np.concatenate([piece for _, piece in pieces], axis=axis)
        found[name] = joined.take(order, axis=axis)
    return found


def _find_rows(pieces):
    """Return the axis of the samples, which is not the first for several outputs of trees."""
    shapes = [np.shape(piece) for _, piece in pieces]
    for axis in range(len(shapes[0])):
        if all(shape[axis] == n for shape, (n, _) in zip(shapes, pieces, strict=True)):
            return axis
    raise ArithmeticError(
        f"an output of the file has shape {shapes[-1]} for a batch of {pieces[-1][0]} samples"
    )


def check_outputs(found, expected, tolerance):
    """Return the largest difference; raises ArithmeticError for one beyond the tolerance.

    Probabilities differ by themselves; rows of features relative to their norm; numbers and
    scores relative to the largest absolute value that Python gives for any of the samples, in
    the column of the number, or in all scores.
    """
    largest, found = 0.0, {**found, FEATURES: found.get(VARIABLE)}
    for name, wanted in expected.items():
        if name.partition("_")[0] == LABEL:
            continue
        ours = found[name].reshape(np.shape(wanted)) if _fits(found[name], wanted) else None
        if ours is None:
            raise ArithmeticError(
                f"{name} has shape {found[name].shape} in the file, and {np.shape(wanted)} in"
                " Python, so nothing was written"
            )
        difference = _compute_difference(name, ours, np.asarray(wanted, dtype=np.float64))
        rows = difference.reshape(len(difference), -1).max(axis=1)
        worst = int(np.argmax(np.where(np.isnan(rows), np.inf, rows)))
        if not rows[worst] <= tolerance:
            raise ArithmeticError(
                f"row {worst}: {name} differs from Python by {rows[worst]:.1e}, and"
                f" tolerance={tolerance:g}, so nothing was written"
            )
        largest = max(largest, float(rows[worst]))
    for name, wanted in expected.items():
        if name.partition("_")[0] == LABEL:
            ending = name.removeprefix(LABEL)
            scores = expected.get(PROBABILITIES + ending, expected.get(SCORES))
            _check_labels(name, found[name], wanted, scores, tolerance)
    return largest


def _fits(found, wanted):
    return np.size(found) == np.size(wanted)


def _compute_difference(name, ours, wanted):
    """Return differences with the samples as the first axis."""
    kind = name.partition("_")[0]
    difference = np.abs(ours.astype(np.float64) - wanted)
    if kind == PROBABILITIES:
        return difference if difference.ndim < 3 else np.moveaxis(difference, 1, 0)
    if kind == FEATURES:
        lengths = np.linalg.norm(wanted, axis=1)
        return np.linalg.norm(difference, axis=1) / np.where(lengths > 0, lengths, 1)
    sizes = np.abs(wanted)
    scale = sizes.max(axis=0) if kind == VARIABLE else sizes.max()
    return difference / np.where(scale > 0, scale, 1)


def _check_labels(name, found, wanted, scores, tolerance):
    """Raise unless labels are equal, but for rows in which two classes are as likely."""
    wrong = np.asarray(found).reshape(np.shape(wanted)) != np.asarray(wanted)
    wrong = wrong.reshape(len(wrong), -1).any(axis=1)
    if scores is not None and wrong.any():
        wrong &= ~_find_ties(np.asarray(scores, dtype=np.float64), len(wrong), 2 * tolerance)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ArithmeticError(
            f"row {row}: {name} is {found[row]!r} in the file, and {wanted[row]!r} in Python,"
            " so nothing was written"
        )


def _find_ties(scores, n_rows, margin):
    """Return whether the largest two scores of a row, or one and its threshold, are close."""
    if scores.ndim == 1:
        return np.abs(scores) <= margin
    if scores.ndim == 3:
        return np.zeros(n_rows, dtype=bool)
    is_close = (np.abs(scores - 0.5) <= margin).any(axis=1)
    if scores.shape[1] == 1:
        return is_close
    ordered = np.sort(scores, axis=1)
    return is_close | (ordered[:, -1] - ordered[:, -2] <= margin)
