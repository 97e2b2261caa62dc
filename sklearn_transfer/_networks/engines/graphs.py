"""Graphs on shelves: networks in ONNX, checked once, which an engine runs without torch.

One graph serves several choices of layers. An engine that can leave outputs out compiles a
graph of more layers as if it had been exported for those that are asked for: the features
have the same bits, a pass takes as long, and the network need not be imported and exported.
For the default network on one core, this takes 0.6 s instead of 1.9 s, and instead of 6 s
where PyTorch and timm are not imported yet. ONNX Runtime computes all outputs of a graph, so
a shallow layer would take up to three times as long, and rounds differently then.
"""

import json
from dataclasses import dataclass

import numpy as np
import xxhash

from sklearn_transfer._networks.machine import describe_cpu
from sklearn_transfer._networks.questions import list_engine_versions
from sklearn_transfer._store.digests import digest

_ENDING = ".graph"
_LENGTH = 8  # bytes that say how long the header is


@dataclass(frozen=True)
class Graph:
    """A graph that is kept, and what the check of an engine that runs it needs.

    Parameters
    ----------
    content : bytes
        The graph in the format of ONNX.
    taps : list of [kind, name, pooling]
        What its outputs are.
    expected : list of ndarray, float32
        What PyTorch gives for the example of the task, in the order of `taps`.
    """

    content: bytes
    taps: list
    expected: list

    def find_outputs(self, taps):
        """Return the positions of taps among the outputs, or None if one is missing."""
        wanted = describe_taps(taps)
        if not all(tap in self.taps for tap in wanted):
            return None
        return [self.taps.index(tap) for tap in wanted]


def describe_taps(taps):
    """Return all of taps that decides what they give, as plain lists."""
    return [[tap.kind, tap.name, tap.pooling] for tap in taps]


def name_graph(backbone, engine, task):
    """Return the name of the file with the graph of a network for a task.

    It depends on the CPU too, since the engine's results were compared with PyTorch's there.
    Names of graphs that differ in their layers alone have the first half in common.
    """
    parts = {
        "layout": 2,  # of the file
        "question": backbone.question,
        "network": backbone.digest.hex(),
        "engine": engine,
        "precision": task.precision,
        "format": digest(task.format).hex(),
        "signature": task.signature,
        "packages": list_engine_versions(),
        "cpu": describe_cpu(),
    }
    return f"{_digest_half(parts)}{_digest_half(describe_taps(task.taps))}{_ENDING}"


def _digest_half(value):
    text = json.dumps(value, sort_keys=True)
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "surrogatepass"))


def find_graph(shelves, name, taps):
    """Return the graph of that name, or None."""
    graph = read_graph(shelves.read(name))
    return graph if graph is not None and graph.taps == describe_taps(taps) else None


def find_larger_graphs(shelves, name, taps):
    """Yield the graphs of the same network that have other outputs too, small files first."""
    family = name[: len(_digest_half(None))]
    for other in shelves.list_names(family, _ENDING):
        graph = None if other == name else read_graph(shelves.read(other))
        if graph is not None and graph.find_outputs(taps) is not None:
            yield graph


def keep_graph(shelves, name, graph):
    """Write a graph to shelves; one that is a path has several files, and is too large."""
    if isinstance(graph.content, bytes):
        shelves.write(name, write_graph(graph))


def write_graph(graph):
    """Return the bytes of a file with a graph."""
    shapes = [array.shape for array in graph.expected]
    header = json.dumps({"taps": graph.taps, "shapes": shapes}).encode()
    arrays = [np.ascontiguousarray(array, dtype="<f4").tobytes() for array in graph.expected]
    return b"".join([len(header).to_bytes(_LENGTH, "little"), header, *arrays, graph.content])


def read_graph(content):
    """Return the graph from the bytes of a file, or None if they hold none."""
    if content is None:
        return None
    try:
        start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
        header = json.loads(content[_LENGTH:start])
        expected = []
        for shape in header["shapes"]:
            count = int(np.prod(shape))
            array = np.frombuffer(content, "<f4", count, start).reshape(shape)
            expected.append(array)
            start += array.nbytes
        if len(header["taps"]) != len(expected):
            return None
        return Graph(content[start:], header["taps"], expected)
    except (ValueError, TypeError, KeyError):
        return None
