"""Base class of engines that compile a graph."""

import os
from abc import ABC, abstractmethod

import numpy as np


class CompiledEngine(ABC):
    """Engine with a compiled graph that takes one sample at a time, on one core per worker.

    The features of a sample are therefore bit-identical whatever batch it is in. Payloads
    that differ in length, which are small, are taken in batches of similar length.

    Parameters
    ----------
    task : Task
        What the graph computes.
    graph : bytes or str
        The graph in the format of ONNX, or the path of its file.
    outputs : list of int, default=None
        Which outputs of the graph the taps of the task are; None for all, in their order.
        Others are left out, where `leaves_out_outputs` says that this is possible.
    """

    rows = 2  # samples that a worker is handed at once
    ragged_rows = 16  # the same for payloads of example length that differ in length

    leaves_out_outputs = False

    def __init__(self, task, graph, outputs=None):
        self.task, self.process, self.outputs = task, os.getpid(), outputs
        self.n_workers = task.n_threads
        self.compile(graph, task.precision)

    @abstractmethod
    def compile(self, graph, precision):
        """Compile a graph in the format of ONNX, the bytes or the path of a file."""

    @abstractmethod
    def infer(self, inputs):
        """Return the outputs of each input, a list of arrays in the order of the task."""

    def choose_batch_size(self, batch_size):
        """Return the number of samples per batch for a value of `batch_size`."""
        if self.task.ragged_names:
            return self.ragged_rows if batch_size == "auto" else batch_size
        return self.rows if batch_size == "auto" else min(self.rows, batch_size)

    def run(self, batch):
        """Return pooled activations of a batch: one (n, width) float32 array per tap."""
        arrays = [batch[name] for name in self.task.names]
        if self.task.ragged_names:
            return self.infer([arrays])[0]
        inputs = [
            [np.ascontiguousarray(array[i : i + 1]) for array in arrays]
            for i in range(len(arrays[0]))
        ]
        return [np.concatenate(parts) for parts in zip(*self.infer(inputs), strict=True)]
