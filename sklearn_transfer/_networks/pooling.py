"""Pooling of activations of any layout to one vector per sample."""

import math

import torch

_GEM_POWER, _GEM_FLOOR = 3.0, 1e-6


def pool(activation, pooling, layout, stage, spatial=(), mask=None):
    """Pool an activation of any layout to one row per sample.

    Parameters
    ----------
    activation : torch.Tensor of shape (n, ...)
        A vector, a map with its channels first or last, or a sequence of tokens, which may
        begin with class and register tokens. Only "cls" and "flatten" use these.
    pooling : {"auto", "avg", "max", "gem", "cls", "last", "flatten", "raw"}
        As the parameter of the same name. "gem" is the generalized mean of power 3
        [Radenovic 2018]; "last" is the last token of a text; "raw" keeps all values in the
        order of memory.
    layout : Layout
        What is known of the network.
    stage : Stage
        What is known of this depth.
    spatial : tuple of int, default=()
        Height and width of the network's input, if it has them.
    mask : torch.Tensor of shape (n, positions), default=None
        Nonzero where a position holds content, zero where it is padding. Only "flatten" uses
        positions of padding. With None, all positions hold content.

    Returns
    -------
    pooled : torch.Tensor of shape (n, width), float32
    """
    activation = activation.float()
    if activation.ndim <= 2 or pooling == "raw":
        return activation.reshape(activation.shape[0], -1)  # `len` is a constant in exports
    maps, n_prefix = _convert_to_positions(activation, layout, stage, spatial)
    if layout.is_audio and mask is not None:
        mask = _spread_mask(mask, activation, layout, maps.shape[1] - n_prefix)
        mask = torch.nn.functional.pad(mask, (n_prefix, 0), value=1)
    elif mask is not None and mask.shape[1] != maps.shape[1]:
        mask = None  # the positions of this activation are not those of the input
    if layout.is_text:
        return pool_tokens(maps, layout.pooling if pooling == "auto" else pooling, mask)
    if pooling == "auto":
        has_token = n_prefix and layout.class_token
        pooling = layout.pooling
        if pooling == "cls" and not has_token:
            pooling = "avg"
    if pooling == "flatten":
        return maps.transpose(1, 2).reshape(maps.shape[0], -1)
    if pooling == "cls":
        if not n_prefix:
            raise ValueError(
                f"pooling='cls': {stage.name or 'the last map'!r} of {layout.label} has no"
                " class token; use 'avg', 'max' or 'gem'"
            )
        return maps[:, 0]
    maps = maps[:, n_prefix:]
    return _reduce(maps, pooling, None if mask is None else mask[:, n_prefix:])


def _spread_mask(mask, activation, layout, n_positions):
    """Return a mask of frames as one of the positions of an activation, band after band.

    Position p of P begins with frame p * F // P of F frames, and sounds where that one does.
    Where convolutions made the positions, those that they make of the sound alone do. Values
    of 0 and below stand for silence.
    """
    bands = layout.bands if activation.ndim == 3 else math.prod(activation.shape[2:-1])
    if n_positions % bands:
        bands = 1
    n_times = n_positions // bands
    length, step, reach = mask.shape[1], 1, 1
    for kernel, stride in layout.convolutions:
        length = (length - kernel) // stride + 1
        reach, step = reach + (kernel - 1) * step, step * stride
        if length == n_times:
            count = (mask > 0).sum(1, keepdim=True).clamp(min=reach)
            starts = torch.arange(n_times, device=mask.device) * step
            return (starts + reach <= count).long()
    first = torch.arange(n_times, device=mask.device) * mask.shape[1] // n_times
    return (mask[:, first] > 0).long().repeat(1, bands)


def pool_tokens(states, pooling, mask):
    """Pool the states (n, positions, width) of texts, whichever side is padded."""
    if pooling in ("cls", "last"):
        mask = torch.ones_like(states[:, :, 0]) if mask is None else mask.to(states.dtype)
        positions = torch.arange(1, states.shape[1] + 1, device=states.device) * mask
        if pooling == "cls":  # the first position, as it is the largest in reverse order
            positions = (states.shape[1] + 1 - positions) * mask
        chosen = positions == positions.amax(1, keepdim=True)
        return torch.where(chosen[:, :, None], states, 0.0).sum(1)
    return _reduce(states, pooling, mask)


def _reduce(maps, pooling, mask):
    """Return "avg", "max" or "gem" of (n, positions, channels) over unmasked positions."""
    if mask is not None:
        mask = mask[:, :, None].bool()
    if pooling == "max":
        if mask is None:
            return maps.amax(1)
        largest = maps.masked_fill(~mask, -torch.inf).amax(1)
        return largest.masked_fill(~mask.any(1), 0.0)  # as averages of nothing
    if pooling == "gem":
        powers = maps.clamp(min=_GEM_FLOOR).pow(_GEM_POWER)
        return _average(powers, mask).pow(1 / _GEM_POWER)
    return _average(maps, mask)


def _average(values, mask):
    """Return the mean over the positions that a mask keeps."""
    if mask is None:
        return values.mean(1)
    return (values * mask).sum(1) / mask.sum(1).clamp(min=1)


def _convert_to_positions(activation, layout, stage, spatial):
    """Return an activation as (n, positions, channels), and its number of prefix tokens."""
    if activation.ndim == 3:
        if _is_channels_first(*activation.shape[1:], stage):
            activation = activation.transpose(1, 2)
        return activation, _count_prefix_tokens(activation.shape[1], layout, stage, spatial)
    if not _is_channels_last(activation, layout, stage):
        activation = activation.movedim(1, -1)
    return activation.flatten(1, -2), 0


def _is_channels_first(second, third, stage):
    """Whether the last axis of a sequence is that of its positions."""
    if stage.order in ("NCL", "NLC"):
        return stage.order == "NCL"
    return stage.channels is not None and second == stage.channels != third


def _is_channels_last(activation, layout, stage):
    first, last = activation.shape[1], activation.shape[-1]
    if stage.order in ("NCHW", "NHWC"):
        return stage.order == "NHWC"
    if stage.channels is not None and (first == stage.channels) != (last == stage.channels):
        return last == stage.channels
    if not layout.channels_last:
        return False
    # A convolution inside a channels-last network still gives square maps at the end.
    return not (activation.shape[-2] == last != first)


def _count_prefix_tokens(length, layout, stage, spatial):
    """Return the number of prefix tokens in a sequence.

    It is 0 if the sequence is exactly as long as the grid of patches.
    """
    reductions = [s.reduction for s in (stage, *layout.stages[-1:]) if s.reduction]
    if reductions and len(spatial) == 2:
        grid = math.prod(math.ceil(edge / reductions[0]) for edge in spatial)
        if length == grid:
            return 0
    return min(layout.prefix_tokens, length - 1)
