"""Extraction of features: stored ones are copied, others are computed by the network.

    samples > look up > read > claim > prepare > pass > store > matrix

`Extraction.run` is that path; each step stands in a module of its own.
"""

import time
import warnings
from collections import deque
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice

import joblib
import numpy as np

from sklearn_transfer._callbacks import NO_TASK
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.remarks import Remarks
from sklearn_transfer._modalities.samples import label_row
from sklearn_transfer._networks.machine import count_cores
from sklearn_transfer._process.threads import Threads
from sklearn_transfer.extraction._dialogue import Dialogue, compute_contexts
from sklearn_transfer.extraction._matrix import Matrix, RaggedMatrix
from sklearn_transfer.extraction._passes import Passes

# Number of samples that are looked up at once, and that a thread is handed at most.
_LOOKED_UP, _HANDED = 1000, 4


@dataclass(frozen=True)
class PassOptions:
    """How samples are passed through a network.

    Parameters
    ----------
    engine : {"torch", "openvino", "onnxruntime"}
        Name of the engine that runs the network.
    precision : {"float32", "bfloat16"}, default="float32"
        Arithmetic of the network.
    batch_size : int or "auto", default="auto"
        Samples in a batch.
    n_threads : int, default=1
        Threads that read samples.
    on_error : {"raise", "nan"}, default="raise"
        Whether a sample that cannot be used raises an error or gives a row of NaN.
    verbose : bool or int, default=False
        Whether to show a progress bar.
    collect : bool, default=True
        Whether features are returned. If not, they are only stored.
    signature : tuple or None, default=None
        Signature of payloads of an earlier call, used if no sample can be read.
    row_label : callable, default=label_row
        `row_label(row)` is what messages call a row.
    advice : str, default=""
        End of messages about a sample.
    shelves : Shelves, default=()
        Where graphs of networks are.
    content : {"features", "activations"}, default="features"
        What messages call the vectors.
    allocate : callable, default=numpy.empty
        Makes the matrix of features. Where samples differ in length and activations are kept
        as they are, its shape is (n_rows, None), and a vector is assigned to each row.
    task : Task, default=NO_TASK
        Its subtasks are parts of the samples.
    """

    engine: str
    precision: str = "float32"
    batch_size: int | str = "auto"
    n_threads: int = 1
    on_error: str = "raise"
    verbose: bool | int = False
    collect: bool = True
    signature: tuple | None = None
    row_label: object = label_row
    advice: str = ""
    shelves: object = ()
    content: str = "features"
    allocate: object = np.empty
    task: object = NO_TASK


