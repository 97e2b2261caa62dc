"""Conversions of this package's own steps, registered with skl2onnx."""

import numpy as np
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from skl2onnx.proto import onnx_proto

from sklearn_transfer.alignment import (
    CORAL,
    MeanAlignment,
    OptimalTransport,
    SubspaceAlignment,
)
from sklearn_transfer.heads import PrototypeClassifier

_DOUBLE, _FLOAT = onnx_proto.TensorProto.DOUBLE, onnx_proto.TensorProto.FLOAT
_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}


def register_own_heads():
    """Tell skl2onnx how the steps of this package are converted."""
    update_registered_converter(
        PrototypeClassifier,
        "SklearnTransferPrototypeClassifier",
        calculate_linear_classifier_output_shapes,
        _convert_prototypes,
        options=_OPTIONS,
    )
    for aligner in (CORAL, MeanAlignment, OptimalTransport, SubspaceAlignment):
        update_registered_converter(
            aligner, f"SklearnTransfer{aligner.__name__}", _shape_aligned, _convert_aligner
        )


class _Writer:
    """Writes nodes in double precision into a container of skl2onnx."""

    def __init__(self, scope, container):
        self.scope, self.container = scope, container

    def hold(self, array):
        """Add a constant in double precision."""
        name = self.scope.get_unique_variable_name("constant")
        array = np.asarray(array, dtype=np.float64)
        self.container.add_initializer(name, _DOUBLE, array.shape, array.ravel().tolist())
        return name

    def add(self, operator, *inputs, output=None, version=13, **attributes):
        """Add a node; returns the name of its output."""
        output = self.scope.get_unique_variable_name("value") if output is None else output
        name = self.scope.get_unique_operator_name(operator)
        attributes |= {"name": name, "op_version": version}
        self.container.add_node(operator, list(inputs), output, **attributes)
        return output


def _convert_prototypes(scope, operator, container):
    """Negative squared distances to prototypes, as `PrototypeClassifier` has them."""
    head, write = operator.raw_operator, _Writer(scope, container)
    rows = write.add("Cast", operator.inputs[0].full_name, to=_DOUBLE)
    rows = write.add("Sub", rows, write.hold(head.center_))
    if head.normalize:
        # Rows that differ from the center by rounding of single precision are at it.
        least = 4 * np.finfo(np.float32).eps * np.linalg.norm(head.center_)
        rows = _normalize(write, rows, least)
    if head.metric == "cosine":
        rows = _normalize(write, rows, 0.0)
    rows = write.add("Sub", rows, write.hold(head._shift))
    placed = np.zeros(head.prototypes_.shape)
    placed[head._seen] = head._placed
    missing = np.full(len(placed), -np.inf)
    missing[head._seen] = 0.0
    products = write.add("MatMul", rows, write.hold(placed.T))
    halves = write.hold(0.5 * (placed**2).sum(axis=1))
    near = write.add("Add", write.add("Sub", products, halves), write.hold(missing))
    code = write.add("ArgMax", near, axis=1, keepdims=0)
    _add_labels(write, code, head.classes_, operator.outputs[0].full_name)
    squares = write.add("ReduceSumSquare", rows, axes=[1], keepdims=1)
    distances = write.add("Sub", squares, write.add("Mul", near, write.hold([2.0])))
    distances = write.add("Max", distances, write.hold([0.0]))
    logits = write.add("Div", distances, write.hold([-head.temperature_]))
    options = container.get_options(head, {"raw_scores": False})
    given = write.add("Softmax", logits, axis=1)
    if options["raw_scores"]:
        given = logits
        if len(placed) == 2:  # the second's less the first's, and the opposite before it
            given = write.add("MatMul", logits, write.hold([[1.0, -1.0], [-1.0, 1.0]]))
    write.add("Cast", given, output=operator.outputs[1].full_name, to=_FLOAT)


def _normalize(write, rows, least):
    """Rows at length one, and 0 where they are no longer than `least`."""
    lengths = write.add("ReduceL2", rows, axes=[1], keepdims=1)
    is_long = write.add("Greater", lengths, write.hold([least]))
    lengths = write.add("Where", is_long, lengths, write.hold([np.inf]))
    return write.add("Div", rows, lengths)


def _add_labels(write, code, classes, output):
    """Classes that codes name, in the type that skl2onnx has chosen for them."""
    name = write.scope.get_unique_variable_name("classes")
    kinds = onnx_proto.TensorProto
    if classes.dtype.kind in "UO":
        values = [str(label).encode() for label in classes.tolist()]
        write.container.add_initializer(name, kinds.STRING, [len(classes)], values)
    else:
        values = classes.astype(np.int64).tolist()
        write.container.add_initializer(name, kinds.INT64, [len(classes)], values)
    write.add("Gather", name, code, output=output, axis=0)


def _shape_aligned(operator):
    n_columns = _find_map(operator.raw_operator)[0].shape[1]
    operator.outputs[0].type = FloatTensorType([None, n_columns])


def _convert_aligner(scope, operator, container):
    """Rows of the target in the common space, which is a linear map of them."""
    write = _Writer(scope, container)
    weights, offset = _find_map(operator.raw_operator)
    rows = write.add("Cast", operator.inputs[0].full_name, to=_DOUBLE)
    rows = write.add("Sub", rows, write.hold(offset))
    if not np.array_equal(weights, np.eye(len(offset))):
        rows = write.add("MatMul", rows, write.hold(weights))
    write.add("Cast", rows, output=operator.outputs[0].full_name, to=_FLOAT)


def _find_map(aligner):
    """Return the matrix and the offset of `(X - offset) @ matrix` for rows of the target."""
    if isinstance(aligner, SubspaceAlignment):
        return aligner.target_components_.T / aligner.unit_, aligner.mean_target_
    return np.eye(aligner.n_features_in_), np.zeros(aligner.n_features_in_)
