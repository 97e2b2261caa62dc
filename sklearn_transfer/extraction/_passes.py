"""Passes of payloads through a network, which give features of whole batches."""

import time
from collections import deque

import numpy as np

from sklearn_transfer._modalities.contents import BadSampleError, add_input_note
from sklearn_transfer._modalities.payloads import Stream
from sklearn_transfer._process.threads import Threads, limit_to_one_core
from sklearn_transfer.extraction._batches import (
    Part,
    SortedWaiting,
    Waiting,
    WindowMeans,
    list_parts,
)


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
    dialogue : Dialogue
        Keeps the vectors of finite rows as soon as they are computed, in a worker's thread,
        and knows those of windows that were computed before.

    Attributes
    ----------
    n_computed : int
        Samples that went through the network.
    started : float or None
        Time of `time.perf_counter` when the engine was ready for the first batch.
    """

    def __init__(self, reader, backbone, taps, options, dialogue):
        self.reader, self.backbone, self.taps = reader, backbone, taps
        self.options, self.dialogue = options, dialogue
        self.engine, self.signature, self.first_row = None, None, None
        self.waiting, self.windows = None, WindowMeans()
        self.running, self.pool = deque(), None
        self.n_computed, self.started = 0, None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def add(self, row, key, payload):
        """Add the payload of a row; returns the batches that are finished by now.

        A batch is (keys, features, finite): digests, one matrix per tap, and which rows are
        finite. Raises ValueError if a payload has another signature than the first one, and
        BadSampleError if a sample that is read meanwhile, a `Stream`, cannot be used.
        """
        if isinstance(payload, Stream):
            return self._add_stream(row, key, payload)
        parts = list_parts(key, payload)
        return [batch for part in parts for batch in self._add_part(row, part)]

    def _add_part(self, row, part):
        signature = self.reader.format.compute_signature(part.payload)
        if self.engine is None:
            self._start(row, signature)
        if signature != self.signature:
            label = self.options.row_label
            raise ValueError(
                self.reader.describe_mismatch(
                    self.signature, label(self.first_row), signature, label(row)
                )
            )
        is_full = self.waiting.add(part)
        return self._feed_workers(self.waiting.take()) if is_full else []

    def _add_stream(self, row, key, stream):
        """Add windows as they come, of which those that are known need no pass."""
        finished, count, n_new = [], 0, 0
        try:
            for window in stream:
                part = Part(key, {}, count, None, window.weight, window.digest, window.channel)
                count += 1
                known = self.dialogue.lookup_window(window.digest)
                if known is not None:
                    self.windows.add(part, known)
                    continue
                n_new += 1
                part = part._replace(payload=window.make_payload())
                finished += [batch for batch in self._add_part(row, part) if batch[0]]
        except BadSampleError as error:
            self.windows.drop(key)
            error.finished = finished
            raise
        vectors = self.windows.close(key, count)
        if vectors is not None:  # no pass is left that would complete the sample
            self.n_computed += n_new > 0
            batch = [vector[None] for vector in vectors]
            finished.append(self._keep([key], batch, True, is_new=n_new > 0))
        return finished

    def drain(self):
        """Yield all remaining batches, in order."""
        while self.waiting is not None and (parts := self.waiting.take()):
            yield from self._feed_workers(parts)
        while self.running:
            yield self._finish_oldest()

    def _feed_workers(self, parts):
        """Hand a batch to the workers; returns the batches that are finished."""
        self.running.append(self.pool.submit(self._run, parts))
        finished = []
        while len(self.running) > self.engine.n_workers:
            finished.append(self._finish_oldest())
        return finished

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
                options.shelves,
            )
        n_workers = self.engine.n_workers
        self.pool = Threads(n_workers, limit_to_one_core if n_workers > 1 else None)
        self.waiting = self._make_waiting(self.engine.choose_batch_size(options.batch_size))
        self.started = time.perf_counter()

    def _make_waiting(self, batch_size):
        format = self.reader.format
        if not format.is_ragged:
            return Waiting(format, batch_size)
        is_free = self.options.batch_size == "auto"
        most = batch_size * format.example_length if is_free else None
        return SortedWaiting(format, batch_size, most)

    def _add_input_note(self):
        shape = self.reader.format.input_shape(self.signature)
        return add_input_note(self.backbone.label, shape, self.reader.input_source)

    def _run(self, parts):
        """Compute features of a batch and store finite rows.

        Returns keys, features and `finite` of the samples that are complete.
        """
        with self._add_input_note():
            batch = self.reader.collate([part.payload for part in parts])
            features = self.engine.run(batch)
        features = self._cut(parts, features)
        # If the requested engine could not run the network, PyTorch did. Its features are
        # stored under the key of the requested engine only in float32, in which engines agree.
        options = self.options
        is_kept = options.precision == "float32" or self.engine.name == options.engine
        if is_kept:
            self.dialogue.keep([], _list_windows(parts, features))
        return self._keep(*self.windows.join(parts, features), is_kept)

    def _keep(self, keys, features, is_kept, is_new=True):
        """Store the finite rows of complete samples; returns a batch.

        They are new unless all their windows were known.
        """
        finite = np.logical_and.reduce([_find_finite(matrix) for matrix in features])
        rows = np.flatnonzero(finite) if is_kept else []
        entries = [(keys[i], [f[i] for f in features]) for i in rows]
        self.dialogue.keep(keys, entries, is_new)
        return keys, features, finite

    def _cut(self, parts, features):
        """Features without those of padding, where activations are kept as they are.

        These are then a list of vectors.
        """
        format, found = self.reader.format, []
        for tap, matrix in zip(self.taps, features, strict=True):
            if not (format.is_ragged and tap.pooling == "raw"):
                self.backbone.widths[tap, self.signature] = matrix.shape[1]
                found.append(matrix)
                continue
            if format.needs_equal_lengths:  # nothing is padded
                found.append(list(matrix))
                continue
            lengths = [format.get_length(part.payload) for part in parts]
            width = matrix.shape[1] // max(lengths)
            pairs = zip(matrix, lengths, strict=True)
            found.append([row[: length * width] for row, length in pairs])
        return found

    def _finish_oldest(self):
        keys, features, finite = self.running.popleft().result()
        self.n_computed += len(keys)
        return keys, features, finite


def _list_windows(parts, features):
    """Digest and vectors of each window that has a digest of its own and is finite."""
    found = [
        (part.digest, [matrix[i] for matrix in features])
        for i, part in enumerate(parts)
        if part.digest is not None
    ]
    return [pair for pair in found if all(np.isfinite(vector).all() for vector in pair[1])]


def _find_finite(matrix):
    """Which rows are finite."""
    if isinstance(matrix, list):
        return np.array([np.isfinite(vector).all() for vector in matrix], dtype=bool)
    return np.isfinite(matrix).all(axis=1)
