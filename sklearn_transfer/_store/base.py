"""The interface of a store: vectors under what was computed (context) of which sample."""

import enum
import os
from abc import ABC, abstractmethod
from typing import NamedTuple

from sklearn_transfer._validation import shorten


class CacheInfo(NamedTuple):
    """Counts since the process began or the cache was cleared, and what is stored.

    hits : samples answered from the cache in this process.
    misses : samples that went through a network in this process.
    entries : vectors held.
    bytes : bytes held, bookkeeping included.
    max_bytes : bound on `bytes`; the least recently used vectors go first.
    """

    hits: int
    misses: int
    entries: int
    bytes: int
    max_bytes: int


class Answer(enum.Enum):
    """What a store says about a sample whose vectors it does not have.

    FREE : nobody is computing them.
    OURS : the one who asks has claimed them and is expected to compute them.
    BUSY : somebody else is computing them.
    """

    FREE = enum.auto()
    OURS = enum.auto()
    BUSY = enum.auto()


class Store(ABC):
    """Vectors of float32 by content, for several threads at once.

    A vector is found by a *context*, which says what was computed (network, layer,
    preprocessing and so on), and the digest of a *sample*; both are bytes. Who finds a sample
    missing may claim it, so that others wait for its vectors instead of computing them too.
    """

    @abstractmethod
    def lookup(self, contexts, samples, owner=None):
        """Look up samples in some contexts.

        Parameters
        ----------
        contexts : list of bytes
        samples : list of bytes
            Digests of samples.
        owner : object, default=None
            Claims what nobody has or computes, until it is `put` or the owner releases its
            claims. None claims nothing.

        Returns
        -------
        answers : list of (list of ndarray) or Answer
            One per sample: its vectors, one per context, if all of them are here.
        """

    @abstractmethod
    def put(self, contexts, entries):
        """Keep copies of vectors, and end the claims on them.

        Parameters
        ----------
        contexts : list of bytes
        entries : list of (bytes, list of ndarray)
            Digests of samples, each with one vector per context. A vector that is larger than
            the bound is not kept.
        """

    @abstractmethod
    def release(self, owner):
        """End all claims of an owner."""

    @abstractmethod
    def count(self, hits=0, misses=0):
        """Add to the counts that `info` returns."""

    @abstractmethod
    def has_room_for(self, n_vectors, n_bytes):
        """Return whether that many vectors of `n_bytes` each can be held at once."""

    @property
    @abstractmethod
    def bound(self):
        """Bytes that are held at most, and the environment variable that sets them."""

    @abstractmethod
    def clear(self):
        """Forget all vectors and counts."""

    @abstractmethod
    def info(self):
        """Return the counts and sizes as a `CacheInfo`."""


class NullStore(Store):
    """A store that keeps nothing."""

    bound = (0, None)

    def lookup(self, contexts, samples, owner=None):
        return [Answer.FREE if owner is None else Answer.OURS] * len(samples)

    def put(self, contexts, entries):
        pass

    def release(self, owner):
        pass

    def count(self, hits=0, misses=0):
        pass

    def has_room_for(self, n_vectors, n_bytes):
        return True  # so that nobody is told of a bound

    def clear(self):
        pass

    def info(self):
        return CacheInfo(0, 0, 0, 0, 0)


def read_limit(variable, default):
    """Read the bytes that an environment variable allows."""
    value = os.environ.get(variable)
    if value is None:
        return default
    if not value.isdecimal():
        raise ValueError(f"{variable}={shorten(value)}: expected a number of bytes")
    return int(value)
