"""Network and samples of a fine-tuner, loaded and read as estimators of features do."""

import os
from collections.abc import Mapping

import numpy as np
from sklearn.utils.validation import validate_data

from sklearn_transfer._callbacks import NO_TASK
from sklearn_transfer._modalities.callers import Caller
from sklearn_transfer._modalities.text.samples import warn_of_paths
from sklearn_transfer._validation import shorten
from sklearn_transfer.extraction._audio import PretrainedAudioFeatures
from sklearn_transfer.extraction._features import PretrainedFeatures
from sklearn_transfer.extraction._text import PretrainedTextFeatures

# Estimators that bring network and reading as `model`.
SOURCES = (PretrainedAudioFeatures, PretrainedFeatures, PretrainedTextFeatures)
# Parameters that an estimator given as `model` sets, which must keep these defaults then.
_BROUGHT = {
    "weights": "pretrained",
    "input_size": None,
    "preprocess": "auto",
    "background": "white",
}
# Parameters of such an estimator that mean nothing here: their defaults, and why.
_WITHOUT_MEANING = {
    "layers": (None, "the head is put on the embedding, and freeze names layers"),
    "pooling": ("auto", "the head is put on the embedding as the network pools it"),
    "n_dimensions": (None, "the head is put on the whole embedding"),
}
# Values of such an estimator that cannot be trained on, and why.
_REFUSED = {
    "long_text": (
        "windows",
        "truncate",
        "the loss needs one pass of a text, and a mean over windows takes several; features of"
        " windows are what PretrainedTextFeatures before a linear model gives",
    ),
    "channels": (
        "separate",
        "auto",
        "the loss needs one pass of a sound, and channels one after the other take several;"
        " features of these are what PretrainedAudioFeatures before a linear model gives",
    ),
}


def _make_caller(kind):
    """Return the `Caller` for messages about samples that estimators of a class read."""
    refused = [f"{name}={value!r}" for name, (value, _, _) in _REFUSED.items()]
    return Caller(f"model={kind.__name__}", tuple(refused))


