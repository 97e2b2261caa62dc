"""The estimator that classification and regression share: fit, outputs, features, copies."""

import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import inf
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._modalities.samples import take_samples
from sklearn_transfer._process.threads import run_here
from sklearn_transfer._sample_weight import validate_sample_weight
from sklearn_transfer._validation import (
    check_feature_names_in,
    forget_fit,
    shortened,
    visual_block,
)
from sklearn_transfer.extraction._features import PretrainedFeatures
from sklearn_transfer.finetuning._persistence import Saved
from sklearn_transfer.finetuning._reading import ReadsAsFeatures
from sklearn_transfer.finetuning.targets.columns import naming_rows, plain

# Samples whose activations are in memory at once while predicting.
_KNOWN_ROWS = 1000


class _BaseFineTuned(Saved, TransformerMixin, ReadsAsFeatures, TakesCallbacks, BaseEstimator):
    """A network that is trained on samples; a subclass says what the targets are."""

    _parameter_constraints: dict = {
        "model": [str, callable, PretrainedFeatures],
        "weights": [str, os.PathLike, Mapping, None],
        "freeze": [str, Integral, list, tuple, None],
        "schedule": [StrOptions({"constant", "lp-ft", "gradual"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "warmup": [Interval(Real, 0, 1, closed="both")],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "l2_sp": [Interval(Real, 0, None, closed="left")],
        "lora_rank": [Interval(Integral, 1, None, closed="left"), None],
        "freeze_norm": ["boolean", StrOptions({"auto"})],
        "augment": [str, callable],
        "n_views": [Interval(Integral, 1, None, closed="left"), None],
        "mixup": [Interval(Real, 0, None, closed="left")],
        "cutmix": [Interval(Real, 0, None, closed="left")],
        "loss": [StrOptions({"auto"}), callable],
        "tasks": [list, tuple, None],
        "early_stopping": ["boolean", Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "input_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "preprocess": [StrOptions({"auto"}), callable, None],
        "background": [str, "array-like"],
        "callbacks": [list, tuple, None],
        "net_params": [Mapping, None],
        "accelerator": [Mapping, None],
        "cache": [str, os.PathLike, None],
        "engine": [StrOptions({"auto", "torch", "openvino", "onnxruntime"})],
        "device": [str],
        "precision": [StrOptions({"float32", "bfloat16", "float16"})],
        "n_jobs": [
            Interval(Integral, None, -1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _make_targets(self, y, sample_weight, classes=None):
        """`Targets` that say what y means."""

    def _publish(self):
        """Set the attributes that are told of the targets."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
        """Train a fresh copy of the network.

        Parameters
        ----------
        X : sequence of n_samples samples
            As `PretrainedFeatures` takes them: see there.
        y : array-like of shape (n_samples,) or (n_samples, n_tasks)
            Targets; see the class.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the loss, of any scale; a row of weight 2 is as two rows.
            Only the first head of "lp-ft" and "gradual" depends on the scale, as
            LogisticRegression does. Rows of weight zero are left out before anything else, as
            if they were not there.
        X_val, y_val : as X and y, default=None
            Samples to validate on after each epoch, instead of a share of X.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a sample cannot be read, which is found out before anything is trained, or if
            parameters or targets do not fit.
        FloatingPointError
            If the loss is no number.
        """
        forget_fit(self)
        self._check_precision()
        samples, y, weights, rows = self._weighted_rows(X, y, sample_weight, reset=True)
        with naming_rows(rows):
            self._targets = self._make_targets(y, weights)
        self._seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        train, valid = self._parts(samples, y, weights, rows, X_val, y_val)
        self._keep(run_here(self._fitted_to, train, valid))
        return self

    def _partial_fit(self, X, y, classes, sample_weight):
        self._check_precision()
        first = not hasattr(self, "history_")
        samples, y, weights, rows = self._weighted_rows(X, y, sample_weight, reset=first)
        if first:
            with naming_rows(rows):
                self._targets = self._make_targets(y, weights, classes)
            self._seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        elif classes is not None:
            self._check_same_classes(classes)
        train = self._part(samples, y, weights, rows)
        self._keep(run_here(self._moved_on, train, first))
        return self

    def _fitted_to(self, train, valid):
        return self._fitting(train, valid).run()

    def _moved_on(self, train, first):
        fitting = self._fitting(train, None) if first else self._continued(train)
        return fitting.run_once()

    def _weighted_rows(self, X, y, sample_weight, reset):
        """Samples, targets, weights and numbers of the rows whose weight is not zero."""
        samples = self._check_samples(X, reset=reset)
        y, weights = self._checked_targets(samples, plain(y), sample_weight)
        kept = np.flatnonzero(weights > 0)
        if len(kept) < len(weights):
            samples, y, weights = (
                take_samples(samples, kept),
                _targets_of(y, kept),
                weights[kept],
            )
        return samples, y, weights, kept

    def _checked_targets(self, samples, y, sample_weight):
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target"
                " y is None"
            )
        check_consistent_length(samples, first_column(y))
        return y, validate_sample_weight(sample_weight, np.zeros((len(samples), 1)))

    def _parts(self, samples, y, weights, rows, X_val, y_val):
        """Part to train on, and part to validate on or None."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together, but one of them was given alone")
        if X_val is not None:
            return self._part(samples, y, weights, rows), self._held_part(X_val, y_val)
        if not self.early_stopping:
            return self._part(samples, y, weights, rows), None
        return tuple(
            self._part(
                take_samples(samples, part), _targets_of(y, part), weights[part], rows[part]
            )
            for part in self._split(y, len(weights))
        )

    def _held_part(self, X_val, y_val):
        try:
            held, y_val = self._check_samples(X_val, reset=False), plain(y_val)
            check_consistent_length(held, first_column(y_val))
            return self._part(held, y_val, np.ones(len(held)), range(len(held)), "X_val")
        except ValueError as error:
            raise ValueError(f"X_val and y_val: {error}") from error

    def _part(self, samples, y, given, numbers, name="X"):
        from sklearn_transfer.finetuning.loop.fitting import Part

        with naming_rows(numbers):
            class_weight = getattr(self, "class_weight", None)
            weights, total = self._targets.weigh(y, class_weight, given)
            encoded = self._targets.encode(y)
            return Part(samples, y, encoded, weights, total, given, numbers, name)

    def _check_precision(self):
        if self.precision == "float16" and not self.device.startswith("cuda"):
            import torch

            if self.device != "auto" or not torch.cuda.is_available():
                raise ValueError(
                    "precision='float16' needs a CUDA device; use 'bfloat16' or 'float32' here"
                )
        if self.accelerator is not None and self.precision != "float32":
            raise ValueError(
                f"precision={self.precision!r} with an accelerator: leave it at 'float32', and"
                " give accelerator={'mixed_precision': 'bf16'} or 'fp16'"
            )

    def _split(self, y, n_rows):
        """Rows to train on and to validate on."""
        strata = self._targets.stratify(y)
        options = {"test_size": self.validation_fraction, "random_state": self._seed}
        try:
            if strata is not None:
                splitter = StratifiedShuffleSplit(1, **options)
                return next(splitter.split(np.zeros(n_rows), strata))
        except ValueError:  # fewer validation rows than classes
            pass
        try:
            return next(ShuffleSplit(1, **options).split(np.zeros(n_rows)))
        except ValueError as error:
            raise ValueError(
                f"early_stopping={self.early_stopping!r} holds {self.validation_fraction:g} of"
                f" {n_rows} samples out, which leaves none for one side; pass X_val and y_val,"
                " or early_stopping=False"
            ) from error

    def _fitting(self, train, valid):
        """`Fitting` of a fresh copy of the network."""
        import torch

        from sklearn_transfer.finetuning._network import Network, embedding_record
        from sklearn_transfer.finetuning.loop.fitting import Fitting

        backbone, owns_head = self._load_backbone()
        with torch.inference_mode(False):
            network = Network(backbone, self._targets.n_outputs, owns_head)
        backbone = embedding_record(backbone, network)
        return Fitting(self, self._targets, backbone, network, train, valid, self._seed)

    def _continued(self, train):
        """`Fitting` that goes on with the network as it is, cut where it was or not at all."""
        from sklearn_transfer.finetuning.loop.fitting import Fitting

        args = (self._targets, self._record, self._network, train, None, self._seed)
        fitting = Fitting(self, *args)
        fitting.net, fitting.frozen, fitting.cut = self._net, self._frozen, self._cut
        fitting.history, fitting.standardised = self.history_, True
        fitting.start = self._start
        fitting.is_continued = True
        # No loss is known where the first epoch was interrupted.
        fitting.best = (min((row["train_loss"] for row in self.history_), default=inf), None)
        if self._net is not None:
            self._net.setup.refresh(self)
        return fitting

    def _keep(self, fitting):
        """Take over what a fitting has made."""
        self._net, self._network = fitting.net, fitting.network
        self._frozen, self._cut = fitting.frozen, fitting.cut
        self._start = fitting.trained_start()
        self._factors, self._remade_net = list(fitting.net.setup.factors), None
        self.history_ = fitting.history
        self.n_iter_ = len(fitting.history)
        self.weights_sha256_ = fitting.backbone.weights_sha256
        self._describe(fitting.backbone, fitting.signature)

    def _describe(self, backbone, signature):
        """Take over what is known of the network beside its weights."""
        self._description, self._device = backbone.description, str(backbone.device)
        self._signature = signature
        self._record = self._make_record()
        self._publish()

    def _make_record(self):
        """Backbone of the trained network, which an extraction can run."""
        import torch

        from sklearn_transfer._networks.backbone import Backbone
        from sklearn_transfer._networks.layout import Layout, Place

        given = self._description.layout
        places = {"family": "wrapper", "embedding": Place("head", "input")}
        layout = Layout(given.label, given.stages, **places)
        description = replace(self._description, layout=layout)
        return Backbone(description, self._network, torch.device(self._device))

    def _augmentation(self, backbone):
        if isinstance(self.augment, str) and self.augment == "none":
            return None
        preprocess = self._source().preprocess
        if preprocess != "auto":
            raise ValueError(
                f"augment={shortened(self.augment)} needs preprocess='auto', got"
                f" {shortened(preprocess)}; use augment='none', or augment in preprocess"
            )
        return self._make_reader(backbone).make_augmentation(self.augment)

    def transform(self, X):
        """Fine-tuned features: what the head gets.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features), float32
            One row per sample.
        """
        return self._pass(X, "embedding")

    def get_feature_names_out(self, input_features=None):
        """Names of the fine-tuned features: "embedding_0", "embedding_1", ...

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the names seen in `fit`, if there were any.

        Returns
        -------
        names : ndarray of str objects of shape (n_features,)
            A name a column of `transform`.
        """
        check_is_fitted(self, "history_")
        check_feature_names_in(self, input_features)
        names = [f"embedding_{i}" for i in range(self._network.width)]
        return np.asarray(names, dtype=object)

    def _decoded(self, method, X):
        outputs = self._outputs(X)
        return getattr(self._targets, method)(outputs)

    def _outputs(self, X):
        return self._pass(X, "logits").astype(np.float64)

    def _pass(self, X, kind):
        """Matrix (n_samples, ...) of a forward pass of the trained network."""
        check_is_fitted(self, "history_")
        samples = self._check_samples(X, reset=False)
        if self._cut is not None:
            return self._pass_from_cut(samples, kind)
        from sklearn_transfer._networks.taps import Tap
        from sklearn_transfer._store.base import NullStore
        from sklearn_transfer.extraction._loop import Extraction, PassOptions, count_threads

        reader = self._make_reader(self._record)
        taps = [Tap(kind, "", "auto", kind)]
        options = PassOptions(engine="torch", n_threads=count_threads(self.n_jobs))
        return (
            Extraction(samples, reader, NullStore(), self._record, taps, options).run().output
        )

    def _pass_from_cut(self, samples, kind):
        """The same from activations at the frozen boundary, which may be known already."""
        reader = self._make_reader(self._cut.backbone)
        parts = []
        for start in range(0, len(samples), _KNOWN_ROWS):
            chunk = samples[start : start + _KNOWN_ROWS]
            place = partial(_row_after, start)
            activations = self._cut.activations(self, reader, chunk, place)
            parts.append(run_here(self._cut.outputs, self._network, activations, kind))
        return np.concatenate(parts)

    @property
    def net_(self):
        """Net of skorch around the trained network.

        The one that ran the training; after a pickle or `load` one that is made at the first
        access, with new callbacks and a new optimizer, and `history_` as its history.
        """
        if not hasattr(self, "history_"):
            raise AttributeError(f"{type(self).__name__} has no net_ before it is fitted")
        if self._net is not None:
            return self._net
        # Apart from the one of a training, so that looking at it changes no later partial_fit.
        if getattr(self, "_remade_net", None) is None:
            from sklearn_transfer.finetuning.loop import build

            self._remade_net = build.remade(self)
        return self._remade_net

    def _sk_visual_block_(self):
        return visual_block(self, self._caption())

    def _caption(self):
        source = self._source()
        model = source.model
        if not isinstance(model, str):
            model = getattr(model, "__qualname__", type(model).__name__)
        if source.weights is None:
            weights = "random"
        elif isinstance(source.weights, Mapping) or source.weights != "pretrained":
            weights = "given"
        else:
            weights = "pretrained" if isinstance(source.model, str) else "its own"
        freeze = shortened(self.freeze)
        return f"{model}, {weights} weights, freeze={freeze}, {self.max_epochs} epochs"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.target_tags.required = True
        if self._source().preprocess is not None:
            tags.input_tags.two_d_array = False
            tags.input_tags.three_d_array = True
            tags.input_tags.string = True
        return tags


def _targets_of(y, rows):
    """Rows of targets in any container, a mapping of columns included."""
    if isinstance(y, Mapping):
        return {name: _safe_indexing(column, rows) for name, column in y.items()}
    return _safe_indexing(y, rows)


def _row_after(start, row):
    return f"row {start + row}"


def first_column(y):
    """Targets, or the first column of a mapping of them."""
    y = plain(y)
    return next(iter(y.values()), ()) if isinstance(y, Mapping) else y
