"""Payloads: mappings of arrays that a network takes, and the formats that they have.

The payload of one sample is a mapping of names to arrays without an axis for samples, such as
`{"pixels": array}`. Payloads of equal signature can be collated into a batch.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Windows(NamedTuple):
    """Payloads of one sample that is longer than a network takes, and their weights.

    Features of the sample are the weighted mean of those of its windows.
    """

    payloads: list
    weights: list


@dataclass(frozen=True)
class Window:
    """One window of a `Stream`.

    Parameters
    ----------
    digest : bytes
        Digest of what it holds, under which its features are kept.
    weight : float
        What it counts in the mean over windows.
    make_payload : callable
        Returns its payload, which is not called for where the features are known.
    channel : int, default=0
        The channel of the sample that it shows.
    """

    digest: bytes
    weight: float
    make_payload: object
    channel: int = 0


class Stream:
    """Windows of one sample, made one after the other as they are passed through a network.

    Features of the sample are the weighted mean of those of its windows; where these show
    several channels, those of the channels follow each other.

    Parameters
    ----------
    windows : iterator of Window
        It may raise BadSampleError, since the sample is read meanwhile.
    """

    def __init__(self, windows):
        self.windows = windows

    def __iter__(self):
        return iter(self.windows)


def compute_signature(payload):
    """Return name, shape and dtype of each array of a payload, sorted by name."""
    return tuple(
        (name, tuple(array.shape), np.dtype(array.dtype).str)
        for name, array in sorted(payload.items())
    )


def collate(payloads):
    """Stack payloads of equal signature; the first axis of each array is the samples."""
    return {name: np.stack([payload[name] for payload in payloads]) for name in payloads[0]}


class PayloadFormat(ABC):
    """What payloads of one kind hold, and how the input of a network is made from them.

    A format is plain data with equality and a hash, since it is part of the key under which
    engines are kept.

    Attributes
    ----------
    is_ragged : bool
        Whether payloads differ in length, as those of texts do. Then the first axis of their
        arrays is None in signatures, and `collate` pads.
    needs_equal_lengths : bool
        Whether only payloads of equal length make a batch of an extraction, since padding
        would change what the network gives.
    example_length : int
        Length of such an axis in examples.
    needs_equal_lengths : bool
        Whether batches of an extraction are to hold payloads of equal length alone, since
        padding would change what the network gives.
    """

    is_ragged = False
    needs_equal_lengths = False
    example_length = 1
    needs_equal_lengths = False

    def compute_signature(self, payload):
        """Return the signature of a payload; all payloads of one pass have the same."""
        return compute_signature(payload)

    def get_length(self, payload):
        """Return the length of a payload of a ragged format."""
        return self.example_length

    def collate(self, payloads):
        """Return payloads of equal signature as one dict of arrays (n_samples, ...)."""
        return collate(payloads)

    def count_elements(self, signature):
        """Return the number of elements of the arrays of one payload, of example length."""
        return sum(math.prod(self.fill_shape(shape)) for _, shape, _ in signature)

    def fill_shape(self, shape):
        """Return a shape of a signature with the example length for axes of any length."""
        return tuple(self.example_length if edge is None else edge for edge in shape)

    @abstractmethod
    def to_input(self, batch):
        """Return the input of a network for a batch.

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
        """Return a deterministic random batch of n payloads of a signature.

        Arrays of uint8 are drawn from the uniform distribution, others from the standard
        normal distribution.
        """
        return {name: _draw_values(n, shape, dtype) for name, shape, dtype in signature}

    def input_shape(self, signature):
        """Return the shape of one sample as the network takes it, for messages."""
        return signature[0][1]


class InputFormat(PayloadFormat):
    """Payloads that are the input of the network already.

    They are `{"input"}`, or arrays that are passed by name.
    """

    def __eq__(self, other):
        return type(other) is InputFormat

    def __hash__(self):
        return hash(InputFormat)

    def to_input(self, batch):
        return batch["input"] if "input" in batch else dict(batch)


def _draw_values(n, shape, dtype):
    rng = np.random.default_rng(0)
    if np.dtype(dtype) == np.uint8:
        return rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    return rng.standard_normal((n, *shape), dtype=np.float32)
