"""One walk over samples: what is cached is copied, the rest goes in batches."""

import functools
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import joblib
import numpy as np
from threadpoolctl import ThreadpoolController

from sklearn_transfer.extraction._digests import KEY_VERSION, digest
from sklearn_transfer.extraction._inputs import BadSampleError, check_paths, describe

# Input elements a batch, on a CPU and on a GPU: 4 and 64 images of 224 pixels.
_ELEMENTS = (4 * 3 * 224 * 224, 64 * 3 * 224 * 224)


class Extraction:
    """Features of samples at some taps; decoding, computing and storing overlap."""

    def __init__(self, estimator, samples, backbone, taps, collect):
        self.samples, self.backbone, self.taps = samples, backbone, taps
        self.reader = estimator._make_reader(backbone)
        self.store = estimator._store()
        self.on_error, self.verbose = estimator.on_error, estimator.verbose
        self.batch_size = estimator.batch_size
        self.n_threads = _n_threads(estimator.n_jobs)
        self.n_ahead = 16 + 4 * self.n_threads
        self.collect, self.output, self.bad = collect, None, []
        self.contexts = [
            digest(KEY_VERSION, backbone.digest, self.reader.key, *_tap_key(tap))
            for tap in taps
        ]
        self.waiting, self.payloads, self.running = {}, [], deque()
        self.workers = _Workers(backbone)

    def run(self):
        """Walk over all samples; `output` then holds the features."""
        if self.on_error == "raise":
            _check_paths(self.samples)
        bar = _progress(self.backbone.label, len(self.samples), self.verbose)
        with bar, self.workers, closing(self._loaded()) as rows:
            for row, loaded in enumerate(rows):
                self._take(row, loaded)
                bar.update()
            self._drain()
        self._settle_bad()
        return self

    def _loaded(self):
        """What `_load` returns, of each row in order; threads stay a bounded way ahead."""
        if not self.reader.threaded:
            yield from map(self._load, range(len(self.samples)))
            return
        queue = deque()
        with ThreadPoolExecutor(self.n_threads) as pool:
            try:
                for row, sample in enumerate(self.samples):
                    queue.append(self._known(sample) or pool.submit(self._load, row))
                    while queue and (_is_known(queue[0]) or len(queue) > self.n_ahead):
                        yield _result(queue.popleft())
                while queue:
                    yield _result(queue.popleft())
            finally:
                for item in queue:
                    if not _is_known(item):
                        item.cancel()

    def _known(self, sample):
        """Digest, without payload, of a sample that is cached; None if it must be read."""
        try:
            key = self.reader.known_digest(sample)
        except BadSampleError:
            return None
        return None if key is None or self._cached(key) is None else (key, None)

    def _load(self, row):
        """Digest and, unless the cache has it, prepared payload; or what is wrong."""
        sample = self.samples[row]
        try:
            key, content = self.reader.read(sample)
            if self._cached(key) is not None:
                return key, None
            return key, self.reader.prepare(content)
        except BadSampleError as error:
            return error
        except Exception as error:
            error.add_note(f"while preparing row {row} ({describe(sample)})")
            raise

    def _cached(self, key):
        return self.store.get(self.contexts, key) if self.store is not None else None

    def _take(self, row, loaded):
        if isinstance(loaded, BadSampleError):
            self._note_bad(row, loaded)
            return
        key, payload = loaded
        if key in self.waiting:
            self.waiting[key].append(row)
            return
        vectors = self._cached(key)
        if vectors is not None:
            self.store.count(hits=1)
            self._write([row], vectors)
            return
        if payload is None:  # evicted since it was seen
            self._take(row, self._load(row))
            return
        self.waiting[key] = [row]
        self.payloads.append((key, payload))
        if len(self.payloads) >= self._rows_a_batch(payload):
            self._flush()

    def _rows_a_batch(self, payload):
        if self.batch_size == "auto":
            elements = _ELEMENTS[self.backbone.device.type != "cpu"]
            self.batch_size = min(max(elements // max(payload.size, 1), 1), 1024)
        return self.batch_size

    def _flush(self):
        """Send the batch at hand to the workers, and take what they have finished."""
        if not self.payloads:
            return
        keys, payloads = zip(*self.payloads, strict=True)
        self.payloads = []
        _check_shapes(payloads, [self.waiting[key][0] for key in keys])
        self.running.append((keys, self.workers.submit(self._forward, payloads)))
        while len(self.running) > self.workers.count:
            self._finish_oldest()

    def _drain(self):
        self._flush()
        while self.running:
            self._finish_oldest()

    def _finish_oldest(self):
        keys, future = self.running.popleft()
        features = future.result()
        finite = np.logical_and.reduce([np.isfinite(f).all(axis=1) for f in features])
        bad = []
        for i, key in enumerate(keys):
            rows = self.waiting.pop(key)
            self._count(rows)
            if finite[i]:
                self._keep(key, rows, [matrix[i] for matrix in features])
            else:
                bad += rows
        for row in bad:
            reason = f"{self.backbone.label} gives features that are not finite"
            self._note_bad(row, BadSampleError(reason))

    def _forward(self, payloads):
        from sklearn_transfer.extraction._taps import forward

        batch = self.reader.collate(payloads, self.backbone.device)
        if self.backbone.stateful:  # its code may ask for `view`
            batch = batch.contiguous()
        try:
            outputs = forward(self.backbone, self.taps, batch)
        except Exception as error:
            shape = tuple(batch.shape)
            error.add_note(f"{self.backbone.label} was given a batch of shape {shape}")
            raise
        shape = tuple(batch.shape[1:])
        for tap, output in zip(self.taps, outputs, strict=True):
            self.backbone.widths[tap, shape] = output.shape[1]
        return [output.cpu().numpy() for output in outputs]

    def _keep(self, key, rows, vectors):
        if self.store is not None:
            self.store.put(self.contexts, key, vectors)
        self._write(rows, vectors)

    def _count(self, rows):
        if self.store is not None:
            self.store.count(hits=len(rows) - 1, misses=1)

    def _write(self, rows, vectors):
        if self.output is None:
            self._allocate(vectors)
        if self.collect:
            for row in rows:
                np.concatenate(vectors, out=self.output[row])

    def _allocate(self, vectors):
        n, width = len(self.samples), sum(map(len, vectors))
        self.output = np.empty((n if self.collect else 0, width), dtype=np.float32)
        if self.store is not None and not self.store.fits(
            n * len(vectors), 4 * width // len(vectors)
        ):
            warnings.warn(
                f"The features of {n} samples, {n * width * 4 / 1e6:.0f} MB, do not fit into"
                f" the cache of {self.store.max_bytes / 1e6:.0f} MB and will be computed"
                " again at the next call. Start Python with the environment variable"
                " SKLEARN_TRANSFER_CACHE_BYTES at a larger number, or pool to fewer features",
                UserWarning,
                stacklevel=2,
            )

    def _note_bad(self, row, error):
        if self.on_error == "raise":
            self._drain()  # what was computed so far stays in the cache
            raise _sample_error(row, self.samples[row], error) from error
        self.bad.append((row, error))

    def _settle_bad(self):
        if not self.bad:
            return
        row, error = min(self.bad, key=lambda pair: pair[0])
        if self.output is None:
            raise ValueError(
                f"none of the {len(self.samples)} samples can be used; the first is row"
                f" {row} ({describe(self.samples[row])}): {error}"
            ) from error
        if self.collect:
            self.output[[row for row, _ in self.bad]] = np.nan
        warnings.warn(
            f"{len(self.bad)} of {len(self.samples)} samples cannot be used and give rows"
            f" of NaN; the first is row {row} ({describe(self.samples[row])}): {error}",
            UserWarning,
            stacklevel=2,
        )


class _Workers:
    """Threads that run forward passes, made when the first pass is due.

    On a CPU a network of a library runs in several threads, a batch in each, since the
    threads of one operation wait for each other and stall for milliseconds whenever
    another program takes a core. A user's module, which may keep state, runs in one.
    """

    def __init__(self, backbone):
        self.backbone, self.pool = backbone, None
        self.count = 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def submit(self, function, *args):
        if self.pool is None:
            self.pool = self._make_pool()
        return self.pool.submit(function, *args)

    def _make_pool(self):
        import torch

        if self.backbone.stateful or self.backbone.device.type != "cpu":
            return ThreadPoolExecutor(1)
        self.count = torch.get_num_threads()
        return ThreadPoolExecutor(self.count, initializer=_use_one_core)


def _use_one_core():
    """Keep the operations of this thread, and of no other, to one core."""
    import torch

    torch.get_num_threads()  # else torch sets its number at the first operation
    _thread_pools().limit(limits=1, user_api="openmp")


@functools.cache
def _thread_pools():
    return ThreadpoolController()


def _check_paths(samples):
    try:
        check_paths(samples)
    except BadSampleError as error:
        reason, row = error.args
        raise _sample_error(row, samples[row], reason) from None


def _sample_error(row, sample, reason):
    return ValueError(
        f"row {row} ({describe(sample)}): {reason}. Repair or drop it; with on_error='nan'"
        " the other rows are computed and this one is NaN"
    )


def _tap_key(tap):
    return tap.kind, tap.name, tap.pooling


def _check_shapes(payloads, rows):
    for payload, row in zip(payloads, rows, strict=True):
        if payload.shape != payloads[0].shape:
            raise ValueError(
                f"preprocess gives shape {payloads[0].shape} for row {rows[0]} but"
                f" {payload.shape} for row {row}; it must end in one size"
            )


def _n_threads(n_jobs):
    return joblib.effective_n_jobs(-1 if n_jobs is None else n_jobs)


def _is_known(item):
    return isinstance(item, tuple)


def _result(item):
    return item if _is_known(item) else item.result()


def _progress(label, total, verbose):
    if verbose:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm(total=total, desc=label, unit="sample", disable=not verbose)
