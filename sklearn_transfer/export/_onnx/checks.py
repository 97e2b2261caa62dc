"""Check of a written graph: what it gives for each sample, against Python."""

import numpy as np

from sklearn_transfer.export._onnx.graphs import FEATURES, shorten_error
from sklearn_transfer.export._onnx.heads import SCORES
from sklearn_transfer.export._onnx.targets import LABEL, PROBABILITIES, VARIABLE

_ADVICE = (
    "the network's code may hold for one size of a batch, as `len(x)` and `int(x.shape[0])`"
    " do; write x.shape[0]"
)


def compute_outputs(path, payloads, front):
    """Return the outputs of a file for samples by name, from batches of different sizes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    batches = front.list_batches(payloads)
    parts = [_run_batch(session, front, payloads, rows) for rows in batches]
    tried = parts
    if len(set(map(len, batches))) == 1:  # as of a single sample
        repeated = [batches[0][0]] * (len(batches[0]) + 1)
        tried = [*parts, _run_batch(session, front, payloads, repeated)]
    order, found = np.argsort(np.concatenate(batches)), {}
    for position, output in enumerate(session.get_outputs()):
        axis = _find_rows([(n, values[position]) for n, values in tried])
        joined = np.concatenate([values[position] for _, values in parts], axis=axis)
        found[output.name] = joined.take(order, axis=axis)
    return found


def _run_batch(session, front, payloads, rows):
    """Return the size of a batch, and the outputs for it."""
    try:
        batch = front.collate([payloads[row] for row in rows])
        return len(rows), session.run(None, batch)
    except Exception as error:  # of the operator that fails
        raise ArithmeticError(
            f"The file does not run for any number of samples ({shorten_error(error)});"
            f" {_ADVICE}"
        ) from error


def _find_rows(pieces):
    """Return the axis of the samples, which is not the first for several outputs of trees."""
    shapes = [np.shape(piece) for _, piece in pieces]
    for axis in range(len(shapes[0])):
        if all(shape[axis] == n for shape, (n, _) in zip(shapes, pieces, strict=True)):
            return axis
    raise ArithmeticError(
        f"The file does not run for any number of samples: {shapes[-1]} is the shape of an"
        f" output for {pieces[-1][0]}; {_ADVICE}"
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
                f"Row {worst}: {name} differs from Python by {rows[worst]:.1e}, and"
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
        several = np.ndim(wanted) == 2 and np.shape(wanted)[1] > 1
        scores = np.asarray(scores, dtype=np.float64)
        wrong &= ~_find_ties(scores, len(wrong), 2 * tolerance, several)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ArithmeticError(
            f"Row {row}: {name} is {_get_plain(found, row)!r} in the file, and"
            f" {_get_plain(wanted, row)!r} in Python,"
            " so nothing was written"
        )


def _get_plain(labels, row):
    return np.asarray(labels)[row : row + 1].tolist()[0]


def _find_ties(scores, n_rows, margin, is_multilabel):
    """Return whether the largest two scores of a row, or one and its threshold, are close."""
    if scores.ndim == 1:
        return np.abs(scores) <= margin
    if scores.ndim == 3:
        return np.zeros(n_rows, dtype=bool)
    if scores.shape[1] == 1 or is_multilabel:
        return (np.abs(scores - 0.5) <= margin).any(axis=1)
    ordered = np.sort(scores, axis=1)
    return ordered[:, -1] - ordered[:, -2] <= margin
