"""Networks that learn without labels: an encoder, a decoder, and the damage to inputs."""

import math
from collections import OrderedDict
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from sklearn_transfer._networks.layout import Layout
from sklearn_transfer.finetuning._network import NORMS
from sklearn_transfer.finetuning.objectives.base import Criterion

# The name is public: `encoder_` has it, and states of earlier versions.
_FIRST_LAYER = "standardise"
DENSE_WIDTHS = (256,)
CONVOLUTIONAL_WIDTHS = (32, 64, 128)
# Edge of the maps before the code, in pixels, at which the default stops halving them.
_SMALLEST_MAP = 4
# Patches that are hidden together are this many to each edge of an image.
_PATCHES = 8
# Share of the mean below which a standard deviation is rounding of float32.
_ROUNDING = 1e-6
# Rows whose float64 copy is in memory at once.
_AT_ONCE = 256


class Standardize(nn.Module):
    """Mean 0 and deviation 1 of each feature, or of each channel; constant ones become 0."""

    def __init__(self, mean, scale):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    @classmethod
    def learn(cls, rows, by_channel):
        """Layer for rows (n_samples, ...) that are the network's input."""
        axes = (0, *range(2, len(rows.shape))) if by_channel else (0,)
        mean = _compute_mean(rows, axes, lambda rows: rows)
        scale = np.sqrt(_compute_mean(rows, axes, lambda rows: np.square(rows - mean)))
        # What rounding made of a constant is near 0 only in units of the constant.
        unit = np.maximum(np.abs(mean), 1.0)
        scale = np.where(scale > _ROUNDING * np.abs(mean), scale, unit)
        return cls(*(torch.tensor(v[0], dtype=torch.float32) for v in (mean, scale)))

    def forward(self, rows):
        return (rows - self.mean) / self.scale


def _compute_mean(rows, axes, function):
    """Mean over axes of a function of rows, in float64, a few rows at a time."""
    total = 0.0
    for start in range(0, len(rows), _AT_ONCE):
        some = np.asarray(rows[start : start + _AT_ONCE], dtype=np.float64)
        total = total + function(some).sum(axis=axes, keepdims=True)
    return total / math.prod(rows.shape[axis] for axis in axes)


class _Unstandardize(nn.Module):
    """The inverse of a `Standardize`."""

    def __init__(self, standardize):
        super().__init__()
        self.inner = standardize

    def forward(self, rows):
        return rows * self.inner.scale + self.inner.mean


def restore_units(decoder, standardize):
    """Decoder that gives its rows as they were before they were standardized."""
    return nn.Sequential(decoder, _Unstandardize(standardize))


def build_dense(shape, widths, n_components):
    """Layers of an encoder and of a decoder for inputs of any shape."""
    sizes = [math.prod(shape), *widths]
    down = [("flatten", nn.Flatten())] if len(shape) > 1 else []
    down += [
        (f"block{i}", nn.Sequential(nn.Linear(a, b), nn.ReLU()))
        for i, (a, b) in enumerate(pairwise(sizes), 1)
    ]
    down.append(("code", nn.Linear(sizes[-1], n_components)))
    up = [nn.Linear(n_components, sizes[-1])]
    for a, b in pairwise(reversed(sizes)):
        up += [nn.ReLU(), nn.Linear(a, b)]
    return down, [*up, nn.Unflatten(1, tuple(shape))]


