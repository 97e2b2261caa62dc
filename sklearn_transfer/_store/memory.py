"""The store in memory, bounded in bytes: one for each purpose in a process."""

import weakref
from collections import OrderedDict

from sklearn_transfer._process.forks import Turn, run_at_fork
from sklearn_transfer._process.locks import Lock
from sklearn_transfer._store.base import Answer, CacheInfo, Store, read_limit

_DEFAULT_LIMIT = 1 << 30
_ENTRY_OVERHEAD = 300  # key, claims and objects of an entry, in bytes

_live = weakref.WeakSet()


class MemoryStore(Store):
    """Features, kept for as long as the process lives.

    Parameters
    ----------
    max_bytes : int, default=None
        Bound on what is held. None reads the environment variable `variable`.
    """

    variable = "SKLEARN_TRANSFER_CACHE_BYTES"

    def __init__(self, max_bytes=None):
        if max_bytes is None:
            max_bytes = read_limit(self.variable, _DEFAULT_LIMIT)
        self.max_bytes = max_bytes
        self._lock = Lock()
        self._claims = {}
        self.clear()
        _live.add(self)

    def clear(self):
        with self._lock:
            self._vectors = OrderedDict()
            self._bytes = self._hits = self._misses = 0

    def lookup(self, contexts, samples, owner=None):
        with self._lock:
            lookup = self._lookup_in_one if len(contexts) == 1 else self._lookup_one
            return [lookup(contexts, sample, owner) for sample in samples]

    def _lookup_in_one(self, contexts, sample, owner):
        """As `_lookup_one` for a single context, without lists of keys and vectors."""
        key = contexts[0], sample
        vector = self._vectors.get(key)
        if vector is None:
            return self._lookup_one(contexts, sample, owner)
        self._vectors.move_to_end(key)
        return [vector]

    def _lookup_one(self, contexts, sample, owner):
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
        self.end_claims(owner)

    def end_claims(self, owner):
        """End the claims of an owner, and return their (context, sample) pairs."""
        with self._lock:
            keys = [key for key, holder in self._claims.items() if holder is owner]
            for key in keys:
                del self._claims[key]
            return keys

    def give_up(self, contexts, samples):
        """End the claims on some samples, whoever has them."""
        with self._lock:
            for sample in samples:
                for context in contexts:
                    self._claims.pop((context, sample), None)

    def count(self, hits=0, misses=0):
        with self._lock:
            self._hits += hits
            self._misses += misses

    def has_room_for(self, n_vectors, n_bytes):
        return n_vectors * (n_bytes + _ENTRY_OVERHEAD) <= self.max_bytes

    @property
    def bound(self):
        return self.max_bytes, self.variable

    def info(self):
        with self._lock:
            counts = (self._hits, self._misses, len(self._vectors), self._bytes)
            return CacheInfo(*counts, self.max_bytes)


class ActivationStore(MemoryStore):
    """Activations at the end of a frozen prefix, for later fits of the process."""

    variable = "SKLEARN_TRANSFER_ACTIVATION_BYTES"

    def has_room_for(self, n_vectors, n_bytes):
        return True  # what does not fit is computed once per fit, which is no reason to warn


_stores = {}
_stores_lock = Lock()


def open_memory_store(kind=MemoryStore):
    """Return the one store of this process of a kind, made at first use."""
    with _stores_lock:
        if kind not in _stores:
            _stores[kind] = kind()
        return _stores[kind]


def _forget_claims():
    # Those who claimed are threads of the parent; in the child nobody would ever release them.
    for store in list(_live):
        store._claims = {}


run_at_fork(Turn.STORES, in_child=_forget_claims)
