"""Embeddings by content, in memory: one store a process, bounded in bytes."""

import enum
import os
import threading
from collections import OrderedDict
from typing import NamedTuple

from sklearn_transfer._process.threads import in_child_of_fork
from sklearn_transfer._validation import shortened

_LIMIT_VARIABLE = "SKLEARN_TRANSFER_CACHE_BYTES"
_DEFAULT_LIMIT = 1 << 30
_ENTRY_OVERHEAD = 300


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
    """What a store says of a sample whose vectors it does not have.

    FREE : nobody computes them.
    OURS : the one who asks has claimed them and is to compute them.
    BUSY : somebody else is computing them.
    """

    FREE = enum.auto()
    OURS = enum.auto()
    BUSY = enum.auto()


class NullStore:
    """Keeps nothing."""

    def look(self, contexts, samples, owner=None):
        return [Answer.FREE if owner is None else Answer.OURS] * len(samples)

    def put(self, contexts, entries):
        pass

    def release(self, owner):
        pass

    def count(self, hits=0, misses=0):
        pass

    def fits(self, n_vectors, n_bytes):
        return True

    def clear(self):
        pass

    def info(self):
        return CacheInfo(0, 0, 0, 0, 0)


class MemoryStore:
    """Vectors of float32 under (context, sample) keys; safe for several threads."""

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._claims = {}
        self.clear()

    def clear(self):
        with self._lock:
            self._vectors = OrderedDict()
            self._bytes = self._hits = self._misses = 0

    def look(self, contexts, samples, owner=None):
        """Of each sample its vectors, one a context, or an `Answer`.

        What nobody has or computes is claimed for `owner`, where one is given, until it is
        `put` or the owner releases its claims.
        """
        with self._lock:
            look = self._look_in_one if len(contexts) == 1 else self._look_one
            return [look(contexts, sample, owner) for sample in samples]

    def _look_in_one(self, contexts, sample, owner):
        """As `_look_one`, without what several contexts need."""
        key = contexts[0], sample
        vector = self._vectors.get(key)
        if vector is None:
            return self._look_one(contexts, sample, owner)
        self._vectors.move_to_end(key)
        return [vector]

    def _look_one(self, contexts, sample, owner):
        keys = [(context, sample) for context in contexts]
        try:
            vectors = [self._vectors[key] for key in keys]
        except KeyError:
            pass
        else:
            for key in keys:
                self._vectors.move_to_end(key)
            return vectors
        if any(self._claims.get(key, owner) is not owner for key in keys):
            return Answer.BUSY
        if owner is None:
            return Answer.FREE
        self._claims.update(dict.fromkeys(keys, owner))
        return Answer.OURS

    def put(self, contexts, entries):
        """Keep copies of the vectors of (sample, vectors) pairs, and end their claims.

        A vector larger than the bound is not kept.
        """
        with self._lock:
            for sample, vectors in entries:
                for context, vector in zip(contexts, vectors, strict=True):
                    self._claims.pop((context, sample), None)
                    if vector.nbytes + _ENTRY_OVERHEAD <= self.max_bytes:
                        self._put_one((context, sample), vector.copy())
            while self._bytes > self.max_bytes:
                _, oldest = self._vectors.popitem(last=False)
                self._bytes -= oldest.nbytes + _ENTRY_OVERHEAD

    def _put_one(self, key, vector):
        vector.flags.writeable = False
        replaced = self._vectors.pop(key, None)
        if replaced is not None:
            self._bytes -= replaced.nbytes + _ENTRY_OVERHEAD
        self._bytes += vector.nbytes + _ENTRY_OVERHEAD
        self._vectors[key] = vector

    def release(self, owner):
        """End the claims of an owner; returns their keys."""
        with self._lock:
            keys = [key for key, holder in self._claims.items() if holder is owner]
            for key in keys:
                del self._claims[key]
            return keys

    def give_up(self, contexts, samples):
        """End the claims on some samples."""
        with self._lock:
            for sample in samples:
                for context in contexts:
                    self._claims.pop((context, sample), None)

    def forget_process(self):
        """In a child of fork: claims and locks of other threads stay in the parent."""
        self._lock, self._claims = threading.Lock(), {}

    def count(self, hits=0, misses=0):
        with self._lock:
            self._hits += hits
            self._misses += misses

    def fits(self, n_vectors, n_bytes):
        """Whether that many vectors of that size can be held at once."""
        return n_vectors * (n_bytes + _ENTRY_OVERHEAD) <= self.max_bytes

    @property
    def bound(self):
        """Bytes that are held at most, and the environment variable that says so."""
        return self.max_bytes, _LIMIT_VARIABLE

    def info(self):
        with self._lock:
            counts = (self._hits, self._misses, len(self._vectors), self._bytes)
            return CacheInfo(*counts, self.max_bytes)


def limit(variable=_LIMIT_VARIABLE, default=_DEFAULT_LIMIT):
    """Bytes that an environment variable allows a store."""
    value = os.environ.get(variable)
    if value is None:
        return default
    if not value.isdecimal():
        raise ValueError(f"{variable}={shortened(value)}: expected a number of bytes")
    return int(value)


_memory_store = None
_memory_lock = threading.Lock()


def memory_store():
    """The one store of this process, made at first use."""
    global _memory_store
    with _memory_lock:
        if _memory_store is None:
            _memory_store = MemoryStore(limit())
        return _memory_store


@in_child_of_fork
def _renew_locks():
    global _memory_lock
    _memory_lock = threading.Lock()
    if _memory_store is not None:
        _memory_store.forget_process()
