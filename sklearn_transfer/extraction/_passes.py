"""Passes through a network: payloads in, features of whole batches out."""

import time
from collections import deque

import numpy as np

from sklearn_transfer._modalities.contents import add_input_note
from sklearn_transfer._modalities.payloads import compute_signature
from sklearn_transfer._process.threads import Threads, limit_to_one_core


class Passes:
    """Batches of payloads on their way through the network, several at a time on a CPU.

    On a CPU a network of a library runs in several threads, a batch in each, since the
    threads of one operation wait for each other and stall for milliseconds whenever another
    program takes a core. A user's module, which may keep state, runs in one.

    Parameters
    ----------
    reader : Reader
        Collates payloads.
    backbone : Backbone
        The network.
    taps : list of Tap
        Where features leave it.
    options : PassOptions
        Engine, precision and size of batches.
    keep : callable
        `keep(keys, features)` is called in a worker's thread with the digests of finite rows
        and a list of their vectors, as soon as they are computed.

    Attributes
    ----------
    n_computed : int
        Samples that went through the network.
    started : float or None
        When the first batch could be run, by `time.perf_counter`, the making of the engine
        not counted.
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
        """Take the payload of a row; returns the batches that are finished by now.

        A batch is (keys, features, finite): digests, one matrix per tap, and which rows are
        finite. Raises ValueError where a payload has another signature than the first one.
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
        """Yield all batches that are left, in order."""
        yield from self.flush()
        while self.running:
            yield self._finish_oldest()

    def _start(self, row, signature):
        """Make the engine, for payloads like the first one."""
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
        """Features of a batch, and which rows are finite; these are kept at once."""
        with self._add_input_note():
            features = self.engine.run(self.reader.collate(payloads))
        for tap, matrix in zip(self.taps, features, strict=True):
            self.backbone.widths[tap, self.signature] = matrix.shape[1]
        finite = np.logical_and.reduce([np.isfinite(f).all(axis=1) for f in features])
        # Only in float32 do engines agree so far that one may answer for another.
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
