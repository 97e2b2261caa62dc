"""Plan: what an engine computes, with the network that computes it."""

import torch

from sklearn_transfer._networks.engines.task import Task
from sklearn_transfer._networks.forward import forward
from sklearn_transfer._networks.inputs import map_tensors
from sklearn_transfer._networks.time_axes import learn_time_axes


class Plan(Task):
    """A task together with the network that computes it, in PyTorch.

    Parameters
    ----------
    backbone : Backbone
        The network.
    taps, format, precision, signature
        As `Task` takes them.
    """

    def __init__(self, backbone, taps, format, precision, signature):
        super().__init__(taps, format, precision, signature)
        self.backbone = backbone
        if backbone.layout.is_audio and format.is_ragged:
            learn_time_axes(self)

    def to_input(self, batch):
        """Return the input of the network for a batch of tensors."""
        inputs = self.format.to_input(batch)
        # A user's own code may call `view`, which requires contiguous memory.
        stateful = self.backbone.stateful
        return map_tensors(torch.Tensor.contiguous, inputs) if stateful else inputs

    def forward(self, batch, backbone=None, precision=None):
        """Compute pooled activations with PyTorch: one tensor (n, width) per tap."""
        backbone = self.backbone if backbone is None else backbone
        return forward(backbone, self.taps, self.to_input(batch), precision or self.precision)


def to_tensors(batch, device=None):
    """Return a batch of arrays as tensors that share its memory, or copies on a device."""
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    if device is None:
        return tensors
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
