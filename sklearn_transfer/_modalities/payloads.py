"""Payloads: mappings of arrays that a network takes, and the formats that they have.

The payload of one sample is a mapping of names to arrays without an axis for samples, such as
`{"pixels": array}`. Payloads of equal signature can be collated into a batch.
"""

from abc import ABC, abstractmethod

import numpy as np


def compute_signature(payload):
    """Name, shape and dtype of each array of a payload, in the order of their names."""
    return tuple(
        (name, tuple(array.shape), np.dtype(array.dtype).str)
        for name, array in sorted(payload.items())
    )


def collate(payloads):
    """Batch of payloads of equal signature: each array with an axis for samples in front."""
    return {name: np.stack([payload[name] for payload in payloads]) for name in payloads[0]}


class PayloadFormat(ABC):
    """What payloads of one kind hold, and how the input of a network is made from them.

    A format is plain data that can be compared: engines are kept by it.
    """

    @abstractmethod
    def to_input(self, batch):
        """Network input from a batch.

        Parameters
        ----------
        batch : dict of torch.Tensor of shape (n_samples, ...)
            Collated payloads.

        Returns
        -------
        inputs : torch.Tensor of shape (n_samples, ...), or dict of them
            What the network is called with. A dict is passed by name.
        """

    def example(self, n, signature):
        """Deterministic random batch of n payloads of a signature, as NumPy arrays.

        Levels of uint8 are drawn evenly, and other values from the normal distribution.
        """
        return {name: _draw_values(n, shape, dtype) for name, shape, dtype in signature}

    def input_shape(self, signature):
        """Shape of one sample as the network takes it, for messages."""
        return signature[0][1]


class InputFormat(PayloadFormat):
    """Payloads `{"input"}` that are the input of the network already."""

    def __eq__(self, other):
        return type(other) is InputFormat

    def __hash__(self):
        return hash(InputFormat)

    def to_input(self, batch):
        return batch["input"]


def _draw_values(n, shape, dtype):
    rng = np.random.default_rng(0)
    if np.dtype(dtype) == np.uint8:
        return rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    return rng.standard_normal((n, *shape), dtype=np.float32)
