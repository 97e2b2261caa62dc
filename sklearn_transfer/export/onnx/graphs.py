"""Graphs in the format of ONNX: built by hand, joined and described."""

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from sklearn_transfer._networks.onnx import OPSET

# Versions that onnxruntime 1.20 and newer read.
IR_VERSION, ML_OPSET = 8, 3
FEATURES = "features"
_KINDS = {"U": TensorProto.STRING, "O": TensorProto.STRING, "b": TensorProto.BOOL}
_KINDS |= {"i": TensorProto.INT64, "u": TensorProto.INT64, "f": TensorProto.DOUBLE}


class GraphBuilder:
    """A graph that takes "features" (n_samples, width), float32, and is built node by node."""

    FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64

    def __init__(self, width):
        self.nodes, self.constants, self.outputs = [], [], []
        self.inputs = [
            helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ("samples", width))
        ]

    def hold(self, array):
        """Add a constant; returns its name."""
        name = f"constant_{len(self.constants)}"
        if array.dtype.kind in "UO":
            strings = [str(value).encode() for value in array.ravel()]
            tensor = helper.make_tensor(name, TensorProto.STRING, array.shape, strings)
        else:
            tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.constants.append(tensor)
        return name

    def add(self, operator, inputs, output=None, **attributes):
        """Add a node; returns the name of its output."""
        output = f"value_{len(self.nodes)}" if output is None else output
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def add_labels(self, code, classes, name):
        """Publish the classes that an array of codes names."""
        classes = check_classes(classes)
        self.add("Gather", [self.hold(classes), code], name, axis=0)
        self.publish(name, find_label_type(classes), (None,))

    def publish(self, name, kind, shape):
        """Make a value an output of the graph; None is an axis of any length."""
        shape = tuple(f"axis_{i}" if edge is None else edge for i, edge in enumerate(shape))
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def build(self):
        """Return the model."""
        graph = helper.make_graph(
            self.nodes, "head", self.inputs, self.outputs, self.constants
        )
        return make_model(graph)


def make_model(graph, opsets=None):
    """Return a model of a graph in the versions of this package."""
    opsets = {"": OPSET} if opsets is None else opsets
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)


def build_identity(width, name):
    """Return the model that gives features another name."""
    graph = GraphBuilder(width)
    graph.add("Identity", [FEATURES], name)
    graph.publish(name, GraphBuilder.FLOAT, (None, width))
    return graph.build()


def check_classes(classes):
    """Return classes as an array that ONNX can hold; raises ValueError for other kinds."""
    classes = np.asarray(classes)
    is_text = classes.dtype.kind == "O" and all(isinstance(c, str) for c in classes.tolist())
    if classes.dtype.kind in "Ubf" or is_text:
        return classes.astype(np.float64) if classes.dtype.kind == "f" else classes
    if classes.dtype.kind in "iu":
        return classes.astype(np.int64)
    raise ValueError(
        f"labels such as {classes.tolist()[0]!r} of dtype {classes.dtype} have no type in"
        " ONNX; fit on strings or whole numbers"
    )


def find_label_type(classes):
    """Return the type of ONNX for an array of classes."""
    return _KINDS[classes.dtype.kind]


def join(network, head):
    """Return the model that gives a network's "features" to a head."""
    head = compose.add_prefix(head, "head/", rename_inputs=False, rename_outputs=False)
    network = compose.add_prefix(
        network, "network/", rename_inputs=False, rename_outputs=False
    )
    # A head may state an older version than the network, of which all its operators hold too.
    opsets = {"": OPSET} | {o.domain: o.version for o in head.opset_import if o.domain}
    graph = compose.merge_graphs(network.graph, head.graph, io_map=[(FEATURES, FEATURES)])
    return make_model(graph, opsets)


def describe_outputs(model, found, n_rows):
    """Write the shapes of outputs, given arrays computed for `n_rows` samples, by name.

    skl2onnx states wrong ones for some estimators, of which a session warns in each run.
    """
    del model.graph.value_info[:]
    for output in model.graph.output:
        tensor = output.type.tensor_type
        tensor.shape.Clear()
        shape = found[output.name].shape
        for axis, edge in enumerate(shape):
            dimension = tensor.shape.dim.add()
            if axis == shape.index(n_rows):
                dimension.dim_param = "samples"
            else:
                dimension.dim_value = edge


def write_metadata(model, entries):
    """Put entries (name, text) into the metadata of a model."""
    del model.metadata_props[:]
    helper.set_model_props(model, entries)


def load_graph(path):
    """Return the model of a file."""
    return onnx.load(path)
