"""Graphs on shelves: networks in ONNX, checked once, which an engine runs without torch."""

import json

import xxhash

from sklearn_transfer._networks.machine import describe_cpu
from sklearn_transfer._networks.questions import list_engine_versions
from sklearn_transfer._store.digests import digest


def name_graph(backbone, engine, task):
    """Return the name of the file with the graph of a network for a task.

    It depends on the CPU too, since the engine's results were compared with PyTorch's there.
    """
    parts = {
        "question": backbone.question,
        "network": backbone.digest.hex(),
        "engine": engine,
        "precision": task.precision,
        "taps": [(tap.kind, tap.name, tap.pooling) for tap in task.taps],
        "format": digest(task.format).hex(),
        "signature": task.signature,
        "packages": list_engine_versions(),
        "cpu": describe_cpu(),
    }
    text = json.dumps(parts, sort_keys=True)
    return f"{xxhash.xxh3_128_hexdigest(text.encode('utf-8', 'surrogatepass'))}.graph"


def keep_graph(shelves, name, graph):
    """Write a graph to shelves; one that is a path has several files, and is too large."""
    if isinstance(graph, bytes):
        shelves.write(name, graph)
