"""Number of input channels: the first layer of a network, and its means and deviations."""

import numpy as np
import torch
from torch import nn


def find_first_convolution(module):
    """Return the name of the first convolution: as timm states it, else the first found."""
    config = getattr(module, "pretrained_cfg", None) or {}
    named = config.get("first_conv") or ()
    layers = {n: m for n, m in module.named_modules() if isinstance(m, nn.Conv2d)}
    named = [named] if isinstance(named, str) else list(named)
    return next((name for name in (*named, *layers) if name in layers), None)


def find_input_channels(module, stated, size):
    """Return the number of channels of a network's input.

    `stated` is what its configuration says. If its first convolution takes another number,
    passes of zeros of the given `size` decide between the two.
    """
    name = find_first_convolution(module)
    found = stated if name is None else module.get_submodule(name).in_channels
    if found == stated or _accepts(module, (stated, *size)):
        return stated
    return found if _accepts(module, (found, *size)) else stated


def _accepts(module, shape):
    """Whether a network runs on images of a shape (channels, height, width)."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.inference_mode():
            module(torch.zeros(1, *shape))
    except Exception:  # whatever a layer raises on what it does not take
        return False
    finally:
        for part, mode in modes.items():
            part.training = mode
    return True


def fit_to_channels(values, n_channels, name):
    """Return means or deviations for each channel of a network whose first layer was adapted.

    One value is used for all channels. Three values are averaged for 1 channel, since the
    weights of the three channels were summed; for any other number of channels they are
    repeated, as the weights are.
    """
    values = tuple(map(float, np.atleast_1d(values)))
    if len(values) == n_channels:
        return values
    if len(values) == 1:
        return values * n_channels
    if len(values) != 3:
        raise ValueError(
            f"pretrained_cfg['{name}'] has {len(values)} values, but the network takes"
            f" {n_channels} channels; give one value for each channel, or one for all"
        )
    if n_channels == 1:
        return (sum(values) / 3,)
    return tuple(values[i % 3] for i in range(n_channels))


def replace_first_convolution(module, n_channels):
    """Give a network of three channels a first convolution of `n_channels`, as timm does."""
    from timm.models import adapt_input_conv

    name = find_first_convolution(module)
    layer = module.get_submodule(name)
    if layer.in_channels == n_channels:
        return
    parent, _, child = name.rpartition(".")
    new = nn.Conv2d(
        n_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
    )
    with torch.no_grad():
        new.weight.copy_(adapt_input_conv(n_channels, layer.weight))
        if layer.bias is not None:
            new.bias.copy_(layer.bias)
    setattr(module.get_submodule(parent), child, new)
