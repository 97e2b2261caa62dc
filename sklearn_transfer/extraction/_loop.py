"""One walk over samples: what is cached is copied, the rest goes in batches."""

import math
import time
import warnings
from collections import deque
from contextlib import closing, nullcontext, suppress
from functools import partial
from itertools import chain, islice

import joblib
import numpy as np

from sklearn_transfer._modalities.inputs import BadSampleError, describe, naming_input
from sklearn_transfer._modalities.remarks import Remarks
from sklearn_transfer._process.threads import Threads, limit_to_one_core
from sklearn_transfer._store.base import Answer
from sklearn_transfer._store.digests import KEY_VERSION, digest

# Samples looked up at once, claimed at once, and at most handed to a thread at once.
_LOOKED_UP, _CLAIMED, _HANDED = 1000, 16, 4
# Seconds between looks at what others compute.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.1
# Seconds without news of them before a warning says whom this waits for.
_PATIENCE = 60.0


class Extraction:
    """Features of samples at some taps; decoding, computing and storing overlap.

    Rows go, in order, through `_known`, `_read`, `_claimed`, `_prepared` and batches. Of those
    that went through the network `n_computed` is the number and `seconds` the time, without
    that of making the engine. `widths` are those of the taps in `output`.
    """

    def __init__(self, estimator, samples, backbone, taps, collect, allocate=np.empty):
        self.allocate = allocate
        self.samples, self.backbone, self.taps = samples, backbone, taps
        self.reader = estimator._make_reader(backbone)
        self.store = estimator._store()
        self.on_error, self.verbose = estimator.on_error, estimator.verbose
        self.place, self.advice = estimator._place, estimator._advice
        self.batch_size, self.precision = estimator.batch_size, estimator.precision
        self.engine_name = estimator._engine_name(backbone)
        self.n_threads = _n_threads(estimator.n_jobs)
        self.n_handed = min(max(len(samples) // (4 * self.n_threads), 1), _HANDED)
        self.n_ahead = (8 + 2 * self.n_threads) // self.n_handed
        if self.reader.is_ordered:  # whole pictures wait for their turn
            self.n_handed, self.n_ahead = 1, self.n_threads
        self.collect, self.output, self.bad, self.n_cached = collect, None, [], 0
        self.estimator, self.remarks = estimator, Remarks()
        setting = (KEY_VERSION, backbone.digest, self.reader.key)
        setting += (self.precision, self.engine_name)
        self.contexts = [digest(*setting, *_tap_key(tap)) for tap in taps]
        self.keys, self.waiting, self.payloads, self.running = {}, {}, [], deque()
        self.engine, self.shape, self.kept, self.workers = None, None, True, _Workers()
        self.n_computed, self.started, self.seconds = 0, None, 0.0
        quick = all(map(self.reader.is_quick, samples))
        self.pool = None if quick else Threads(self.n_threads)

    def run(self):
        """Walk over all samples; `output` then holds the features."""
        label, unit = self.backbone.label, self.reader.unit
        progress = _progress(label, len(self.samples), unit, self.verbose)
        with progress as self.bar, self.pool or nullcontext(), self.workers:
            try:
                rows = self._known()
                while rows:
                    busy = self._compute(rows)
                    self.store.release(self)  # who waits holds nothing that others wait for
                    rows = self._left_by_others(busy)
            finally:
                self.store.release(self)
        if self.started is not None:
            self.seconds = time.perf_counter() - self.started
        self._settle_bad()
        self.remarks.warn(len(self.samples), self.place)
        return self

    def _known(self):
        """Copy what is cached under digests that cost little; returns the other rows."""
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
            answers = self.store.lookup(self.contexts, keys)
            rest += self._write_found(rows, keys, answers)
        return sorted(rest)

    def _compute(self, rows):
        """Features of rows; returns (row, digest) of those that others are computing."""
        busy = []
        with closing(self._prepared(self._claimed(self._read(rows), busy))) as prepared:
            try:
                for row, key, payload in prepared:
                    self._take(row, key, self._unless_bad(row, self.reader.finish, payload))
            except Exception:
                with suppress(Exception):  # what was prepared before stays in the cache
                    self._drain()
                raise
        self._drain()
        return busy

    def _left_by_others(self, busy):
        """Wait for what others compute; returns rows as soon as some are to be done here."""
        pause, news = _FIRST_PAUSE, time.monotonic()
        while busy:
            answers = self.store.lookup(self.contexts, [key for _, key in busy])
            left, free = [], False
            for (row, key), answer in zip(busy, answers, strict=True):
                if isinstance(answer, list):
                    self._write_cached(row, answer)
                else:
                    left.append((row, key))
                    free |= answer is Answer.FREE
            if free:
                return [row for row, _ in left]
            if len(left) < len(busy):
                news = time.monotonic()
            elif time.monotonic() - news > _PATIENCE:
                news = math.inf
                warnings.warn(
                    f"{len(left)} samples are being computed by another thread or process that"
                    f" has given nothing for {_PATIENCE:.0f} s; this goes on when it does, or"
                    " ends. cache=None does not wait",
                    UserWarning,
                    stacklevel=2,
                )
            busy = left
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return []

    def _read(self, rows):
        return self._ahead(self._read_one, rows)

    def _read_one(self, row):
        """Row, digest and content of one sample; or in place of content what is wrong."""
        key = self.keys.pop(row, None)
        found = self._unless_bad(row, self.reader.read, self.samples[row], key)
        return (row, None, found) if isinstance(found, BadSampleError) else (row, *found)

    def _unless_bad(self, row, function, content, *args):
        """What a function makes of a sample, or what is wrong with it; notes name the row."""
        if isinstance(content, BadSampleError):
            return content
        try:
            return function(content, *args)
        except BadSampleError as error:
            return error
        except Exception as error:
            where = f"{self.place(row)} ({describe(self.samples[row])})"
            error.add_note(f"while preparing {where}")
            raise

    def _claimed(self, items, busy):
        """Those of the items that are to be computed here; what is cached is copied."""
        part = []
        for item in items:
            part.append(item)
            if len(part) == _CLAIMED:
                yield from self._claim(part, busy)
                part = []
        yield from self._claim(part, busy)

    def _claim(self, items, busy):
        ours = []
        keys = [key for _, key, _ in items if key is not None and key not in self.waiting]
        answers = dict(
            zip(keys, self.store.lookup(self.contexts, keys, owner=self), strict=True)
        )
        for row, key, content in items:
            if key in self.waiting:
                self.waiting[key].append(row)
            elif key is None or answers[key] is Answer.OURS:
                if key is not None:
                    self.waiting[key] = [row]
                ours.append((row, key, content))
            elif answers[key] is Answer.BUSY:
                busy.append((row, key))
            else:
                self._write_cached(row, answers[key])
        return ours

    def _prepared(self, items):
        return self._ahead(self._prepare_one, items)

    def _prepare_one(self, item):
        """Row, digest and payload of one sample; or in place of payload what is wrong."""
        row, key, content = item
        note = partial(self.remarks.add, row)
        return row, key, self._unless_bad(row, self.reader.prepare, content, note)

    def _ahead(self, function, items):
        """Results in order; where threads read the samples, they stay a bit ahead."""
        if self.pool is None:
            yield from map(function, items)
            return
        queue, items = deque(), iter(items)
        try:
            while part := list(islice(items, self.n_handed)):
                queue.append(self.pool.submit(_results, function, part))
                if len(queue) > self.n_ahead:
                    yield from _taken(queue.popleft())
            while queue:
                yield from _taken(queue.popleft())
        finally:
            for future in queue:
                future.cancel()

    def _take(self, row, key, payload):
        if isinstance(payload, BadSampleError):
            for waiting in self.waiting.pop(key, [row]):
                self._note_bad(waiting, payload)
            return
        if self.engine is None:
            self._start(row, payload)
        if payload.shape != self.shape[1]:
            raise ValueError(
                f"preprocess gives shape {self.shape[1]} for {self.place(self.shape[0])} but"
                f" {payload.shape} for {self.place(row)}; it must end in one size"
            )
        self.payloads.append((key, payload))
        if len(self.payloads) >= self.batch_size:
            self._flush()

    def _start(self, row, payload):
        """The engine, for payloads like the first one."""
        from sklearn_transfer._networks.engines import make_engine

        self.shape = (row, payload.shape)
        scaling = self.reader.scaling
        setting = (self.engine_name, self.precision, self.backbone, self.taps, scaling)
        with self._naming_input(payload.shape):
            self.engine = make_engine(*setting, payload)
        self.workers.count = self.engine.n_workers
        # Only in float32 do engines agree so far that one may answer for another.
        self.kept = self.precision == "float32" or self.engine.name == self.engine_name
        self.batch_size = self.engine.rows_of(self.batch_size)
        self.started = time.perf_counter()

    def _naming_input(self, shape):
        if self.reader.scaling is not None:  # pixels, whose channels the engine puts first
            shape = (shape[2], *shape[:2])
        return naming_input(self.backbone.label, shape, self.reader.shape_source)

    def _flush(self):
        """Send the batch at hand to the workers, and take what they have finished."""
        if not self.payloads:
            return
        keys, payloads = zip(*self.payloads, strict=True)
        self.payloads = []
        self.running.append((keys, self.workers.submit(self._forward, keys, payloads)))
        while len(self.running) > self.workers.count:
            self._finish_oldest()

    def _drain(self):
        self._flush()
        while self.running:
            self._finish_oldest()

    def _finish_oldest(self):
        keys, future = self.running.popleft()
        features, finite = future.result()
        self.n_computed += len(keys)
        bad = []
        for i, key in enumerate(keys):
            rows = self.waiting.pop(key)
            self.store.count(hits=len(rows) - 1)
            if finite[i]:
                self._write(rows, [matrix[i] for matrix in features])
            else:
                bad += rows
        for row in bad:
            reason = f"{self.backbone.label} gives features that are not finite"
            self._note_bad(row, BadSampleError(reason))

    def _forward(self, keys, payloads):
        """Features of a batch, which rows are finite; the finite ones are stored at once."""
        with self._naming_input(payloads[0].shape):
            features = self.engine.run(payloads)
        for tap, matrix in zip(self.taps, features, strict=True):
            self.backbone.widths[tap, self.engine.plan.input_shape] = matrix.shape[1]
        finite = np.logical_and.reduce([np.isfinite(f).all(axis=1) for f in features])
        self.store.count(misses=len(keys))
        if self.kept:
            self.store.put(
                self.contexts,
                [(keys[i], [f[i] for f in features]) for i in np.flatnonzero(finite)],
            )
        return features, finite

    def _write_found(self, rows, keys, answers):
        """As `_write_cached` for each row that is found; returns the others.

        A run of rows, all of them found, is copied at once.
        """
        if not rows:
            return []
        last = rows[-1] + 1
        whole = last - rows[0] == len(rows) and all(type(a) is list for a in answers)
        if not self.collect or not whole:
            return self._write_each(rows, keys, answers)
        if self.output is None:
            self._allocate(answers[0])
        self.store.count(hits=len(rows))
        self.n_cached += len(rows)
        piece = self.output[rows[0] : last].reshape(-1)
        np.concatenate(list(chain.from_iterable(answers)), out=piece)
        self._show(len(rows))
        return []

    def _write_each(self, rows, keys, answers):
        rest = []
        for row, key, answer in zip(rows, keys, answers, strict=True):
            if isinstance(answer, list):
                self._write_cached(row, answer)
            else:
                rest.append(row)
                self.keys[row] = key
        return rest

    def _write_cached(self, row, vectors):
        self.store.count(hits=1)
        self.n_cached += 1
        self._write([row], vectors)

    def _write(self, rows, vectors):
        if self.output is None:
            self._allocate(vectors)
        if self.collect:
            for row in rows:
                np.concatenate(vectors, out=self.output[row])
        self._show(len(rows))

    def _show(self, n):
        self.bar.update(n)
        if self.verbose:
            self.bar.set_postfix(cached=self.n_cached, refresh=False)

    def _allocate(self, vectors):
        self.widths = [len(vector) for vector in vectors]
        n, width = len(self.samples), sum(self.widths)
        self.output = self.allocate((n if self.collect else 0, width), dtype=np.float32)
        if not self.store.has_room_for(n * len(vectors), 4 * width // len(vectors)):
            bound, variable = self.store.bound
            warnings.warn(
                f"The features of {n} samples, {n * width * 4 / 1e6:.0f} MB, do not fit into"
                f" the cache of {bound / 1e6:.0f} MB and will be computed again at the next"
                f" call. Start Python with the environment variable {variable} at a larger"
                " number, or pool to fewer features",
                UserWarning,
                stacklevel=2,
            )

    def _note_bad(self, row, error):
        if self.on_error == "raise":
            self._drain()  # what was computed so far stays in the cache
            where = f"{self.place(row)} ({describe(self.samples[row])})"
            raise ValueError(f"{where}: {error}. Repair or drop it{self.advice}") from error
        self.bad.append((row, error))
        self.bar.update()

    def _settle_bad(self):
        if not self.bad:
            return
        row, error = min(self.bad, key=lambda pair: pair[0])
        if self.output is None and self.collect:
            self._allocate_unseen(row, error)
        if self.collect:
            self.output[[row for row, _ in self.bad]] = np.nan
        warnings.warn(
            f"{len(self.bad)} of {len(self.samples)} samples cannot be used and give rows"
            f" of NaN; the first is row {row} ({describe(self.samples[row])}): {error}",
            UserWarning,
            stacklevel=2,
        )

    def _allocate_unseen(self, row, error):
        """Output where no row can be used, as wide as a good row would have made it."""
        shape = self.reader.shape(self.samples) or getattr(
            self.estimator, "_input_shape", None
        )
        if shape is None:
            raise ValueError(
                f"none of the {len(self.samples)} samples can be used, and no earlier one"
                f" tells how wide a row of features is; the first is row {row}"
                f" ({describe(self.samples[row])}): {error}. Call fit with a sample that can"
                " be read"
            ) from error
        shape = tuple(shape)
        self.widths = [self.estimator._width(self.backbone, tap, shape) for tap in self.taps]
        self.output = self.allocate((len(self.samples), sum(self.widths)), dtype=np.float32)


def _results(function, items):
    """What a function gives for each item; in the last place what it raised, if it did."""
    results = []
    for item in items:
        try:
            results.append(function(item))
        except Exception as error:
            return results, error
    return results, None


def _taken(future):
    results, error = future.result()
    yield from results
    if error is not None:
        raise error


class _Workers:
    """`count` threads that run forward passes, made when the first pass is due.

    On a CPU a network of a library runs in several threads, a batch in each, since the
    threads of one operation wait for each other and stall for milliseconds whenever
    another program takes a core. A user's module, which may keep state, runs in one.
    """

    def __init__(self):
        self.pool, self.count = None, 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def submit(self, function, *args):
        if self.pool is None:
            self.pool = Threads(self.count, limit_to_one_core if self.count > 1 else None)
        return self.pool.submit(function, *args)


def _tap_key(tap):
    return tap.kind, tap.name, tap.pooling


def _n_threads(n_jobs):
    if n_jobs is None:  # torch knows what joblib leaves to its worker processes
        import torch

        return torch.get_num_threads()
    return joblib.effective_n_jobs(n_jobs)


class _NoProgress(nullcontext):
    """Shows nothing; a disabled bar of tqdm would leave a thread behind all the same."""

    def __enter__(self):
        return self

    def update(self, n=1):
        pass


def _progress(label, total, unit, verbose):
    if not verbose:
        return _NoProgress()
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=label, unit=f" {unit}s")
