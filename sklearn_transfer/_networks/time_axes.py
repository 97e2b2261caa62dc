"""The axis of time of activations, in networks of sounds of any length."""

import threading
from contextlib import suppress

import torch

from sklearn_transfer._networks.inputs import call_module, get_states


def learn_time_axes(plan):
    """Note for each tap of a plan which of two axes is time, in `backbone.time_axes`.

    Convolutions have it last and attention has it in the middle, and neither the modules
    between them nor the sizes tell which it is: as many positions may follow from the length
    of one sound as there are channels. It is the axis that differs between two lengths.

    Stages and outputs of networks that are known have it in the middle.
    """
    backbone = plan.backbone
    names = {tap.name for tap in plan.taps}  # "" is the output, and a whole module too
    if not backbone.stateful:
        names -= {"", *(stage.name for stage in backbone.layout.stages)}
    names -= backbone.time_axes.keys()
    if not names:
        return
    first = plan.example(1)
    lengths = first, {name: array.repeat(2, axis=1) for name, array in first.items()}
    with suppress(Exception):  # which the pass itself raises, with all that is known of it
        shapes = [_find_shapes(plan, names, batch) for batch in lengths]
        for name in names:
            differs = [a != b for a, b in zip(*(found[name] for found in shapes), strict=True)]
            if differs in ([False, True, False], [False, False, True]):
                backbone.time_axes[name] = differs.index(True)


@torch.inference_mode()
def _find_shapes(plan, names, batch):
    """Return the shapes of the outputs of modules in one pass."""
    module, shapes, thread = plan.backbone.module, {}, threading.get_ident()

    def note_shape(name, output):
        output = get_states(output)
        output = output[0] if isinstance(output, (tuple, list)) and output else output
        if threading.get_ident() == thread and isinstance(output, torch.Tensor):
            shapes[name] = tuple(output.shape)

    handles = [
        module.get_submodule(name).register_forward_hook(
            lambda _, args, output, name=name: note_shape(name, output)
        )
        for name in names
    ]
    try:
        with plan.backbone.lock:
            device = plan.backbone.device
            tensors = {k: torch.from_numpy(array).to(device) for k, array in batch.items()}
            call_module(module, plan.to_input(tensors))
    finally:
        for handle in handles:
            handle.remove()
    return shapes
