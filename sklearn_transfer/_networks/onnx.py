"""Export of a plan to ONNX."""

import functools
import os
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch

from sklearn_transfer._networks.engines.plan import to_tensors
from sklearn_transfer._networks.inputs import MASK
from sklearn_transfer._process.locks import Lock

OPSET = 17
# The exporter keeps its settings in globals of the process, so one thread exports at a time.
_exporting = Lock()


class _Graph(torch.nn.Module):
    """A plan as a module, for the exporter."""

    def __init__(self, plan):
        super().__init__()
        self.plan, self.module = plan, plan.backbone.module

    def forward(self, *arrays):
        batch = dict(zip(self.plan.names, arrays, strict=True))
        outputs = self.plan.forward(batch, precision="float32")
        if MASK in batch and not self.plan.backbone.layout.is_text:
            # A graph loses inputs that nothing depends on, but engines are given all: the mask
            # of sounds is used only where positions are averaged.
            outputs[0] = outputs[0] + 0.0 * batch[MASK][:, :1]
        return tuple(outputs)


@contextmanager
def export_graph(plan):
    """Context that yields the graph of a plan: its bytes, or its path if they are not all."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "network.onnx")
        export_plan(plan, path)
        if len(os.listdir(folder)) > 1:  # weights beyond 2 GB are in files of their own
            yield path
        else:
            yield Path(path).read_bytes()


def export_plan(plan, path):
    """Write the graph up to the deepest tap to an ONNX file.

    It is for one sample; for payloads that differ in length it is for any number of samples
    of any length.
    """
    ragged = plan.ragged_names
    example = to_tensors(plan.example(2 if ragged else 1))
    axes = {name: {0: "samples", 1: "positions"} for name in ragged}
    export_module(_Graph(plan), example, path, names=plan.names, dynamic_axes=axes)


def export_module(module, example, path, *, names, dynamic_axes, output_names=None):
    """Write the graph of a module to an ONNX file.

    The older exporter of torch.onnx (`dynamo=False`) takes 0.4 s for the default network. The
    one that is based on torch.export takes 5 s.

    Parameters
    ----------
    module : torch.nn.Module
        It takes the arrays of a payload as arguments.
    example : dict of torch.Tensor
        A batch of payloads, with which the module is traced.
    path : path
        The file. Weights beyond 2 GB are written into files of their own beside it.
    names : list of str
        The arrays of a payload, in the order of the arguments.
    dynamic_axes : dict
        By name, the axes that may have any length, and what they are called.
    output_names : list of str, default=None
        What the outputs are called; None for numbers.
    """
    _register_rms_norm()
    with _exporting, warnings.catch_warnings(), _avoid_fused_attention(), _silence_exporter():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),  # the exporter restores the mode in which it is given
            tuple(example[name] for name in names),
            path,
            input_names=names,
            output_names=output_names,
            dynamic_axes=dynamic_axes,
            opset_version=OPSET,
            do_constant_folding=False,
            dynamo=False,
        )


@contextmanager
def _avoid_fused_attention():
    """Context without the fused operator of torch.nn.MultiheadAttention, which ONNX lacks."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@functools.cache
def _register_rms_norm():
    """Register root mean square normalization, which the older exporter cannot export.

    ONNX has an operator for it since opset 23, which this exporter does not reach.
    """
    from torch.onnx import register_custom_op_symbolic, symbolic_helper

    @symbolic_helper.parse_args("v", "is", "v", "f")
    def export_rms_norm(g, x, shape, weight, eps):
        eps = torch.finfo(torch.float32).eps if eps is None else eps
        axes = [-1 - i for i in range(len(shape))]
        square = g.op("ReduceMean", g.op("Mul", x, x), axes_i=axes)
        floor = g.op("Constant", value_t=torch.tensor(eps, dtype=torch.float32))
        normed = g.op("Div", x, g.op("Sqrt", g.op("Add", square, floor)))
        return normed if weight.node().mustBeNone() else g.op("Mul", normed, weight)

    register_custom_op_symbolic("aten::rms_norm", export_rms_norm, OPSET)


@contextmanager
def _silence_exporter():
    """Keep the exporter from printing its graph to the console when it fails.

    It switches its log on for that purpose, up to torch 2.15 at least.
    """
    name = "_jit_set_onnx_log_enabled"
    before = getattr(torch._C, name, None)
    if before is not None:
        setattr(torch._C, name, lambda enabled: None)
    try:
        yield
    finally:
        if before is not None:
            setattr(torch._C, name, before)
