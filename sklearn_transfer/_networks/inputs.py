"""Inputs of networks: a tensor, or a mapping of tensors that are passed by name."""

from collections.abc import Mapping

MASK = "attention_mask"


def call_module(module, inputs):
    """Output of a module for its inputs."""
    return module(**inputs) if isinstance(inputs, Mapping) else module(inputs)


def get_first_tensor(inputs):
    """The tensor, or the first one of a mapping, whose first axis is the samples."""
    return next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs


def get_spatial_size(inputs):
    """Height and width, or what else follows the channels of a tensor; () for a mapping."""
    return () if isinstance(inputs, Mapping) else tuple(inputs.shape[2:])


def get_mask(inputs):
    """Mask (n, positions) that is zero where a position is padding, or None."""
    return inputs.get(MASK) if isinstance(inputs, Mapping) else None


def map_tensors(function, inputs):
    """Inputs in which each tensor is what a function makes of it."""
    if isinstance(inputs, Mapping):
        return {name: function(tensor) for name, tensor in inputs.items()}
    return function(inputs)
