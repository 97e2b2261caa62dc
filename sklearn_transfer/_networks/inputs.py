"""Inputs of networks: a tensor, or a mapping of tensors that are passed by name."""

from collections.abc import Mapping

MASK = "attention_mask"


def call_module(module, inputs):
    """Call a module with its inputs; a mapping is passed by name."""
    return module(**inputs) if isinstance(inputs, Mapping) else module(inputs)


def get_first_tensor(inputs):
    """Return the tensor, or the first one of a mapping; its first axis is the samples."""
    while isinstance(inputs, Mapping):
        inputs = next(iter(inputs.values()))
    return inputs


def get_spatial_size(inputs):
    """Return the lengths of the axes after the channels of a tensor; () for a mapping."""
    return () if isinstance(inputs, Mapping) else tuple(inputs.shape[2:])


def find_mask(inputs, end=None):
    """Return the mask (n, positions), which is zero for padding, or None.

    `end` is that of a `Layout`: what follows that token is masked too.
    """
    mask = inputs.get(MASK) if isinstance(inputs, Mapping) else None
    return mask if mask is None or end is None else mask_behind(inputs["input_ids"], mask, end)


def mask_behind(ids, mask, end):
    """Return a mask without the positions behind the first token `end`, -1 for the largest."""
    ids = ids * mask
    ends = (ids == (ids.amax(1, keepdim=True) if end < 0 else end)).long()
    # The sum counts the ends up to a position, and those before it are what matters.
    return mask * (ends.cumsum(1) == ends)


def map_tensors(function, inputs):
    """Apply a function to each tensor of the inputs, also in mappings inside a mapping."""
    if isinstance(inputs, Mapping):
        return {name: map_tensors(function, inner) for name, inner in inputs.items()}
    return function(inputs)


def get_states(output):
    """Return the states of the last layer from the output of a network of transformers.

    Other outputs are returned unchanged.
    """
    return getattr(output, "last_hidden_state", output)