class Extraction:
    """Compute features of samples at some taps; reading, computing and storing overlap.

    Parameters
    ----------
    samples : sequence of n_samples samples
        A list or an array.
    reader : Reader
        Turns samples into payloads.
    store : Store
        Where vectors are kept.
    backbone : Backbone
        The network.
    taps : list of Tap
        Where features leave it.
    options : PassOptions
        How samples are passed through the network.

    Attributes
    ----------
    output : ndarray of shape (n_samples, n_features), float32
        The features, the taps side by side.
    widths : list of int
        Number of features of each tap.
    n_computed : int
        Samples that went through the network.
    seconds : float
        Time that they took, without that of making the engine.
    """

    def __init__(self, samples, reader, store, backbone, taps, options):
        self.samples, self.reader, self.backbone = samples, reader, backbone
        self.taps, self.options = taps, options
        contexts = compute_contexts(backbone, reader, taps, options)
        self.dialogue = Dialogue(store, contexts)
        self.passes = Passes(reader, backbone, taps, options, self.dialogue)
        self.is_ragged = reader.format.is_ragged and any(t.pooling == "raw" for t in taps)
        kind = RaggedMatrix if self.is_ragged else Matrix
        self.matrix = kind(len(samples), options.collect, options.allocate)
        self.digests, self.bad, self.remarks = {}, [], Remarks()
        self.n_cached, self.seconds = 0, 0.0
        is_quick = all(map(reader.is_quick, samples))
        self.pool = None if is_quick else Threads(options.n_threads)

    @property
    def output(self):
        return self.matrix.array

    @property
    def widths(self):
        return self.matrix.widths

    @property
    def n_computed(self):
        return self.passes.n_computed

    def run(self):
        """Process all samples; `output` then holds the features."""
        progress = show_progress(
            self.backbone.label, len(self.samples), self.reader.unit, self.options.verbose
        )
        self.counter = self.options.task.count_rows(len(self.samples))
        with progress as self.bar, self.pool or nullcontext(), self.passes:
            try:
                rows = self._copy_known()
                while rows:
                    busy = self._compute(rows)
                    # Claims are released before waiting: two extractions that each wait for
                    # a sample claimed by the other would never end.
                    self.dialogue.release()
                    rows = self.dialogue.wait_for_others(busy, self._write_known)
            finally:
                self.dialogue.release()
        if self.passes.started is not None:
            self.seconds = time.perf_counter() - self.passes.started
        if self.is_ragged:  # how long vectors are is known by now
            self._warn_if_too_small(self.matrix.n_values)
        self._settle_bad()
        self.remarks.warn(len(self.samples), self.options.row_label, self.reader)
        return self

    def _copy_known(self):
        """Copy stored vectors of samples whose digest is known; returns the other rows."""
        rest = []
        for start in range(0, len(self.samples), _LOOKED_UP):
            rows, keys = [], []
            for row in range(start, min(start + _LOOKED_UP, len(self.samples))):
                try:
                    key = self.reader.known_digest(self.samples[row])
                except BadSampleError as error:
                    self._note_bad(row, error)
                    continue
                if key is None:
                    rest.append(row)
                else:
                    rows.append(row)
                    keys.append(key)
            rest += self._write_found(rows, keys, self.dialogue.lookup(keys))
        return sorted(rest)

    def _compute(self, rows):
        """Compute features of rows; returns (row, digest) of rows that others compute."""
        busy = []
        contents = self._run_ahead(self._read, rows)
        claimed = self.dialogue.claim(contents, busy, self._write_known)
        with closing(self._run_ahead(self._prepare, claimed)) as prepared:
            try:
                for row, key, content in prepared:
                    payload = self._call_unless_bad(row, self.reader.finish, content)
                    self._add_to_passes(row, key, payload)
            except Exception:
                with suppress(Exception):  # what was prepared before is still stored
                    self._write_batches(self.passes.drain())
                raise
        self._write_batches(self.passes.drain())
        return busy

    def _add_to_passes(self, row, key, payload):
        """Hand the payload of a row to the network, or note that there is none."""
        if not isinstance(payload, BadSampleError):
            try:
                self._write_batches(self.passes.add(row, key, payload))
                return
            except BadSampleError as error:  # a sample that is read in windows breaks off
                self._write_batches(error.finished)
                payload = error
        for waiting in self.dialogue.waiting.pop(key, [row]):
            self._note_bad(waiting, payload)

    def _read(self, row):
        """Return row, digest and content of one sample, or a BadSampleError as content."""
        key = self.digests.pop(row, None)
        found = self._call_unless_bad(row, self.reader.read, self.samples[row], key)
        if isinstance(found, BadSampleError):
            return row, None, found
        self.reader.add_remarks(found[1], partial(self.remarks.add, row))
        return row, *found

    def _prepare(self, item):
        """Return row, digest and payload of one sample, or a BadSampleError as payload."""
        row, key, content = item
        note = partial(self.remarks.add, row)
        return row, key, self._call_unless_bad(row, self.reader.prepare, content, note)

    def _call_unless_bad(self, row, function, content, *args):
        """Call a function with content of a sample; returns its result or a BadSampleError.

        Other errors get a note that names the row.
        """
        if isinstance(content, BadSampleError):
            return content
        try:
            return function(content, *args)
        except BadSampleError as error:
            return error
        except Exception as error:
            error.add_note(f"while preparing {self.describe(row)}")
            raise

    def describe(self, row):
        """Name of a row in messages, with its sample."""
        return f"{self.options.row_label(row)} ({self.reader.describe(self.samples[row])})"

    def _run_ahead(self, function, items):
        """Return results in order; threads, if there are any, compute some in advance."""
        if self.pool is None:
            return map_lazily(function, items)
        handed = count_handed(self.options.n_threads, len(self.samples), self.reader)
        return map_ahead(self.pool, function, items, *handed)

    def _write_batches(self, batches):
        for keys, features, finite in batches:
            bad = []
            for i, key in enumerate(keys):
                rows = self.dialogue.take_waiting(key)
                if finite[i]:
                    self._write(rows, [matrix[i] for matrix in features])
                else:
                    bad += rows
            for row in bad:
                reason = f"{self.backbone.label} gives features that are not finite"
                self._note_bad(row, BadSampleError(reason))

    def _write_found(self, rows, keys, answers):
        """Write the stored vectors of rows; returns the rows that are not stored.

        Consecutive rows that are all found, as in a second call, are copied at once.
        """
        if not rows:
            return []
        is_run = rows[-1] + 1 - rows[0] == len(rows) and all(type(a) is list for a in answers)
        if is_run:
            self._allocate(answers[0])
            self.dialogue.store.count(hits=len(rows))
            self.n_cached += len(rows)
            self.matrix.write_run(rows[0], answers)
            self._show(len(rows))
            return []
        rest = []
        for row, key, answer in zip(rows, keys, answers, strict=True):
            if isinstance(answer, list):
                self._write_known(row, answer)
            else:
                rest.append(row)
                self.digests[row] = key
        return rest

    def _write_known(self, row, vectors):
        self.dialogue.store.count(hits=1)
        self.n_cached += 1
        self._write([row], vectors)

    def _write(self, rows, vectors):
        self._allocate(vectors)
        self.matrix.write(rows, vectors)
        self._show(len(rows))

    def _allocate(self, vectors):
        if self.matrix.array is None:
            self.matrix.allocate([len(vector) for vector in vectors])
            if not self.is_ragged:
                self._warn_if_too_small(len(self.samples) * sum(self.matrix.widths))

    def _warn_if_too_small(self, n_values):
        self.dialogue.warn_if_too_small(len(self.samples), n_values, self.options.content)

    def _show(self, n):
        self.bar.update(n)
        self.counter.update(n)
        if self.options.verbose:
            self.bar.set_postfix(cached=self.n_cached, refresh=False)

    def _note_bad(self, row, error):
        if self.options.on_error == "raise":
            self._write_batches(self.passes.drain())  # what is computed is still stored
            advice = self.options.advice
            raise ValueError(
                f"{self.describe(row)}: {error}. Repair or drop it{advice}"
            ) from error
        self.bad.append((row, error))
        self.bar.update()
        self.counter.update()

    def _settle_bad(self):
        if not self.bad:
            return
        row, error = min(self.bad, key=lambda pair: pair[0])
        if self.matrix.array is None and self.options.collect:
            self.matrix.allocate(find_unseen_widths(self, row, error))
        self.matrix.write_nan([row for row, _ in self.bad])
        warnings.warn(
            f"{len(self.bad)} of {len(self.samples)} samples cannot be used and give rows"
            f" of NaN; the first is {self.describe(row)}: {error}",
            UserWarning,
            stacklevel=2,
        )