class ReadsAsFeatures:
    """Mixin of fine-tuners: network and samples are those of an estimator of features.

    This is a copy of the estimator given as `model`, or else a `PretrainedFeatures` with the
    fine-tuner's own parameters of the same names, so that each option of reading has one
    meaning and is described once.
    """

    _model_name = "model"  # of the parameter, before those of an estimator given as `model`

    def _get_source(self):
        """The estimator whose parameters describe network and reading: `model`, or this."""
        return self.model if isinstance(self.model, SOURCES) else self

    def _has_name(self):
        """Whether the network is given by its name or folder, not as an object."""
        return isinstance(self._get_source().model, (str, os.PathLike))

    def _takes_rows(self):
        """Whether samples are rows of numbers, which are the network's input as they are."""
        return getattr(self._get_source(), "preprocess", "auto") is None

    def _make_features(self, **changes):
        """An estimator of features of its own, with other parameters in `changes`.

        Only its device matters for how it runs: nothing is extracted with it.
        """
        source = self._get_source()
        if source is self:
            features = PretrainedFeatures(**self._read_own_params())
        else:
            self._check_source(source)
            # Not a clone, which would copy a module as well.
            features = type(source)(**source.get_params(deep=False))
            features._validate_params()
        features.set_params(device=self.device, on_error="raise", **changes)
        if self._takes_rows() and hasattr(self, "_n_inputs"):
            features._n_inputs = self._n_inputs
        return features

    def _read_own_params(self):
        is_drawn = self.weights is None or not isinstance(self.model, str)
        seed = getattr(self, "_seed", 0) if is_drawn else 0
        params = {name: getattr(self, name) for name in ("model", *_BROUGHT)}
        return {**params, "random_state": seed}

    def _check_source(self, source):
        name, start = type(source).__name__, self._model_name
        for own, default in _BROUGHT.items():
            value = getattr(self, own)
            if not is_default(value, default):
                raise ValueError(
                    f"{own}={shorten(value)} was given beside model={name}(...),"
                    f" {_explain_source(source, own, value, default)}"
                )
        for other, (refused, instead, why) in _REFUSED.items():
            if getattr(source, other, None) == refused:
                raise ValueError(
                    f"model={name}({other}={refused!r}) cannot be fine-tuned: {why}. Set"
                    f" {start}__{other}={instead!r}"
                )
        for other, (default, why) in _WITHOUT_MEANING.items():
            value = getattr(source, other, default)
            if not is_default(value, default):
                raise ValueError(
                    f"model={name}({other}={shorten(value)}) cannot be fine-tuned: {why}."
                    f" Set {start}__{other}={default!r}"
                )

    def _check_samples(self, X, reset):
        """Sequence of samples from X; `reset` as in scikit-learn's validate_data."""
        features = self._make_features()
        if not self._takes_rows():
            return features._check_samples(X, reset)
        # Columns are checked here, since their names and number belong to this estimator.
        X = validate_data(self, X, reset=reset, dtype=np.float32, allow_nd=True)
        self._n_inputs = X.shape[1]
        return X

    def _check_reading(self, backbone, samples):
        """Raise or warn where a network of texts or sounds is told to read images."""
        layout = backbone.layout
        if self._get_source() is not self or not (layout.is_text or layout.is_audio):
            return
        kind, taken = _find_kind(self, backbone), "texts" if layout.is_text else "sounds"
        for name, default in _BROUGHT.items():
            value = getattr(self, name)
            if name != "weights" and not is_default(value, default):
                raise ValueError(
                    f"{name}={shorten(value)} is for images, and {backbone.label} takes"
                    f" {taken}: leave {name} at {default!r}; options of reading {taken} are"
                    f" those of model={kind.__name__}(...)"
                )
        if layout.is_text:
            warn_of_paths(samples)

    def _make_reader(self, backbone):
        features = self._make_features()
        features._caller = _make_caller(_find_kind(self, backbone))
        return features._make_reader(backbone)

    def _load_backbone(self, n_outputs=None, **changes):
        """Backbone of the pretrained network, and whether it was made for the outputs."""
        from sklearn_transfer._networks.modules import takes_outputs

        features = self._make_features(**changes)
        owns_head = takes_outputs(features.model)
        return features._load_backbone(n_outputs if owns_head else None), owns_head

    def _load_structure(self, n_outputs):
        """The same network with any weights, which others are to replace."""
        weights = None if self._has_name() else "pretrained"
        return self._load_backbone(n_outputs, weights=weights)

    def _make_augmentation(self, backbone):
        """Function that makes random views of images, or None."""
        if isinstance(self.augment, str) and self.augment == "none":
            return None
        preprocess = getattr(self._get_source(), "preprocess", "auto")
        if preprocess != "auto":
            raise ValueError(
                f"augment={shorten(self.augment)} needs preprocess='auto', got"
                f" {shorten(preprocess)}: use augment='none', or augment in preprocess"
            )
        return self._make_reader(backbone).make_augmentation(self.augment)

    def _embed_frozen(self, samples, n_outputs=1, task=NO_TASK):
        """Features that the head would get before any training, and digests of the samples.

        No target is known, so that a network made for the outputs has `n_outputs` of them. The
        pass is a subtask of `task`.
        """
        from sklearn_transfer.finetuning._network import Network, make_embedding_backbone
        from sklearn_transfer.finetuning.freezing.prefix import EMBEDDING_TAP, extract

        backbone, owns_head = self._load_backbone(n_outputs)
        if owns_head:
            backbone = make_embedding_backbone(backbone, Network(backbone, n_outputs, True))
        reader = self._make_reader(backbone)
        features = extract(self, reader, samples, backbone, EMBEDDING_TAP, task=task)
        # Numbers that differ by the sign of a zero are equal.
        samples = samples + 0.0 if self._takes_rows() else samples
        digests = map(reader.known_digest, samples)
        digests = [d or reader.read(s)[0] for d, s in zip(digests, samples, strict=True)]
        return features, digests

    def _describe_weights(self):
        """Words for the network and its weights in a diagram."""
        source = self._get_source()
        model = source.model
        if isinstance(model, os.PathLike):
            model = os.fspath(model)
        elif not isinstance(model, str):
            model = getattr(model, "__qualname__", type(model).__name__)
        if source.weights is None:
            weights = "random"
        elif isinstance(source.weights, Mapping) or source.weights != "pretrained":
            weights = "given"
        else:
            weights = "pretrained" if self._has_name() else "its own"
        return f"{model}, {weights} weights"

    def _has_random_weights(self):
        """Whether training begins with random weights."""
        import torch

        source = self._get_source()
        is_factory = not (self._has_name() or isinstance(source.model, torch.nn.Module))
        is_own = isinstance(source.weights, str) and source.weights == "pretrained"
        return source.weights is None or (is_own and is_factory)


def _find_kind(estimator, backbone):
    """Class of the estimator of features that reads the samples of a network."""
    source = estimator._get_source()
    if source is not estimator:
        return next(kind for kind in SOURCES if isinstance(source, kind))
    if backbone.layout.is_audio:
        return PretrainedAudioFeatures
    return PretrainedTextFeatures if backbone.layout.is_text else PretrainedFeatures


def _explain_source(source, name, value, default):
    """End of a message about a parameter that the estimator given as `model` decides."""
    if name in source.get_params(deep=False):
        return (
            f"which says that itself: leave {name} at {default!r} and set"
            f" model__{name}={shorten(value)}"
        )
    return f"which reads no images: leave {name} at {default!r}"


def is_default(value, default):
    """Whether a parameter, perhaps an array or a mapping, has its default."""
    if value is None or default is None:
        return value is default
    return isinstance(value, str) and value == default
