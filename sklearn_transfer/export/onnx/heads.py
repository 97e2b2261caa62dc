"""Graphs of the steps behind a network, converted by skl2onnx."""

import warnings
from contextlib import contextmanager, suppress

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from sklearn_transfer._networks.onnx import OPSET
from sklearn_transfer._process.locks import Lock
from sklearn_transfer._validation import import_optional
from sklearn_transfer.export.onnx.graphs import (
    FEATURES,
    ML_OPSET,
    check_classes,
    find_label_type,
)
from sklearn_transfer.export.onnx.targets import LABEL, PROBABILITIES, VARIABLE

SCORES = "scores"
# The converters are kept in globals of the process, and one is replaced meanwhile.
_converting = Lock()


def build_head_graph(steps, width):
    """Return the model that takes "features" to what the last step predicts.

    Raises ValueError that names the step which has no conversion.
    """
    import_optional("skl2onnx", "onnx", "exporting the steps behind a network")
    with _converting, warnings.catch_warnings(), _write_whole_numbers():
        warnings.simplefilter("ignore")
        from sklearn_transfer.export.onnx.own_heads import register_own_heads

        register_own_heads()
        try:
            model = _convert(steps, width)
        except Exception as error:  # of many types, as skl2onnx finds no conversion
            raise ValueError(_explain(steps, width, error)) from error
    last = steps[-1][1]
    _refuse_sequences(model, last)
    if is_classifier(last):
        _name_scores(model, last)
        _restore_labels(model, last)
    elif model.graph.output[0].name != VARIABLE:
        output = model.graph.output[0]
        _rename(model.graph, VARIABLE, f"{VARIABLE}_inside")
        _rename(model.graph, output.name, VARIABLE)
        output.name = VARIABLE
    return model


def _refuse_sequences(model, last):
    """Raise where an output is no array, as probabilities of targets of different classes."""
    for output in model.graph.output:
        if not output.type.HasField("tensor_type"):
            raise ValueError(
                f"{type(last).__name__} gives {output.name} of several targets in a list, which"
                " is no array; export one classifier for each target"
            )


def _convert(steps, width):
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    last = steps[-1][1]
    # Pipelines of a single step, or of unwrapped ones, were not fitted as such.
    model = Pipeline([(f"step{i}", step) for i, (_, step) in enumerate(steps)])
    options = {"target_opset": {"": OPSET, "ai.onnx.ml": ML_OPSET}}
    options["initial_types"] = [(FEATURES, FloatTensorType([None, width]))]
    if not is_classifier(last):
        return convert_sklearn(model, **options)
    is_raw = {} if hasattr(last, "predict_proba") else {"raw_scores": True}
    # Converters refuse options that they do not know.
    for wanted in ({"zipmap": False, **is_raw}, {"zipmap": False}, is_raw):
        with suppress(NameError):
            return convert_sklearn(model, options={id(last): wanted}, **options)
    return convert_sklearn(model, **options)


def _explain(steps, width, error):
    """Return a message that names the step which cannot be converted, and why."""
    for name, step in steps:
        try:
            _convert([(name, step)], getattr(step, "n_features_in_", width))
        except Exception as reason:
            error = reason
            break
    else:
        name, step = steps[-1]
    reason = " ".join(str(error).split()).partition(". ")[0].removesuffix(".")
    reason = reason if len(reason) <= 200 else f"{reason[:200]}..."
    label = f"{type(step).__name__} (step {name!r})" if name else type(step).__name__
    return (
        f"{label} cannot be converted to ONNX: {type(error).__name__}: {reason}. Leave the step"
        " out and fit again, or apply it outside of the file"
    )


def _name_scores(model, classifier):
    """Give the scores of a classifier without probabilities their name, of two classes one."""
    if hasattr(classifier, "predict_proba"):
        return
    from onnx import helper, numpy_helper

    graph, given = model.graph, f"{PROBABILITIES}_given"
    _rename(graph, PROBABILITIES, given)
    if np.size(classifier.classes_) == 2:
        place = f"{SCORES}_place"
        graph.initializer.append(numpy_helper.from_array(np.array(-1), place))
        graph.node.append(helper.make_node("Gather", [given, place], [SCORES], axis=1))
    else:
        graph.node.append(helper.make_node("Identity", [given], [SCORES]))
    next(o for o in graph.output if o.name == PROBABILITIES).name = SCORES


def _rename(graph, name, other):
    """Give a value inside a graph another name."""
    for node in graph.node:
        node.output[:] = [other if output == name else output for output in node.output]
        node.input[:] = [other if given == name else given for given in node.input]


def _restore_labels(model, classifier):
    """Give labels the type of the classes, where skl2onnx has made them whole numbers."""
    classes = classifier.classes_
    if isinstance(classes, list) or np.asarray(classes).dtype.kind not in "bf":
        return
    from onnx import helper

    kind = find_label_type(check_classes(classes))
    _rename(model.graph, LABEL, f"{LABEL}_given")
    model.graph.node.append(helper.make_node("Cast", [f"{LABEL}_given"], [LABEL], to=kind))
    output = next(o for o in model.graph.output if o.name == LABEL)
    output.type.tensor_type.elem_type = kind


@contextmanager
def _write_whole_numbers():
    """Context in which attributes of nodes may hold booleans.

    skl2onnx up to 1.20 at least writes some for histogram-based boosting, which onnx from 1.19
    on refuses as numbers.
    """
    from skl2onnx.common import _container

    make_node = _container.make_node

    def make_plain_node(*args, **attributes):
        return make_node(*args, **{k: _to_whole_numbers(v) for k, v in attributes.items()})

    _container.make_node = make_plain_node
    try:
        yield
    finally:
        _container.make_node = make_node


def _to_whole_numbers(value):
    if isinstance(value, list) and any(isinstance(v, (bool, np.bool_)) for v in value):
        return [int(v) if isinstance(v, (bool, np.bool_)) else v for v in value]
    return value


def list_expected_of_steps(steps, features):
    """Return what the last of some steps gives for features, by the names of its outputs."""
    for _, step in steps[:-1]:
        features = step.transform(features)
    last = steps[-1][1]
    if is_classifier(last):
        found = {LABEL: last.predict(features)}
        if hasattr(last, "predict_proba"):
            found[PROBABILITIES] = _join_targets(last.predict_proba(features))
        elif hasattr(last, "decision_function"):
            found[SCORES] = last.decision_function(features)
        return found
    if hasattr(last, "predict"):
        return {VARIABLE: np.asarray(last.predict(features))}
    return {FEATURES: np.asarray(last.transform(features))}


def _join_targets(probabilities):
    """Return probabilities as an array, or raise where targets have different classes."""
    if isinstance(probabilities, list) and len({p.shape for p in probabilities}) > 1:
        raise ValueError(
            "the classifier has several targets of different numbers of classes, whose"
            " probabilities are no array; export one classifier for each target"
        )
    return np.asarray(probabilities)
