"""Readers: what is done with each sample until a network can take it."""

from abc import ABC, abstractmethod

import numpy as np

from sklearn_transfer._modalities.contents import BadSampleError, describe_sample
from sklearn_transfer._modalities.payloads import (
    InputFormat,
    PayloadFormat,
    collate,
    compute_signature,
)
from sklearn_transfer._store.digests import digest_array


class Reader(ABC):
    """Reads one sample at a time, by `read`, `prepare` and `finish`, into a payload.

    `read` and `prepare` run in several threads. `finish` runs in one, in the order of the
    rows. All three raise BadSampleError for a sample that cannot be used.

    Attributes
    ----------
    key : str or bytes
        Digest of everything that payloads depend on beside the sample.
    unit : str
        What a sample is called, such as "image".
    format : PayloadFormat
        What payloads hold.
    input_source : str
        Where the shape of the network's input comes from, for messages.
    is_ordered : bool
        Whether `finish` has work to do, so that few samples should wait for it.
    """

    key: bytes | str
    unit: str
    format: PayloadFormat
    input_source = "as the samples of X are"
    is_ordered = False

    def is_quick(self, sample):
        """Whether a sample is ready sooner than a thread would be."""
        return False

    def describe(self, sample):
        """What to call a sample in a message."""
        return describe_sample(sample)

    @abstractmethod
    def known_digest(self, sample):
        """Digest of a sample where it costs little, else None."""

    @abstractmethod
    def read(self, sample, key=None):
        """Digest and content of a sample; `key` is its digest where it is known."""

    @abstractmethod
    def prepare(self, content, note=None):
        """Payload from content, or what `finish` makes one from.

        `note` is called with remarks, which the user sees as one warning per kind.
        """

    def finish(self, prepared):
        """Payload from what `prepare` returned."""
        return prepared

    def collate(self, payloads):
        """Batch of payloads of equal signature: dict of arrays (n_samples, ...)."""
        return collate(payloads)

    def find_signature(self, samples):
        """Signature of payloads, by looking at samples where that is needed.

        The first sample that can be read tells it; None if there is none.
        """
        for sample in samples:
            try:
                return compute_signature(self.finish(self.prepare(self.read(sample)[1])))
            except BadSampleError:
                continue
        return None

    def example(self, n, signature):
        """Deterministic random batch of n payloads."""
        return self.format.example(n, signature)

    def make_augmentation(self, augment):
        """Function that draws views of an original for training, for a value of `augment`."""
        raise ValueError(
            f"augment={augment!r}, but no augmentation is known for a sample of the kind"
            f" {self.unit!r}; use augment='none'"
        )

    def describe_mismatch(self, first, first_row, other, other_row):
        """Message where two samples give payloads of different signatures."""
        return (
            f"{other_row} gives a payload of shape {self.format.input_shape(other)}, but"
            f" {first_row} gives {self.format.input_shape(first)}; all must have one shape"
        )


class RowReader(Reader):
    """Rows of a numeric array that are the network's input already."""

    unit, key = "row", "rows"
    format = InputFormat()
    input_source = "as the rows of X are"

    def find_signature(self, samples):
        if not len(samples):
            return None
        return (("input", tuple(samples.shape[1:]), np.dtype(samples.dtype).str),)

    def is_quick(self, sample):
        return True

    def known_digest(self, sample):
        return digest_array(sample) if np.isfinite(sample).all() else None

    def read(self, sample, key=None):
        if key is None and not np.isfinite(sample).all():
            raise BadSampleError("contains NaN or infinity")
        return key or digest_array(sample), sample

    def prepare(self, content, note=None):
        return {"input": content}
