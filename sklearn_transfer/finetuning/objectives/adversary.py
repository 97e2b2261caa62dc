"""Networks that tell source from target, and the reversal of their gradient."""

import torch
from torch import nn


class _Reversal(torch.autograd.Function):
    """Identity whose gradient is multiplied by -factor."""

    @staticmethod
    def forward(ctx, rows, factor):
        ctx.factor = factor
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.factor * gradient, None


def invert_gradient(rows, factor):
    """The rows, whose gradient is multiplied by -`factor`."""
    return _Reversal.apply(rows, factor)


def make_discriminator(width, n_hidden, device):
    """Network of two hidden layers with one score per row, above 0 for the source."""
    # Drawn on the CPU, so that a seed gives the same numbers for every device.
    layers = nn.Sequential(
        nn.Linear(width, n_hidden),
        nn.ReLU(),
        nn.Linear(n_hidden, n_hidden),
        nn.ReLU(),
        nn.Linear(n_hidden, 1),
        nn.Flatten(0),
    )
    return layers.to(device)


def draw_random_maps(widths, n_random, device):
    """A matrix of normal numbers for each width, whose products keep the scale of rows."""
    return tuple(torch.randn(width, n_random).to(device) for width in widths)


def multiply_outer(features, proba):
    """All products of a feature and a probability, in one row per row."""
    return (proba[:, :, None] * features[:, None, :]).flatten(1)


def multiply_random(features, proba, maps):
    """Products of random combinations of features with those of probabilities."""
    feature_map, proba_map = (map_.to(features.dtype) for map_ in maps)
    return (features @ feature_map) * (proba @ proba_map) / feature_map.shape[1] ** 0.5
