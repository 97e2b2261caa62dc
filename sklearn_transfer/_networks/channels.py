"""How many channels a network takes, and what that makes of its first layer and its means."""

import numpy as np
import torch
from torch import nn


def find_first_convolution(module):
    """Name of the first convolution of a network: timm's word, else the first there is."""
    config = getattr(module, "pretrained_cfg", None) or {}
    named = config.get("first_conv") or ()
    layers = {n: m for n, m in module.named_modules() if isinstance(m, nn.Conv2d)}
    named = [named] if isinstance(named, str) else list(named)
    return next((name for name in (*named, *layers) if name in layers), None)


def find_input_channels(module, stated, size):
    """Channels of the images that a network takes; `stated` is what its configuration says.

    Where its first convolution takes another number, passes of zeros of `size` decide.
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
    """Means or deviations of channels for a network whose first layer was adapted.

    One value counts for all channels. Of three, their mean goes with summed weights (1
    channel), and they repeat as the weights do for any other number.
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
