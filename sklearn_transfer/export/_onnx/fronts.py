"""Fronts of fitted estimators: what an exported file takes, and how samples become that."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.payloads import Stream, Windows

N_EXAMPLES = 8
_BATCH = 16


@dataclass(frozen=True)
class InputSpec:
    """One input of an exported network.

    Parameters
    ----------
    name : str
        Its name.
    dtype : str
        NumPy's name of its type, such as "uint8".
    shape : tuple
        Its shape, with None for the samples of a batch and other axes of any length.
    meaning : str
        What it holds.
    """

    name: str
    dtype: str
    shape: tuple
    meaning: str


class Front(ABC):
    """What a file takes; a subclass is a kind of samples.

    Parameters
    ----------
    reader : Reader
        Makes payloads of samples.
    signature : tuple
        Names, shapes and types of the arrays of a payload.
    """

    prepare = None  # module that makes the payload of the input, where they differ

    def __init__(self, reader, signature):
        self.reader, self.signature = reader, signature

    @property
    @abstractmethod
    def inputs(self):
        """The `InputSpec` of each input, in the order of the payload's names."""

    @abstractmethod
    def make_examples(self):
        """Return deterministic samples, as the estimator takes them."""

    def read(self, samples):
        """Return the inputs of each sample; an error names the row."""
        found = []
        for row, sample in enumerate(samples):
            try:
                found.append(self._read(self.reader.read(sample)[1]))
            except BadSampleError as error:
                raise ValueError(f"Row {row} of X: {error}. Repair or drop it.") from error
        return found

    def _read(self, content):
        payload = self.reader.finish(self.reader.prepare(content))
        if isinstance(payload, (Stream, Windows)):
            raise BadSampleError(
                "takes several passes through the network, of which a file holds one"
            )
        return payload

    def list_batches(self, payloads):
        """Return the rows of each batch in which a file is compared with Python.

        They are of different sizes, so that a file for one size alone is noticed.
        """
        batches, start = [], 0
        while start < len(payloads):
            stop = min(start + min(len(batches) + 1, _BATCH), len(payloads))
            batches.append(list(range(start, stop)))
            start = stop
        return batches

    def collate(self, payloads):
        """Return the inputs of several samples as a batch."""
        return self.reader.collate(payloads)

    def describe(self):
        """Return what the metadata of the file say beside inputs, by name."""
        return {}