def find_unseen_widths(extraction, row, error):
    """Widths of the features where no sample can be used: those of a usable one.

    `row` is the first sample, and `error` says why it cannot be used.
    """
    from sklearn_transfer._networks.widths import find_width

    backbone, reader, samples = extraction.backbone, extraction.reader, extraction.samples
    signature = reader.find_signature(samples) or extraction.options.signature
    if signature is None:
        raise ValueError(
            f"None of the {len(samples)} samples can be used, and no earlier one"
            f" tells how wide a row of features is; the first is {extraction.describe(row)}:"
            f" {error}. Call fit with a sample that can be read."
        ) from error
    return [find_width(backbone, tap, reader, signature) for tap in extraction.taps]


def count_handed(n_threads, n_samples, reader):
    """Items that a thread is handed at a time, and such parts that wait, for `map_ahead`."""
    if reader.is_ordered:  # whole pictures wait in memory, so few are prepared
        return 1, n_threads
    n_handed = min(max(n_samples // (4 * n_threads), 1), _HANDED)
    return n_handed, (8 + 2 * n_threads) // n_handed


def map_lazily(function, items):
    """Yield results of a function, each computed when it is asked for."""
    yield from map(function, items)


def map_ahead(pool, function, items, n_handed, n_ahead):
    """Yield results of a function in order, some of which threads compute in advance.

    A thread is handed `n_handed` items at a time, and at most `n_ahead` such parts wait.
    """
    queue, items = deque(), iter(items)
    try:
        while part := list(islice(items, n_handed)):
            queue.append(pool.submit(_collect_results, function, part))
            if len(queue) > n_ahead:
                yield from _take_results(queue.popleft())
        while queue:
            yield from _take_results(queue.popleft())
    finally:
        for future in queue:
            future.cancel()


def _collect_results(function, items):
    """Return the results up to the first error, and that error or None."""
    results = []
    for item in items:
        try:
            results.append(function(item))
        except Exception as error:
            return results, error
    return results, None


def _take_results(future):
    results, error = future.result()
    yield from results
    if error is not None:
        raise error


def count_threads(n_jobs):
    """Return the number of threads for a value of the parameter `n_jobs`."""
    if n_jobs is None:
        return count_cores()
    return joblib.effective_n_jobs(n_jobs)


class _NoProgress(nullcontext):
    """Progress bar that shows nothing; even a disabled bar of tqdm starts a thread."""

    def __enter__(self):
        return self

    def update(self, n=1):
        pass


def show_progress(label, total, unit, verbose):
    """Return a progress bar over samples, or one that shows nothing."""
    if not verbose:
        return _NoProgress()
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=label, unit=f" {unit}s")
