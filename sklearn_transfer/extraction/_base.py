"""The estimator that every modality shares: fit, transform, cache, names, repr."""

import os
from abc import abstractmethod
from collections.abc import Mapping
from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._callbacks import NO_TASK, TakesCallbacks, count_parts
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._networks.opening import is_open, keep_record, open_backbone
from sklearn_transfer._store.choice import choose_store
from sklearn_transfer._store.digests import digest
from sklearn_transfer._store.shelves import find_shelves
from sklearn_transfer._validation import check_feature_names_in, make_visual_block
from sklearn_transfer.extraction._identity import (
    record_reading,
    refuse_other_network,
    write_caption,
)
from sklearn_transfer.extraction._loop import Extraction, PassOptions, count_threads


class LayerFeatures(NamedTuple):
    """What one pass over samples gave, and what it cost.

    features : for each layer choice a matrix, or the error that the choice raised.
    n_computed, seconds : samples that went through the network, and how long they took.
    n_parameters : numbers that the network holds.
    """

    features: list
    n_computed: int
    seconds: float
    n_parameters: int


class _BasePretrained(TransformerMixin, TakesCallbacks, LinksToDocumentation, BaseEstimator):
    """Samples to features through a frozen network; a subclass is only the modality.

    It says how to read X (`_check_samples`); the spec of the network makes the reader of one
    sample.
    """

    _parameter_constraints: dict = {
        "model": [str, os.PathLike, callable],
        "weights": [str, os.PathLike, Mapping, None],
        "layers": [str, Integral, list, tuple, None],
        "pooling": [str],
        "cache": [str, os.PathLike, None],
        "engine": [StrOptions({"auto", "torch", "openvino", "onnxruntime"})],
        "device": [str],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "n_jobs": [
            Interval(Integral, None, -1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "on_error": [StrOptions({"raise", "nan"})],
        "random_state": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _check_samples(self, X, reset):
        """Sequence of samples from X; `reset` as in scikit-learn's validate_data."""

    @abstractmethod
    def _collect_network_options(self):
        """Arguments of `load_backbone` beside model and weights, as a dict."""

    def _load_backbone(self, n_outputs=None):
        """Backbone that the parameters describe."""
        from sklearn_transfer._networks.registry import load_backbone

        options = {**self._collect_network_options(), "n_outputs": n_outputs}
        return load_backbone(self.model, self.weights, **options)

    def _open_backbone(self):
        """Network that the parameters describe, recorded where nothing else is needed."""
        options = self._collect_network_options()
        return open_backbone(self.model, self.weights, self._find_shelves(), **options)

    def _has_backbone(self):
        """Whether what the network would be asked for is known without loading it."""
        return is_open(self.model, self.weights, **self._collect_network_options())

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
        with self._open_fit(X=X, y=y):
            self._learn(samples)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Features of each sample, as `fit` and `transform` give them.

        Callbacks of scikit-learn 1.9 are told of the pass, in at most 100 parts of X.

        Parameters
        ----------
        X : sequence of n_samples samples
            See the class for what a sample can be.
        y : None
            Ignored.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features), float32
            One row per sample, in the order of X.

        Raises
        ------
        ValueError
            Where `fit` or `transform` raises.
        """
        kind = type(self)
        if (
            kind.fit is not _BasePretrained.fit
            or kind.transform is not _BasePretrained.transform
        ):
            return super().fit_transform(X, y)  # of a subclass that does something else
        samples = self._check_samples(X, reset=True)
        n_parts = count_parts(len(samples))
        with self._open_fit(n_parts, X=X, y=y, name="fit-transform") as task:
            self._learn(samples)
            return self._compute_features(samples, task)

    def _learn(self, samples):
        """Build the network and check the parameters."""
        backbone = self._open_backbone()
        self._resolve(backbone, self.layers)
        self._resolve_engine(backbone)
        self._store()
        self._signature = self._make_reader(backbone).find_signature(samples)
        self._widths = record_widths(self, backbone)
        self.weights_sha256_ = backbone.weights_sha256
        self._reading = record_reading(self, backbone)
        keep_record(backbone, self._find_shelves())

    def transform(self, X):
        """Features of each sample.

        Parameters
        ----------
        X : sequence of n_samples samples
            See the class for what a sample can be.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features), float32
            One row per sample, in the order of X.

        Raises
        ------
        ValueError
            If a sample cannot be read (unless `on_error="nan"`), or if the network's
            weights are not those seen in `fit` or recorded in the pickle.
        """
        self._validate_params()
        return self._compute_features(self._check_samples(X, reset=False))

    def _compute_features(self, samples, task=NO_TASK):
        """Features of validated samples; parts of them are subtasks of `task`."""
        backbone = self._open_checked_backbone()
        taps = self._resolve(backbone, self.layers)
        done = self._extract(samples, backbone, taps, task=task)
        return self._finish_features(backbone, taps, done.output, done.widths)[0]

    def precompute(self, X, layers=None):
        """Put the features of several layer choices into the cache, in one pass.

        A search over `layers` then sends no sample through the network again.

        Parameters
        ----------
        X : sequence of n_samples samples
            Samples as `transform` takes them.
        layers : list, default=None
            The values of the parameter `layers` that will be asked for; as always, None among
            them is the embedding. None instead of a list is the estimator's own value.

        Returns
        -------
        self : object
            The estimator, unchanged.

        Raises
        ------
        ValueError
            If `cache=None`, or where `transform` raises.
        """
        self._validate_params()
        if self.cache is None:
            raise ValueError(
                "cache=None turns off the cache, which precompute fills; use 'memory' or a"
                " folder"
            )
        samples = self._check_samples(X, reset=False)
        backbone = self._open_checked_backbone()
        if not isinstance(layers, (list, tuple)):
            layers = [self.layers if layers is None else layers]
        if not layers:
            raise ValueError("layers=[] names no layer; None is the network's embedding")
        taps = [tap for choice in layers for tap in self._resolve(backbone, choice)]
        self._extract(samples, backbone, list(dict.fromkeys(taps)), collect=False)
        return self

    def _extract_layers(self, X, layers):
        """`LayerFeatures` of several layer choices; nothing is learned from X."""
        samples = self._check_samples(X, reset=True)
        backbone = self._open_checked_backbone()
        choices = [self._resolve_or_error(backbone, layer) for layer in layers]
        found = [taps for taps in choices if not isinstance(taps, ValueError)]
        taps = list(dict.fromkeys(tap for taps in found for tap in taps))
        if not taps:
            return LayerFeatures(choices, 0, 0.0, backbone.n_parameters)
        done = self._extract(samples, backbone, taps)
        output, widths = self._finish_features(backbone, taps, done.output, done.widths)
        pieces = np.split(output, np.cumsum(widths)[:-1], axis=1)
        columns = dict(zip(taps, pieces, strict=True))
        features = [
            taps if isinstance(taps, ValueError) else np.hstack([columns[tap] for tap in taps])
            for taps in choices
        ]
        return LayerFeatures(features, done.n_computed, done.seconds, backbone.n_parameters)

    def _finish_features(self, backbone, taps, output, widths):
        """Features and their widths from what a pass gave, or the store; nothing is stored.

        `widths` has one number per tap. A modality may scale or shorten features here.
        """
        return output, widths

    def _finish_widths(self, backbone, taps, widths):
        """Widths of the features that `_finish_features` returns."""
        return widths

    def _resolve_or_error(self, backbone, layers):
        try:
            return self._resolve(backbone, layers)
        except ValueError as error:
            return error

    def cache_info(self):
        """Hits, misses, entries, bytes and bound of the cache this estimator uses.

        Returns
        -------
        info : CacheInfo
            Counts of the whole process, for the folder if `cache` is one; `misses` is the
            number of samples that went through a network. All zero when `cache=None`.
        """
        return self._store().info()

    def clear_cache(self):
        """Forget all cached features and set the counts to zero.

        With "memory", these are the features of this process; with a folder, those in it, for
        all processes.

        Returns
        -------
        self : object
            The estimator, unchanged.
        """
        self._store().clear()
        return self

    def get_feature_names_out(self, input_features=None):
        """Names of the output features: the layer and a number.

        A network given by name is neither loaded nor downloaded for them, so that an estimator
        can be displayed anywhere. They are known after `fit`, as long as no parameter that
        they depend on has changed since, and whenever the network is in memory.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the names seen in `fit`, if there were any.

        Returns
        -------
        names : ndarray of str objects of shape (n_features,)
            For instance "embedding_0" or "middle_17".

        Raises
        ------
        NotFittedError
            If the network would have to be loaded: before `fit`, after a parameter has
            changed, or where `fit` could not tell the widths. Also if no sample that `fit`
            saw could be used, where the width depends on samples.
        """
        check_feature_names_in(self, input_features)
        key, widths = getattr(self, "_widths", (None, None))
        if widths is None or key != self._compute_widths_key():
            widths = self._find_widths()
        names = [f"{label}_{i}" for label, width in widths for i in range(width)]
        return np.asarray(names, dtype=object)

    def _has_name(self):
        """Whether the network is given by its name or folder, not as an object."""
        return isinstance(self.model, (str, os.PathLike))

    def _find_widths(self):
        """Label and width of each tap, from the network."""
        is_fitted = hasattr(self, "weights_sha256_")
        # A module or a callable is at hand in a fitted estimator.
        if not self._has_backbone() and not (is_fitted and not self._has_name()):
            check_is_fitted(self, "weights_sha256_")
            raise NotFittedError(
                f"The network of this {type(self).__name__} is not in memory, and fit recorded"
                " no names of features for its present parameters: call fit, or transform,"
                " before asking for names"
            )
        backbone = self._open_backbone()
        reader = self._make_reader(backbone)
        signature = reader.find_signature(()) or getattr(self, "_signature", None)
        if signature is None:
            check_is_fitted(self, "_signature")
            raise NotFittedError(
                f"This {type(self).__name__} was fitted with no sample that can be used, so it"
                " is not known how many features there are: call fit with one that can be read"
            )
        return self._compute_widths(backbone, reader, signature)

    def _compute_widths(self, backbone, reader, signature):
        from sklearn_transfer._networks.widths import find_width

        taps = self._resolve(backbone, self.layers)
        widths = [find_width(backbone, tap, reader, signature) for tap in taps]
        widths = self._finish_widths(backbone, taps, widths)
        return [(tap.label, width) for tap, width in zip(taps, widths, strict=True)]

    def _compute_widths_key(self):
        """Digest of the parameters that names depend on."""
        names = ("model", "weights", "layers", "pooling", "input_size", "n_channels")
        names += ("preprocess", "n_dimensions")
        values = [getattr(self, name, None) for name in names]
        return digest(*(os.fspath(v) if isinstance(v, os.PathLike) else v for v in values))

    def _make_reader(self, backbone):
        return backbone.spec.reader(self)

    def _resolve(self, backbone, layers):
        from sklearn_transfer._networks.taps import resolve_taps

        return resolve_taps(backbone, layers, self.pooling)

    def _open_checked_backbone(self):
        backbone = self._open_backbone()
        refuse_other_network(self, backbone)
        return backbone

    def _store(self):
        return choose_store(self.cache)

    def _find_shelves(self):
        return find_shelves(self.cache)

    def _resolve_engine(self, backbone):
        from sklearn_transfer._networks.engines.choice import resolve_engine

        return resolve_engine(self.engine, self.precision, backbone)

    def _extract(self, samples, backbone, taps, collect=True, task=NO_TASK):
        shelves = self._find_shelves()
        options = PassOptions(
            engine=self._resolve_engine(backbone),
            precision=self.precision,
            batch_size=self.batch_size,
            n_threads=count_threads(self.n_jobs),
            on_error=self.on_error,
            verbose=self.verbose,
            collect=collect,
            signature=getattr(self, "_signature", None),
            shelves=shelves,
            advice="; with on_error='nan' the other rows are computed and this one is NaN",
            task=task,
        )
        reader = self._make_reader(backbone)
        done = Extraction(samples, reader, self._store(), backbone, taps, options).run()
        keep_record(backbone, shelves)
        return done

    def _sk_visual_block_(self):
        return make_visual_block(self, self._make_caption())

    def _make_caption(self):
        return write_caption(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def record_widths(estimator, backbone):
    """Return the key of what names depend on, and widths, for use without the network.

    The widths are None for a user's own network, through which `fit` makes no pass.
    """
    if backbone.stateful or estimator._signature is None:
        return None, None
    from sklearn_transfer._networks.widths import infer_widths

    taps = estimator._resolve(backbone, estimator.layers)
    reader = estimator._make_reader(backbone)
    try:
        widths = infer_widths(backbone, taps, reader, estimator._signature)
    except Exception:  # of a network that needs content; transform raises all others
        return None, None
    widths = estimator._finish_widths(backbone, taps, widths)
    labels = [tap.label for tap in taps]
    return estimator._compute_widths_key(), list(zip(labels, widths, strict=True))
