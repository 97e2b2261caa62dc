"""Baselines without transfer, derived from a model with transfer."""

import numpy as np
from sklearn.base import clone
from torch import nn

from sklearn_transfer._modalities.image.decoding import parse_background
from sklearn_transfer._modalities.image.reader import ImageReader
from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._modalities.image.values import parse_value_range
from sklearn_transfer._networks.registry import load_backbone
from sklearn_transfer._networks.taps import resolve_taps
from sklearn_transfer.extraction import (
    PretrainedAudioFeatures,
    PretrainedFeatures,
    PretrainedTextFeatures,
)
from sklearn_transfer.extraction._base import _BasePretrained
from sklearn_transfer.finetuning._base import _BaseFineTuned
from sklearn_transfer.selection._log_mel import LogMelFeatures
from sklearn_transfer.selection._tfidf import TfidfFeatures

_LARGEST = 32  # pixels of an edge


def replace_pretrained(estimator):
    """The same estimator with random weights in each pretrained network."""
    parameters = estimator.get_params()
    networks = [
        name.removesuffix("weights")
        for name in parameters
        if name.split("__")[-1] == "weights"
        and name[: -len("weights")] + "model" in parameters
        # The model of a fine-tuner may be an estimator, which is one of these itself.
        and not isinstance(parameters[name[: -len("weights")] + "model"], _BasePretrained)
    ]
    pretrained = [n for n in networks if _is_pretrained(parameters, n)]
    if not pretrained:
        raise ValueError(
            f"baseline='scratch' looked in {type(estimator).__name__} for pretrained networks "
            f"(estimators with the parameters model and weights) and found {len(networks)}, "
            "none of which has other weights to take away: networks with weights=None are "
            "random already, and a callable model brings its own. Give an estimator as "
            "baseline, or 'raw'."
        )
    return clone(estimator).set_params(**{f"{n}weights": None for n in pretrained})


def _is_pretrained(parameters, prefix):
    model, weights = parameters[f"{prefix}model"], parameters[f"{prefix}weights"]
    draws_anew = isinstance(model, str | nn.Module)
    return weights is not None and (draws_anew or not _asks_for_pretrained(weights))


def _asks_for_pretrained(weights):
    return isinstance(weights, str) and weights == "pretrained"


def replace_features(estimator):
    """The same estimator with `RawPixels` instead of each PretrainedFeatures."""
    found = _replace_each(estimator, PretrainedFeatures, RawPixels)
    if found is None:
        has_texts = _replace_each(estimator, PretrainedTextFeatures, TfidfFeatures) is not None
        other = "tfidf" if has_texts else "scratch"
        if _replace_each(estimator, PretrainedAudioFeatures, LogMelFeatures) is not None:
            other = "log-mel"
        raise ValueError(
            f"baseline='raw' looked in {type(estimator).__name__} for PretrainedFeatures to "
            "put pixels in their place, and found none (a fine-tuner cannot do without its "
            f"network). Give an estimator as baseline, or {other!r}."
        )
    return found


def replace_texts(estimator):
    """The same estimator with `TfidfFeatures` instead of each PretrainedTextFeatures."""
    found = _replace_each(estimator, PretrainedTextFeatures, TfidfFeatures)
    if found is None:
        raise ValueError(
            f"baseline='tfidf' looked in {type(estimator).__name__} for PretrainedTextFeatures"
            " to put counts of words in their place, and found none (a fine-tuner cannot do "
            "without its network). Give an estimator as baseline, such as "
            "make_pipeline(TfidfVectorizer(), LogisticRegression()), or 'scratch'."
        )
    return found


def replace_sounds(estimator):
    """The same estimator with `LogMelFeatures` instead of each PretrainedAudioFeatures."""
    found = _replace_each(estimator, PretrainedAudioFeatures, LogMelFeatures)
    if found is None:
        raise ValueError(
            f"baseline='log-mel' looked in {type(estimator).__name__} for"
            " PretrainedAudioFeatures to put the loudness of bands in their place, and found"
            " none (a fine-tuner cannot do without its network). Give an estimator as"
            " baseline, or 'scratch'."
        )
    return found


def _replace_each(estimator, kind, other):
    """The same estimator with another kind of features in place of one, or None."""
    found = {
        name: other(**value.get_params(deep=False))
        for name, value in estimator.get_params().items()
        if isinstance(value, kind) and not _is_trained(estimator, name)
    }
    return clone(estimator).set_params(**found) if found else None


def _is_trained(estimator, name):
    """Whether a parameter is the network of a fine-tuner, which cannot do without one."""
    owner = name.rpartition("__")[0]
    owner = estimator.get_params()[owner] if owner else estimator
    return name.split("__")[-1] == "model" and isinstance(owner, _BaseFineTuned)


def _build_flatten(n_features_in):
    return nn.Flatten()


class RawPixels(PretrainedFeatures):
    """Pixels in [0, 1] as a row of numbers, read and cached as PretrainedFeatures does.

    It has the parameters of what it stands for, so that searches over them still run, and
    leaves those of the network unused.
    """

    def _load_backbone(self):
        width = getattr(self, "_n_inputs", 3)
        return load_backbone(_build_flatten, None, device="cpu", n_features_in=width)

    def _open_backbone(self):
        return self._load_backbone()

    def _has_backbone(self):
        # Once it is fitted, nothing has to be loaded that `fit` did not load.
        return hasattr(self, "weights_sha256_") or super()._has_backbone()

    def _make_reader(self, backbone):
        if self.preprocess is None:
            return super()._make_reader(backbone)
        size = tuple(int(edge) for edge in np.minimum(self._resolve_edges(), _LARGEST))
        n_channels = self._count_channels()
        spec = ImageSpec(size, size, mean=(0.0,) * n_channels, std=(1.0,) * n_channels)
        value_range = parse_value_range(self.value_range) or "auto"
        return ImageReader(spec, parse_background(self.background), value_range)

    def _count_channels(self):
        """Channels of the samples: those of the network that this stands for."""
        if self.n_channels is not None:
            return self.n_channels
        if isinstance(self.model, str) and self.weights in (None, "pretrained"):
            return 3
        return super()._open_backbone().spec.channels or 3

    def _resolve_edges(self):
        size = _LARGEST if self.input_size is None else self.input_size
        return np.broadcast_to(size, 2)

    def _resolve(self, backbone, layers):
        return resolve_taps(backbone, None, "auto")

    def _resolve_engine(self, backbone):
        return "torch"
