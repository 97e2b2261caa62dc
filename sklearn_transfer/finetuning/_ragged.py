"""Inputs that differ in length between rows, as the tokens of texts do."""

import torch


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
        batch = self.format.collate([self.payloads[int(row)] for row in rows])
        return {name: torch.from_numpy(array) for name, array in batch.items()}
