"""Levels: the tensors of an output, of which networks of detection return several."""

from collections.abc import Mapping

import torch

from sklearn_transfer._networks.inputs import get_states
from sklearn_transfer._networks.layout import Stage
from sklearn_transfer._networks.pooling import pool


def find_levels(output, name):
    """Return the tensors of an output: one, or the levels of a pyramid.

    A list or a mapping holds levels, of a tuple the first entry counts, and what torchvision
    calls an ImageList has its tensor in `tensors`. Raises a ValueError that calls the module
    `name` for any other output.
    """
    found = get_states(output)
    while isinstance(found, tuple) and found:
        found = found[0]
    if isinstance(found, Mapping):
        found = list(found.values())
    levels = [_unwrap(entry) for entry in (found if isinstance(found, list) else [found])]
    bad = [entry for entry in levels if not isinstance(entry, torch.Tensor)]
    if not bad and levels:
        return levels
    raise ValueError(
        f"{name} returns {_describe(output, bad)}, expected a tensor, a list or mapping of"
        f" tensors, or a tuple that starts with one{_advise(bad)}"
    )


def _unwrap(entry):
    tensors = getattr(entry, "tensors", None)
    return tensors if isinstance(tensors, torch.Tensor) else entry


def _describe(output, bad):
    if isinstance(output, (list, tuple, Mapping)):
        holds = f"with a {type(bad[0]).__name__}" if bad else "without entries"
        return f"a {type(output).__name__} {holds}"
    return type(output).__name__


def _advise(bad):
    if bad and isinstance(bad[0], Mapping) and "boxes" in bad[0]:
        return "; boxes are no features: give the backbone of the detector as the model"
    return ""


def pool_levels(levels, pooling, layout, stage, *, spatial=(), mask=None):
    """Pool each level as `pool` does, and put the results side by side."""
    if len(levels) > 1:  # the number of channels is that of one level
        stage = Stage(stage.name, order=stage.order)
    pooled = [
        pool(level, pooling, layout, stage, spatial=spatial, mask=mask) for level in levels
    ]
    return pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1)
