"""Inputs that differ in length between rows, as the tokens of texts and sounds do."""

from dataclasses import dataclass

import numpy as np
import torch

from sklearn_transfer._modalities.payloads import PayloadFormat
from sklearn_transfer._networks.text_splits import ACTIVATION


class Ragged:
    """The same payload of a row in every epoch; batches are padded to their longest row.

    Parameters
    ----------
    payloads : sequence of dict of arrays
        One for each row.
    format : PayloadFormat
        Pads and collates them.
    """

    def __init__(self, payloads, format):
        self.payloads, self.format = payloads, format

    def __len__(self):
        return len(self.payloads)

    def take(self, rows, epoch):
        """Collated payloads of rows, as tensors."""
        batch = self.format.collate([self.payloads[int(row)] for row in rows])
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def list_batches(self, size):
        """Numbers of all rows in batches, each of similar or, if need be, equal length."""
        rows = range(len(self))
        lengths = np.array([self.format.get_length(self.payloads[row]) for row in rows])
        order = np.argsort(lengths, kind="stable")
        parts = [order]
        if self.format.needs_equal_lengths:
            parts = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
        return [
            part[start : start + size] for part in parts for start in range(0, len(part), size)
        ]


class RaggedViews:
    """One of a few payloads of a row in each epoch, in turn, of which lengths differ.

    `inputs` are those of the first view of each row, followed by those of the next ones.
    """

    def __init__(self, inputs, n_views):
        self.inputs, self.n_views = inputs, n_views

    def __len__(self):
        return len(self.inputs) // self.n_views

    def take(self, rows, epoch):
        """Collated payloads of rows, as tensors."""
        return self.inputs.take(np.asarray(rows) + len(self) * (epoch % self.n_views), epoch)

    def get_first(self):
        """`Ragged` inputs of the first view of each row."""
        payloads = [self.inputs.payloads[row] for row in range(len(self))]
        return Ragged(payloads, self.inputs.format)


class Activations:
    """Payloads with their activations at a split, as a sequence.

    `shape` is that of the activation of one position.
    """

    def __init__(self, payloads, activations, shape):
        self.payloads, self.activations, self.shape = payloads, activations, shape

    def __len__(self):
        return len(self.payloads)

    def __getitem__(self, row):
        activation = self.activations[row].reshape(-1, *self.shape)
        return {**self.payloads[row], ACTIVATION: activation}


@dataclass(frozen=True)
class ActivationFormat(PayloadFormat):
    """Payloads that have an array `"activation"` (n_positions, ...) beside others.

    `format` is the format of the others, which are as long.
    """

    format: PayloadFormat

    is_ragged = True

    @property
    def needs_equal_lengths(self):
        """Whether only activations of equal length make a batch of predictions."""
        return self.format.needs_equal_lengths

    def get_length(self, payload):
        return len(payload[ACTIVATION])

    def collate(self, payloads):
        given = [{n: a for n, a in p.items() if n != ACTIVATION} for p in payloads]
        activations = [payload[ACTIVATION] for payload in payloads]
        shape = (len(payloads), max(map(len, activations)), *activations[0].shape[1:])
        padded = np.zeros(shape, dtype=np.float32)
        for row, activation in enumerate(activations):
            padded[row, : len(activation)] = activation
        return {**self.format.collate(given), ACTIVATION: padded}

    def to_input(self, batch):
        given = {name: tensor for name, tensor in batch.items() if name != ACTIVATION}
        return {**self.format.to_input(given), ACTIVATION: batch[ACTIVATION]}
