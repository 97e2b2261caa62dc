"""Embeddings by content: one store a process, bounded in bytes."""

import os
import threading
from collections import OrderedDict
from typing import NamedTuple

_LIMIT_VARIABLE = "SKLEARN_TRANSFER_CACHE_BYTES"
_DEFAULT_LIMIT = 1 << 30
_ENTRY_OVERHEAD = 300


class CacheInfo(NamedTuple):
    """Counts since the process began or the cache was cleared.

    hits : samples answered from the cache.
    misses : samples that went through a network.
    entries : vectors held.
    bytes : memory held, bookkeeping included.
    max_bytes : bound on `bytes`; the least recently used vectors go first.
    """

    hits: int
    misses: int
    entries: int
    bytes: int
    max_bytes: int


class MemoryStore:
    """Vectors of float32 under (context, sample) keys; safe for several threads."""

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self.clear()

    def clear(self):
        with self._lock:
            self._vectors = OrderedDict()
            self._bytes = self._hits = self._misses = 0

    def get(self, contexts, sample):
        """Vectors of one sample, one a context, or None unless all are there."""
        keys = [(context, sample) for context in contexts]
        with self._lock:
            vectors = [self._vectors.get(key) for key in keys]
            if any(vector is None for vector in vectors):
                return None
            for key in keys:
                self._vectors.move_to_end(key)
        return vectors

    def put(self, contexts, sample, vectors):
        """Keep a copy of each vector; one larger than the bound is not kept."""
        with self._lock:
            for context, vector in zip(contexts, vectors, strict=True):
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

    def count(self, hits=0, misses=0):
        with self._lock:
            self._hits += hits
            self._misses += misses

    def fits(self, n_vectors, n_bytes):
        """Whether that many vectors of that size can be held at once."""
        return n_vectors * (n_bytes + _ENTRY_OVERHEAD) <= self.max_bytes

    def info(self):
        with self._lock:
            counts = (self._hits, self._misses, len(self._vectors), self._bytes)
            return CacheInfo(*counts, self.max_bytes)


def _limit():
    value = os.environ.get(_LIMIT_VARIABLE)
    if value is None:
        return _DEFAULT_LIMIT
    if not value.isdecimal():
        raise ValueError(f"{_LIMIT_VARIABLE}={value!r}: expected a number of bytes")
    return int(value)


_memory_store = None
_memory_lock = threading.Lock()


def memory_store():
    """The one store of this process, made at first use."""
    global _memory_store
    with _memory_lock:
        if _memory_store is None:
            _memory_store = MemoryStore(_limit())
        return _memory_store
