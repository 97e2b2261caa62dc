"""Plan: what an engine computes, and the check of its results."""

import numpy as np
import torch

from sklearn_transfer._networks.inputs import map_tensors
from sklearn_transfer._networks.taps import forward

# Norm-wise relative difference of a row from what PyTorch gives in float32.
TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-1}


class Plan:
    """What an engine computes: pooled activations of payloads.

    Parameters
    ----------
    backbone : Backbone
        The network.
    taps : list of Tap
        Where features leave it.
    format : PayloadFormat
        What payloads hold, and how the network's input is made from them.
    precision : {"float32", "bfloat16"}
        Arithmetic of the network.
    signature : tuple
        Names, shapes and dtypes of the arrays of a payload.
    """

    def __init__(self, backbone, taps, format, precision, signature):
        self.backbone, self.taps, self.precision = backbone, taps, precision
        self.format, self.signature = format, signature
        self.n_threads = torch.get_num_threads()

    @property
    def names(self):
        """Names of the arrays of a payload."""
        return [name for name, _, _ in self.signature]

    @property
    def ragged_names(self):
        """Names of the arrays whose length differs between payloads."""
        return [name for name, shape, _ in self.signature if None in shape]

    @property
    def n_elements(self):
        """Elements of the arrays of one payload."""
        return self.format.count_elements(self.signature)

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

    def example(self, n_rows):
        """Return a batch of deterministic random payloads, as NumPy arrays."""
        return self.format.example(n_rows, self.signature)

    def check(self, found, expected):
        """Raise ArithmeticError unless results of an engine agree with PyTorch's."""
        for tap, ours, theirs in zip(self.taps, found, expected, strict=True):
            difference = compute_difference(ours, theirs.cpu().numpy())
            if not difference <= TOLERANCE[self.precision]:
                raise ArithmeticError(f"{tap.label} differs from PyTorch by {difference:.1e}")


def to_tensors(batch, device=None):
    """Return a batch of arrays as tensors that share its memory, or copies on a device."""
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    if device is None:
        return tensors
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}


def compute_difference(a, b):
    """Return the largest norm-wise relative difference over rows."""
    if a.shape != b.shape:
        return np.inf
    scale = np.maximum(np.linalg.norm(b, axis=1), np.finfo(np.float32).tiny)
    return (np.linalg.norm(a - b, axis=1) / scale).max()
