"""Readers, which turn samples into payloads that a network can take."""

from abc import ABC, abstractmethod

import numpy as np

from sklearn_transfer._modalities.callers import OF_IMAGES
from sklearn_transfer._modalities.contents import BadSampleError, describe_sample
from sklearn_transfer._modalities.payloads import (
    InputFormat,
    PayloadFormat,
)
from sklearn_transfer._store.digests import digest_array


class Reader(ABC):
    """Turn one sample at a time into a payload, by `read`, `prepare` and `finish`.

    `read` and `prepare` run in several threads. `finish` runs in one thread, in the order of
    the rows. All three raise BadSampleError for a sample that cannot be used.

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
    caller : Caller
        Whose options messages recommend.
    is_ordered : bool
        Whether `finish` has work to do. Then few samples are prepared in advance, since
        what `prepare` returned, such as whole pictures, waits in memory.
    n_channels : int
        Channels of a sample that are passed through the network one after the other, and
        whose features follow each other in its row.
    """

    key: bytes | str
    unit: str
    format: PayloadFormat
    input_source = "as the samples of X are"
    caller = OF_IMAGES
    is_ordered = False
    n_channels = 1

    def is_quick(self, sample):
        """Whether reading a sample takes less time than handing it to a thread."""
        return False

    def describe(self, sample):
        """Return what a message calls a sample."""
        return describe_sample(sample)

    @abstractmethod
    def known_digest(self, sample):
        """Return the digest of a sample if that takes little time, else None."""

    @abstractmethod
    def read(self, sample, key=None):
        """Return digest and content of a sample; `key` is its digest if it is known."""

    def add_remarks(self, content, note):
        """Give remarks on content whose features may be known, so that it is not prepared."""
        return  # most samples need none

    @abstractmethod
    def prepare(self, content, note=None):
        """Return the payload of content, or what `finish` will make the payload from.

        `note` is called with remarks, which the user sees as one warning per kind.
        """

    def finish(self, prepared):
        """Return the payload made from what `prepare` returned."""
        return prepared

    def collate(self, payloads):
        """Return payloads of equal signature as one dict of arrays (n_samples, ...)."""
        return self.format.collate(payloads)

    def find_signature(self, samples):
        """Return the signature of payloads.

        It is that of the first sample that can be used; None if no sample can.
        """
        for sample in samples:
            try:
                return self.format.compute_signature(
                    self.finish(self.prepare(self.read(sample)[1]))
                )
            except BadSampleError:
                continue
        return None

    def example(self, n, signature):
        """Return a deterministic random batch of n payloads."""
        return self.format.example(n, signature)

    def make_augmentation(self, augment):
        """Return the function that draws training views, for a value of `augment`."""
        raise ValueError(
            f"augment={augment!r}, but no augmentation is known for a sample of the kind"
            f" {self.unit!r}; use augment='none'"
        )

    def prepare_original(self, content, note=None):
        """Array from content, of which the function of `make_augmentation` draws views.

        It is called only where `make_augmentation` returns one.
        """
        raise NotImplementedError(
            f"{type(self).__name__} makes an augmentation, but has no prepare_original"
        )

    def describe_mismatch(self, first, first_row, other, other_row):
        """Return the error message for two samples of different signatures."""
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
