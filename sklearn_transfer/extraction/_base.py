"""The transform template of every modality: load, look up, collate, forward, store."""

import os
import warnings
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from numbers import Integral

import joblib
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._validation import check_feature_names_in, visual_block
from sklearn_transfer.extraction import _cache
from sklearn_transfer.extraction._digests import KEY_VERSION, digest
from sklearn_transfer.extraction._inputs import BadSampleError, check_paths, describe

# Input elements a batch: 8 images of 224 pixels stay within the caches of a CPU.
_CPU_ELEMENTS = 8 * 3 * 224 * 224
_GPU_ELEMENTS = 8 * _CPU_ELEMENTS


class _BasePretrained(TransformerMixin, BaseEstimator):
    """Samples to features through a frozen network; a subclass is only the modality.

    It says how to read X (`_check_samples`) and one sample (`_make_reader`).
    """

    _parameter_constraints: dict = {
        "model": [str, callable],
        "weights": [str, os.PathLike, Mapping, None],
        "layers": [str, Integral, list, tuple, None],
        "pooling": [str],
        "cache": [StrOptions({"memory"}), None],
        "device": [str],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "n_jobs": [Integral, None],
        "on_error": [StrOptions({"raise", "nan"})],
        "random_state": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _check_samples(self, X, reset):
        """Sequence of samples from X; `reset` as in scikit-learn's validate_data."""

    @abstractmethod
    def _make_reader(self, backbone):
        """Object with `key`, `known_digest`, `read`, `prepare`, `collate` and `shape`."""

    @abstractmethod
    def _load_backbone(self):
        """Record of the network the parameters describe."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Build the network and check the parameters; nothing is learned from X.

        Parameters
        ----------
        X : sequence of n_samples samples
            Samples as `transform` takes them.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Ready to transform.
        """
        samples = self._check_samples(X, reset=True)
        backbone = self._load_backbone()
        self._resolve(backbone, self.layers)
        self._input_shape = self._make_reader(backbone).shape(samples)
        self.weights_sha256_ = backbone.weights_sha256
        return self

    def transform(self, X):
        """Features of each sample.

        Parameters
        ----------
        X : sequence of n_samples samples
            See the class for what a sample can be.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features), float32
            One row a sample, in the order of X.

        Raises
        ------
        ValueError
            If a sample cannot be read (unless `on_error="nan"`), or if the network's
            weights are not those seen in `fit` or recorded in the pickle.
        """
        self._validate_params()
        samples = self._check_samples(X, reset=False)
        backbone = self._checked_backbone()
        taps = self._resolve(backbone, self.layers)
        return self._extract(samples, backbone, taps).output

    def precompute(self, X, layers=None):
        """Put the features of several layer choices into the cache, in one pass.

        A search over `layers` then sends no sample through the network again.

        Parameters
        ----------
        X : sequence of n_samples samples
            Samples as `transform` takes them.
        layers : list, default=None
            Values of the parameter `layers` that will be asked for; None stands for the
            estimator's own.

        Returns
        -------
        self : object
            The estimator, unchanged.
        """
        self._validate_params()
        if self.cache is None:
            raise ValueError("precompute fills the cache, but cache=None turns it off")
        samples = self._check_samples(X, reset=not hasattr(self, "weights_sha256_"))
        backbone = self._checked_backbone()
        choices = [self.layers] if layers is None else list(layers)
        taps = [tap for choice in choices for tap in self._resolve(backbone, choice)]
        self._extract(samples, backbone, list(dict.fromkeys(taps)), collect=False)
        return self

    def cache_info(self):
        """Hits, misses, entries, bytes and bound of the cache this estimator uses.

        Returns
        -------
        info : CacheInfo
            Counts of the whole process; `misses` is the number of samples that went
            through a network. All zero when `cache=None`.
        """
        store = self._store()
        return store.info() if store is not None else _cache.CacheInfo(0, 0, 0, 0, 0)

    def clear_cache(self):
        """Forget all cached features of this process and set the counts to zero.

        Returns
        -------
        self : object
            The estimator, unchanged.
        """
        store = self._store()
        if store is not None:
            store.clear()
        return self

    def get_feature_names_out(self, input_features=None):
        """Names of the output features: the layer and a number.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the names seen in `fit`, if there were any.

        Returns
        -------
        names : ndarray of str objects of shape (n_features,)
            For instance "embedding_0" or "middle_17".
        """
        check_feature_names_in(self, input_features)
        backbone = self._load_backbone()
        shape = self._known_shape(backbone)
        names = [
            f"{tap.label}_{i}"
            for tap in self._resolve(backbone, self.layers)
            for i in range(_width(backbone, tap, shape))
        ]
        return np.asarray(names, dtype=object)

    def _known_shape(self, backbone):
        shape = getattr(self, "_input_shape", None) or backbone.last_shape
        if shape is None:
            check_is_fitted(self, "_input_shape")
        return shape

    def _resolve(self, backbone, layers):
        from sklearn_transfer.extraction._taps import resolve_taps

        return resolve_taps(backbone, layers, self.pooling)

    def _checked_backbone(self):
        backbone = self._load_backbone()
        seen = getattr(self, "weights_sha256_", backbone.weights_sha256)
        if seen != backbone.weights_sha256:
            raise ValueError(
                f"{backbone.label} has weights with SHA-256 {backbone.weights_sha256[:16]}"
                f" (from {backbone.origin}), but this {type(self).__name__} was fitted with"
                f" {seen[:16]}: its features would differ. Bring those weights, or call fit"
                " again to take the new ones"
            )
        self.weights_sha256_ = seen
        return backbone

    def _store(self):
        return None if self.cache is None else _cache.memory_store()

    def _extract(self, samples, backbone, taps, collect=True):
        if self.on_error == "raise":
            _check_paths(samples)
        return _Extraction(self, samples, backbone, taps, collect).run()

    def _sk_visual_block_(self):
        return visual_block(self, self._caption())

    def _caption(self):
        model = self.model
        if not isinstance(model, str):
            model = getattr(model, "__qualname__", type(model).__name__)
        weights = self.weights
        if weights is None:
            weights = f"random weights (seed {self.random_state})"
        elif isinstance(weights, Mapping):
            weights = "weights from a mapping"
        elif weights == "pretrained":
            weights = "pretrained weights"
        digest_seen = getattr(self, "weights_sha256_", "")
        seen = f" {digest_seen[:8]}" if digest_seen else ""
        layers = "embedding" if self.layers is None else self.layers
        return f"{model}, {weights}{seen}, layers: {layers}"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


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


def _width(backbone, tap, shape):
    """Number of features of a tap, by running one empty sample if it is not known."""
    if (tap, shape) not in backbone.widths:
        import torch

        from sklearn_transfer.extraction._taps import forward

        empty = torch.zeros(1, *shape, device=backbone.device)
        backbone.widths[tap, shape] = forward(backbone, [tap], empty)[0].shape[1]
    return backbone.widths[tap, shape]


class _Extraction:
    """One walk over the samples: what is cached is copied, the rest goes in batches."""

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
        self.waiting, self.payloads = {}, []

    def run(self):
        """Walk over all samples; `output` then holds the features."""
        bar = _progress(self.backbone.label, len(self.samples), self.verbose)
        with bar, closing(self._loaded()) as rows:
            for row, loaded in enumerate(rows):
                self._take(row, loaded)
                bar.update()
            self._flush()
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
        if payload is None:  # evicted since its thread saw it
            payload = self.reader.prepare(self.reader.read(self.samples[row])[1])
        self.waiting[key] = [row]
        self.payloads.append(payload)
        if len(self.payloads) >= self._rows_a_batch(payload):
            self._flush()

    def _rows_a_batch(self, payload):
        if self.batch_size == "auto":
            on_gpu = self.backbone.device.type != "cpu"
            elements = _GPU_ELEMENTS if on_gpu else _CPU_ELEMENTS
            self.batch_size = min(max(elements // max(payload.size, 1), 1), 1024)
        return self.batch_size

    def _flush(self):
        if not self.payloads:
            return
        waiting, payloads = self.waiting, self.payloads
        self.waiting, self.payloads = {}, []
        first = [rows[0] for rows in waiting.values()]
        _check_shapes(payloads, first)
        features = self._forward(self.reader.collate(payloads, self.backbone.device))
        finite = np.logical_and.reduce([np.isfinite(f).all(axis=1) for f in features])
        for i, (key, rows) in enumerate(waiting.items()):
            if finite[i]:
                self._keep(key, rows, [matrix[i] for matrix in features])
        self._count(waiting)
        for row in np.array(first)[~finite]:
            reason = BadSampleError(
                f"{self.backbone.label} gives features that are not finite"
            )
            self._note_bad(int(row), reason)

    def _forward(self, batch):
        from sklearn_transfer.extraction._taps import forward

        try:
            outputs = forward(self.backbone, self.taps, batch)
        except Exception as error:
            shape = tuple(batch.shape)
            error.add_note(f"{self.backbone.label} was given a batch of shape {shape}")
            raise
        shape = self.backbone.last_shape = tuple(batch.shape[1:])
        for tap, output in zip(self.taps, outputs, strict=True):
            self.backbone.widths[tap, shape] = output.shape[1]
        return [output.cpu().numpy() for output in outputs]

    def _keep(self, key, rows, vectors):
        if self.store is not None:
            self.store.put(self.contexts, key, vectors)
        self._write(rows, vectors)

    def _count(self, waiting):
        if self.store is not None:
            repeats = sum(map(len, waiting.values())) - len(waiting)
            self.store.count(hits=repeats, misses=len(waiting))

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
            self._flush()  # what was computed so far stays in the cache
            raise _sample_error(row, self.samples[row], error) from error
        self.bad.append((row, error))

    def _settle_bad(self):
        if not self.bad:
            return
        row, error = self.bad[0]
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
    return joblib.cpu_count() if n_jobs is None else joblib.effective_n_jobs(n_jobs)


def _is_known(item):
    return isinstance(item, tuple)


def _result(item):
    return item if _is_known(item) else item.result()


def _progress(label, total, verbose):
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=label, unit="sample", disable=not verbose)
