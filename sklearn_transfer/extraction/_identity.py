"""The network that an estimator was fitted with: a check, and a line for diagrams."""

import os
from collections.abc import Mapping

import sklearn_transfer
from sklearn_transfer._store.digests import digest


def record_reading(estimator, backbone):
    """Return how a network reads samples, after the circumstances that may change that."""
    version = sklearn_transfer.__version__
    return version, estimator._compute_widths_key(), digest(repr(backbone.spec))


def refuse_other_network(estimator, backbone):
    """Raise ValueError if a network is not the one with which an estimator was fitted."""
    name = type(estimator).__name__
    seen = getattr(estimator, "weights_sha256_", backbone.weights_sha256)
    if seen != backbone.weights_sha256:
        raise ValueError(
            f"{backbone.label} has weights with SHA-256 {backbone.weights_sha256[:16]}"
            f" (from {backbone.origin}), but this {name} was fitted with {seen[:16]}: its"
            " features would differ. Bring those weights, or call fit again to take the new"
            " ones."
        )
    now = record_reading(estimator, backbone)
    *circumstances, reading = getattr(estimator, "_reading", now)
    if circumstances == list(now[:-1]) and reading != now[-1]:
        raise ValueError(
            f"{backbone.label} reads samples in another way than when this {name} was fitted,"
            " since its tokenizer, prompts or preprocessing have changed: its features would"
            " differ. Bring back the files that it had, or call fit again to take the new"
            " ones."
        )


def write_caption(estimator):
    """Return the line about the network, its weights and its layers in a diagram."""
    model = estimator.model
    if isinstance(model, os.PathLike):
        model = os.fspath(model)
    elif not isinstance(model, str):
        model = getattr(model, "__qualname__", type(model).__name__)
    weights = estimator.weights
    if weights is None:
        weights = f"random weights (seed {estimator.random_state})"
    elif isinstance(weights, Mapping):
        weights = "weights from a mapping"
    elif weights == "pretrained":
        named = estimator._has_name()
        weights = "pretrained weights" if named else "its own weights"
    digest_seen = getattr(estimator, "weights_sha256_", "")
    seen = f" {digest_seen[:8]}" if digest_seen else ""
    layers = estimator.layers
    layers = layers if isinstance(layers, (list, tuple)) else [layers]
    layers = ", ".join("embedding" if layer is None else str(layer) for layer in layers)
    return f"{model}, {weights}{seen}, layers: {layers}"
