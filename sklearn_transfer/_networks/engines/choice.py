"""Choice and construction of engines: PyTorch, OpenVINO or ONNX Runtime."""

import functools
import importlib.util
import os
import sys
import warnings
from contextlib import suppress

from sklearn_transfer._networks.engines.graphs import (
    Graph,
    describe_taps,
    find_graph,
    find_larger_graphs,
    keep_graph,
    name_graph,
)
from sklearn_transfer._networks.engines.onnxruntime import ONNXRuntimeEngine
from sklearn_transfer._networks.engines.openvino import OpenVINOEngine
from sklearn_transfer._networks.engines.task import Task
from sklearn_transfer._networks.machine import count_cores
from sklearn_transfer._process.allocator import return_memory
from sklearn_transfer._process.threads import run_apart
from sklearn_transfer._validation import import_optional

# Packages, the fastest first, and the extra of this package that brings each.
_COMPILED = {"openvino": "cpu", "onnxruntime": "onnx"}
_ENGINES_KEPT = 4  # for each network
_KINDS = {"openvino": OpenVINOEngine, "onnxruntime": ONNXRuntimeEngine}


def resolve_engine(engine, precision, backbone):
    """Return the name of the engine for a value of the parameter `engine`.

    "auto" is the fastest installed engine for a network of a library on a CPU, else torch.
    Raises ImportError if a named engine is not installed, and ValueError if it does not run
    on the device or in the precision.
    """
    on_cpu = backbone.device.type == "cpu"
    if engine == "auto":
        if backbone.stateful or not on_cpu:
            return "torch"
        fitting = [
            name for name in _COMPILED if _supports(name, precision) and _is_installed(name)
        ]
        return fitting[0] if fitting else "torch"
    if engine in _COMPILED:
        if not _is_installed(engine):
            for package in (engine, "onnx"):
                import_optional(package, _COMPILED[engine], f"engine={engine!r}")
        if not on_cpu:
            raise ValueError(
                f"engine={engine!r} runs on the CPU, but device={str(backbone.device)!r}; use"
                " engine='torch', or device='cpu'"
            )
        if not _supports(engine, precision):
            raise ValueError(
                f"engine={engine!r} has no precision={precision!r} on a CPU; use 'openvino' or"
                " 'torch'"
            )
    return engine


def _supports(name, precision):
    return precision == "float32" or name != "onnxruntime"


@functools.cache
def _is_installed(name):
    return all(importlib.util.find_spec(package) for package in (name, "onnx"))


def make_engine(name, precision, backbone, taps, format, signature, shelves=()):
    """Return the engine for payloads of one signature; equal requests share one engine.

    `format` says how the input of the network is made from payloads. Where `shelves` hold the
    graph of the network, a recorded network need not be loaded.
    """
    key = (name, precision, tuple(taps), format, signature, count_cores())
    with backbone.engines_lock:
        _forget_forked(backbone)
        is_new = key not in backbone.engines
        if is_new:
            task = Task(taps, format, precision, signature)
            engine = _open_engine(name, task, backbone, shelves)
            if engine is None:
                engine = _make_anew(name, backbone, task, shelves)
            backbone.engines[key] = engine
            while len(backbone.engines) > _ENGINES_KEPT:
                backbone.engines.popitem(last=False)
        backbone.engines.move_to_end(key)
        engine = backbone.engines[key]
    if is_new:
        _release_memory()
    return engine


def _open_engine(name, task, backbone, shelves):
    """Return an engine that runs a graph from the shelves, or None."""
    if name not in _KINDS or backbone.question is None or not shelves:
        return None
    graph_name = name_graph(backbone, name, task)
    graph = find_graph(shelves, graph_name, task.taps)
    if graph is not None:
        with suppress(Exception):  # whatever it raises, it says so again when it is made anew
            return run_apart(_KINDS[name], task, graph.content)
    if _KINDS[name].leaves_out_outputs:
        for graph in find_larger_graphs(shelves, graph_name, task.taps):
            with suppress(Exception):
                return run_apart(_compile_part, name, task, graph)
    return None


def _compile_part(name, task, graph):
    """Return an engine for some outputs of a graph, checked as when it was exported."""
    outputs = graph.find_outputs(task.taps)
    engine = _KINDS[name](task, graph.content, outputs)
    expected = [graph.expected[position] for position in outputs]
    task.check(engine.run(task.example(len(expected[0]))), expected)
    return engine


def _make_anew(name, backbone, task, shelves):
    """Return an engine for a network in memory, and keep its graph."""
    from sklearn_transfer._networks.engines.plan import Plan

    network = backbone.load()
    plan = Plan(network, task.taps, task.format, task.precision, task.signature)
    engine, problem, graph = run_apart(_make, name, plan, task)
    if problem:
        warnings.warn(problem, UserWarning, stacklevel=2)
    elif graph is not None and shelves and network.question is not None:
        keep_graph(shelves, name_graph(network, name, task), graph)
    return engine


def _release_memory():
    """Drop networks used longest ago if they take too much, and what making one has left."""
    if "sklearn_transfer._networks.registry" in sys.modules:
        from sklearn_transfer._networks.registry import trim_registry

        trim_registry()
    return_memory()


def _forget_forked(backbone):
    """Forget engines made before a fork, whose threads do not exist in this process."""
    if backbone.engines and next(iter(backbone.engines.values())).process != os.getpid():
        backbone.engines.clear()


def _make(name, plan, task):
    """Make an engine; returns it, None, and the graph that it runs, if it runs one.

    If the engine that was asked for cannot run the network, PyTorch's engine and a warning
    that says why are returned.
    """
    from sklearn_transfer._networks.engines.plan import to_tensors
    from sklearn_transfer._networks.engines.torch import TorchEngine
    from sklearn_transfer._networks.onnx import export_graph

    if name == "torch":
        return TorchEngine(plan), None, None
    example = plan.example(3 if plan.ragged_names else 2)  # not the size of the export
    found = plan.forward(to_tensors(example), precision="float32")
    expected = [tensor.cpu().numpy() for tensor in found]
    try:
        with export_graph(plan) as content:
            engine = _KINDS[name](task, content)
        plan.check(engine.run(example), expected)
    except Exception as error:  # whatever an exporter or a compiler raises
        reason = str(error).strip().partition("\n")[0][:200]
        return (
            TorchEngine(plan),
            (
                f"{name} cannot run {plan.backbone.label} ({type(error).__name__}: {reason});"
                " PyTorch runs it instead, with the same features; pass engine='torch' to"
                " silence this warning"
            ),
            None,
        )
    return engine, None, Graph(content, describe_taps(task.taps), expected)
