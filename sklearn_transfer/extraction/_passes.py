"""Passes of payloads through a network, which give features of whole batches."""

import time
from collections import deque

import numpy as np

from sklearn_transfer._modalities.contents import add_input_note
from sklearn_transfer._modalities.payloads import compute_signature
from sklearn_transfer._process.threads import Threads, limit_to_one_core


class Passes:
    """Run batches of payloads through a network, several at a time on a CPU.

    On a CPU, a network of a library runs in several threads, each with a batch of its own.
    With several threads for one operation, these would wait for each other, and would stall
    for milliseconds whenever another program uses a core. A user's module, which may keep
    state, runs in one thread.

    Parameters
    ----------
    reader : Reader
        Collates payloads.
    backbone : Backbone
        The network.
    taps : list of Tap
        Where features leave it.
    options : PassOptions
        Engine, precision and size of batches, among others.
    keep : callable
        `keep(keys, features)` is called in a worker's thread with the digests of finite rows
        and a list of their vectors, as soon as they are computed.

    Attributes
    ----------
    n_computed : int
        Samples that went through the network.
    started : float or None
        Time of `time.perf_counter` when the engine was ready for the first batch.
    """

    def __init__(self, reader, backbone, taps, options, keep):
        self.reader, self.backbone, self.taps = reader, backbone, taps
        self.options, self.keep = options, keep
        self.engine, self.signature, self.batch_size, self.first_row = None, None, 1, None
        self.pending, self.running, self.pool = [], deque(), None
        self.n_computed, self.started = 0, None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def add(self, row, key, payload):
        """Add the payload of a row; returns the batches that are finished by now.

        A batch is (keys, features, finite): digests, one matrix per tap, and which rows are
        finite. Raises ValueError if a payload has another signature than the first one.
        """
        signature = compute_signature(payload)
        if self.engine is None:
            self._start(row, signature)
        if signature != self.signature:
            label = self.options.row_label
            raise ValueError(
                self.reader.describe_mismatch(
                    self.signature, label(self.first_row), signature, label(row)
                )
            )
        self.pending.append((key, payload))
        return self.flush() if len(self.pending) >= self.batch_size else []

    def flush(self):
        """Hand the pending batch to the workers; returns the batches that are finished."""
        if not self.pending:
            return []
        keys, payloads = zip(*self.pending, strict=True)
        self.pending = []
        self.running.append((keys, self.pool.submit(self._run, keys, payloads)))
        finished = []
        while len(self.running) > self.engine.n_workers:
            finished.append(self._finish_oldest())
        return finished

    def drain(self):
        """Yield all remaining batches, in order."""
        yield from self.flush()
        while self.running:
            yield self._finish_oldest()

    def _start(self, row, signature):
        """Make the engine for payloads like the first one."""
        from sklearn_transfer._networks.engines.choice import make_engine

        self.first_row, self.signature = row, signature
        options = self.options
        with self._add_input_note():
            self.engine = make_engine(
                options.engine,
                options.precision,
                self.backbone,
                self.taps,
                self.reader.format,
                signature,
            )
        n_workers = self.engine.n_workers
        self.pool = Threads(n_workers, limit_to_one_core if n_workers > 1 else None)
        self.batch_size = self.engine.choose_batch_size(options.batch_size)
        self.started = time.perf_counter()

    def _add_input_note(self):
        shape = self.reader.format.input_shape(self.signature)
        return add_input_note(self.backbone.label, shape, self.reader.input_source)

    def _run(self, keys, payloads):
        """Compute features of a batch and store finite rows; returns features and `finite`."""
        with self._add_input_note():
            features = self.engine.run(self.reader.collate(payloads))
        for tap, matrix in zip(self.taps, features, strict=True):
            self.backbone.widths[tap, self.signature] = matrix.shape[1]
        finite = np.logical_and.reduce([np.isfinite(f).all(axis=1) for f in features])
        # If the requested engine could not run the network, PyTorch did. Its features are
        # stored under the key of the requested engine only in float32, in which engines agree.
        options = self.options
        is_kept = options.precision == "float32" or self.engine.name == options.engine
        rows = np.flatnonzero(finite) if is_kept else []
        self.keep(keys, [(keys[i], [f[i] for f in features]) for i in rows])
        return features, finite

    def _finish_oldest(self):
        keys, future = self.running.popleft()
        features, finite = future.result()
        self.n_computed += len(keys)
        return keys, features, finite
