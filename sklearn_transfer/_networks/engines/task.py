"""Task: what an engine computes, without the network that computes it, and its check."""

import numpy as np

from sklearn_transfer._networks.machine import count_cores

# Norm-wise relative difference of a row from what PyTorch gives in float32.
TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-1}


class Task:
    """What an engine computes: pooled activations of payloads.

    Parameters
    ----------
    taps : list of Tap
        Where features leave the network.
    format : PayloadFormat
        What payloads hold, and how the network's input is made from them.
    precision : {"float32", "bfloat16"}
        Arithmetic of the network.
    signature : tuple
        Names, shapes and dtypes of the arrays of a payload.
    """

    def __init__(self, taps, format, precision, signature):
        self.taps, self.precision = taps, precision
        self.format, self.signature = format, signature
        self.n_threads = count_cores()

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

    def example(self, n_rows):
        """Return a batch of deterministic random payloads, as NumPy arrays."""
        return self.format.example(n_rows, self.signature)

    def check(self, found, expected):
        """Raise ArithmeticError unless results of an engine agree with PyTorch's."""
        for tap, ours, theirs in zip(self.taps, found, expected, strict=True):
            difference = compute_difference(ours, theirs)
            if not difference <= TOLERANCE[self.precision]:
                raise ArithmeticError(f"{tap.label} differs from PyTorch by {difference:.1e}")


def compute_difference(a, b):
    """Return the largest norm-wise relative difference over rows."""
    if a.shape != b.shape:
        return np.inf
    scale = np.maximum(np.linalg.norm(b, axis=1), np.finfo(np.float32).tiny)
    return (np.linalg.norm(a - b, axis=1) / scale).max()
