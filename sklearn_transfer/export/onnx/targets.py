"""Graph of what a fine-tuner makes of its network's outputs: labels and probabilities."""

import numpy as np

from sklearn_transfer.export.onnx.graphs import GraphBuilder

LABEL, PROBABILITIES, VARIABLE = "label", "probabilities", "variable"


def build_target_graph(targets, width):
    """Return the model that takes "features", the network's outputs, to predictions.

    Outputs are named as skl2onnx names them; with several tasks "_" and the name of the task
    follow.
    """
    graph = GraphBuilder(width)
    wide = graph.add("Cast", ["features"], to=graph.DOUBLE)
    for task in targets.tasks:
        ending = "" if targets.single else f"_{task.name}"
        edges = [np.array([edge]) for edge in (task.columns.start, task.columns.stop)]
        part = graph.add("Slice", [wide, *map(graph.hold, edges), graph.hold(np.array([1]))])
        _BUILD[task.kind](graph, task, part, ending)
    return graph.build()


def _build_multiclass(graph, task, part, ending):
    code = graph.add("ArgMax", [part], axis=1, keepdims=0)
    graph.add_labels(code, task.classes, LABEL + ending)
    _add_single(graph, graph.add("Softmax", [part], axis=1), PROBABILITIES + ending)


def _build_multilabel(graph, task, part, ending):
    is_above = graph.add("Greater", [part, graph.hold(np.zeros(1))])
    graph.add("Cast", [is_above], LABEL + ending, to=graph.INT64)
    graph.publish(LABEL + ending, graph.INT64, (None, task.n_outputs))
    _add_single(graph, graph.add("Sigmoid", [part]), PROBABILITIES + ending)


def _build_regression(graph, task, part, ending):
    scaled = graph.add("Mul", [part, graph.hold(np.asarray(task.scale, dtype=np.float64))])
    moved = graph.add("Add", [scaled, graph.hold(np.asarray(task.mean, dtype=np.float64))])
    _add_single(graph, moved, VARIABLE + ending)


def _add_single(graph, value, name):
    graph.add("Cast", [value], name, to=graph.FLOAT)
    graph.publish(name, graph.FLOAT, (None, None))


_BUILD = {
    "multiclass": _build_multiclass,
    "multilabel": _build_multilabel,
    "regression": _build_regression,
}


def list_expected(estimator, samples):
    """Return what a fine-tuner predicts, by the names of the outputs of its graph."""
    targets, outputs = estimator._targets, estimator._compute_outputs(samples)
    found = {}
    for task in targets.tasks:
        ending = "" if targets.single else f"_{task.name}"
        part = outputs[:, task.columns]
        predicted = task.predict(part)
        if task.kind == "regression":
            found[VARIABLE + ending] = predicted
            continue
        is_flat = task.kind == "multiclass"
        found[LABEL + ending] = predicted[:, 0] if is_flat else predicted
        found[PROBABILITIES + ending] = task.predict_proba(part)
    return found