def build_convolutional(shape, widths, n_components):
    """The same for maps (channels, height, width), which each block halves."""
    channels, sizes = [shape[0], *widths], [tuple(shape[1:])]
    for _ in widths:
        sizes.append(tuple(-(-edge // 2) for edge in sizes[-1]))
    down = [
        (f"block{i}", nn.Sequential(*_add_norm(nn.Conv2d(a, b, 3, 2, 1, bias=False))))
        for i, (a, b) in enumerate(pairwise(channels), 1)
    ]
    last = (channels[-1], *sizes[-1])
    code = nn.Linear(math.prod(last), n_components)
    down.append(("code", nn.Sequential(nn.Flatten(), code)))
    up = [nn.Linear(n_components, math.prod(last)), nn.ReLU(), nn.Unflatten(1, last)]
    for i in range(len(widths), 0, -1):
        up.append(nn.Upsample(sizes[i - 1]))
        layer = nn.Conv2d(channels[i], channels[i - 1], 3, 1, 1, bias=i == 1)
        up += [layer] if i == 1 else _add_norm(layer)
    return down, up


def _add_norm(convolution):
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]


def choose_widths(shape, is_convolutional):
    """Widths of the blocks where the user gives none."""
    if not is_convolutional:
        return DENSE_WIDTHS
    halvings = math.ceil(math.log2(max(*shape[1:], 1) / _SMALLEST_MAP))
    return CONVOLUTIONAL_WIDTHS[: max(halvings, 1)]


class Autoencoder(nn.Module):
    """Encoder (`body`) and decoder; `forward` gives the error of each row.

    Inputs have a standard deviation of about 1, or get it in the encoder's first layer, where
    it standardizes. Of them the share `mask` is set to the mean, 0, and Gaussian `noise`
    is added; the decoder has to give what was there before. `hidden_shape` is the shape of
    one row of the mask, drawn anew in each step, and while validating from one seed.
    """

    def __init__(
        self,
        is_convolutional,
        shape,
        widths,
        n_components,
        standardize=None,
        *,
        noise=0.0,
        mask=0.0,
    ):
        super().__init__()
        build = build_convolutional if is_convolutional else build_dense
        down, up = build(shape, widths, n_components)
        first = [] if standardize is None else [(_FIRST_LAYER, standardize)]
        self.body = nn.Sequential(OrderedDict([*first, *down]))
        self.decoder = nn.Sequential(*up)
        self.noise, self.mask = noise, mask
        self.hidden_shape = tuple(shape)
        if is_convolutional:
            self.hidden_shape = (1, *(min(edge, _PATCHES) for edge in shape[1:]))

    def forward(self, batch, with_features=False):
        layers = dict(self.body.named_children())
        standardize = layers.pop(_FIRST_LAYER, nn.Identity())
        clean = standardize(batch)
        codes = self._corrupt(clean)
        for layer in layers.values():
            codes = layer(codes)
        errors = (self.decoder(codes) - clean).square().flatten(1).mean(1)
        return (codes, errors) if with_features else errors

    def _corrupt(self, clean):
        if not (self.noise or self.mask):
            return clean
        generator = None
        if not self.training:
            generator = torch.Generator(clean.device).manual_seed(len(clean))
        options = {"generator": generator, "device": clean.device, "dtype": clean.dtype}
        if self.mask:
            kept = torch.rand(len(clean), *self.hidden_shape, **options) >= self.mask
            kept = kept.to(clean.dtype)
            if kept.shape != clean.shape:
                kept = nn.functional.interpolate(kept, clean.shape[2:])
            clean = clean * kept
        if self.noise:
            clean = clean + self.noise * torch.randn(clean.shape, **options)
        return clean

    # The loop of training asks for these.
    layout = Layout("AutoencoderFeatures")
    columns = None

    def find_norms(self):
        """Normalization layers that keep running statistics, by name."""
        return {name: m for name, m in self.named_modules() if isinstance(m, NORMS)}


def describe_layers(encoder, payload, is_image):
    """What `build_layers` needs to make the layers of an encoder and its decoder again."""
    shape = (payload[2], *payload[:2]) if is_image else payload
    layers = dict(encoder.named_children())
    blocks = [layer[0] for name, layer in layers.items() if name.startswith("block")]
    maps = [layer.out_channels for layer in blocks if isinstance(layer, nn.Conv2d)]
    code = layers["code"][-1] if isinstance(layers["code"], nn.Sequential) else layers["code"]
    mean = layers[_FIRST_LAYER].mean if _FIRST_LAYER in layers else None
    return {
        "is_convolutional": isinstance(layers["code"], nn.Sequential),
        "shape": [int(edge) for edge in shape],
        "widths": maps or [layer.out_features for layer in blocks],
        "n_components": code.out_features,
        "standardised": None if mean is None else list(mean.shape),
    }


def build_layers(is_convolutional, shape, widths, n_components, standardised):
    """Encoder and decoder of such layers, whose weights are to come.

    The names of the parameters are those in files of earlier versions.
    """
    first = None
    if standardised is not None:
        first = Standardize(torch.zeros(standardised), torch.ones(standardised))
    network = Autoencoder(is_convolutional, tuple(shape), widths, n_components, first)
    return network.body, network.decoder


class ReconstructionError(Criterion):
    """Mean over a batch of the error of each row, which the network itself computes."""

    def __call__(self, output, encoded, weights):
        """Mean error of a batch."""
        return (weights * output).mean()
