"""The store in a folder: one SQLite file, for several threads and processes."""

import atexit
import os
import time
import weakref
from collections import OrderedDict
from contextlib import ExitStack, suppress
from itertools import compress

from sklearn_transfer._process.forks import Turn, run_at_fork
from sklearn_transfer._process.locks import RLock
from sklearn_transfer._store import claims, tables
from sklearn_transfer._store.base import Answer, CacheInfo, Store, read_limit
from sklearn_transfer._store.database import ERRORS, Database
from sklearn_transfer._store.memory import MemoryStore
from sklearn_transfer._store.usage import KEPT, Usage, evict

_VARIABLE = "SKLEARN_TRANSFER_DISK_CACHE_BYTES"
_DEFAULT_LIMIT = 10 << 30
_OPEN_FOLDERS = 4


class DiskStore(Store):
    """Vectors in a folder, with those that this process has seen also in memory.

    Each batch is one transaction of SQLite (write-ahead log): a process that is killed
    leaves whole batches or nothing. Each vector is kept with a checksum over its key and
    content. Where the folder cannot be written, or the file is damaged, one warning is
    given and the store keeps to memory. A claim holds against all threads and processes that
    use the folder.

    Parameters
    ----------
    folder : str
    max_bytes : int
        Bound on the bytes of the file.
    memory_bytes : int, default=None
        Bound on the bytes in memory. None reads it from the environment, as `MemoryStore`.
    """

    def __init__(self, folder, max_bytes, memory_bytes=None):
        self.max_bytes = max_bytes
        self._memory = MemoryStore(memory_bytes)
        self._database, self._usage = Database(folder), Usage()
        with _stores_lock:
            _live.add(self)

    def lookup(self, contexts, samples, owner=None):
        answers = self._memory.lookup(contexts, samples, owner)
        found = [type(answer) is list for answer in answers]
        if all(found):
            self._usage.note(contexts, samples)
            return answers
        self._usage.note(contexts, list(compress(samples, found)))
        # The answers for what another thread of this process computes are left unchanged.
        rest = [i for i, a in enumerate(answers) if a in (Answer.FREE, Answer.OURS)]
        if rest:
            with self._database.guard():
                if self._database.open():
                    found = self._lookup_on_disk(contexts, [samples[i] for i in rest], owner)
                    for i, answer in zip(rest, found, strict=True):
                        answers[i] = answer
        return answers

    def _lookup_on_disk(self, contexts, samples, owner):
        answers = self._read(contexts, samples)
        rest = [i for i, answer in enumerate(answers) if answer is None]
        missing = [samples[i] for i in rest]
        database = self._database
        if not missing or not database.writable:
            found = [Answer.FREE if owner is None else Answer.OURS] * len(rest)
        elif owner is None:
            found = claims.ask(database.connection, database.member, contexts, missing)
        else:
            found = self._claim(contexts, missing)
        for i, answer in zip(rest, found, strict=True):
            answers[i] = answer
        busy = [samples[i] for i in rest if answers[i] is Answer.BUSY]
        if owner is not None and busy:
            self._memory.give_up(contexts, busy)
        return answers

    def _claim(self, contexts, samples):
        """Claim what is still missing, in one transaction."""
        with self._database.transaction() as connection:
            answers = self._read(contexts, samples)  # it may have come in between
            rest = [i for i, answer in enumerate(answers) if answer is None]
            missing = [samples[i] for i in rest]
            found = claims.claim(connection, self._database.member, contexts, missing)
            for i, answer in zip(rest, found, strict=True):
                answers[i] = answer
        return answers

    def _read(self, contexts, samples):
        """Vectors of each sample from the file, or None unless all are there."""
        keys = [context + sample for sample in samples for context in contexts]
        found, damaged = tables.read_vectors(self._database.connection, keys)
        if damaged and self._database.writable:
            with self._database.transaction() as connection:
                tables.delete_entries(connection, damaged)
        answers = []
        for sample in samples:
            vectors = [found.get(context + sample) for context in contexts]
            complete = all(vector is not None for vector in vectors)
            answers.append(vectors if complete else None)
        whole = [(s, a) for s, a in zip(samples, answers, strict=True) if a is not None]
        self._memory.put(contexts, whole)
        moment = time.time_ns()
        for context in contexts:
            sound = [sample for sample in samples if context + sample in found]
            self._usage.note([context], sound, moment)
        return answers

    def put(self, contexts, entries):
        try:
            with self._database.guard():
                if entries and self._database.open() and self._database.writable:
                    self._put_on_disk(contexts, entries)
        finally:  # only now may other threads of this process claim them
            self._memory.put(contexts, entries)

    def _put_on_disk(self, contexts, entries):
        pairs = [
            (context + sample, vector)
            for sample, vectors in entries
            for context, vector in zip(contexts, vectors, strict=True)
        ]
        small = [(key, vector) for key, vector in pairs if self.has_room_for(1, vector.nbytes)]
        with self._database.transaction() as connection:
            tables.insert_vectors(connection, small)
            tables.delete_claims(connection, [key for key, _ in pairs])
            evict(connection, self.max_bytes, self._usage)

    def release(self, owner):
        """End all claims of an owner, and note at times what was used."""
        keys = [context + sample for context, sample in self._memory.end_claims(owner)]
        is_due = self._usage.is_due
        if not keys and not is_due:
            return
        with self._database.guard():
            if self._database.open() and self._database.writable:
                with self._database.transaction() as connection:
                    tables.delete_claims(connection, keys)
                    if is_due:
                        self._usage.write(connection)

    def count(self, hits=0, misses=0):
        self._memory.count(hits, misses)

    def has_room_for(self, n_vectors, n_bytes):
        if self._database.is_lost:
            return self._memory.has_room_for(n_vectors, n_bytes)
        return n_vectors * tables.compute_stored_bytes(n_bytes) <= KEPT * self.max_bytes

    @property
    def bound(self):
        return self._memory.bound if self._database.is_lost else (self.max_bytes, _VARIABLE)

    def info(self):
        memory = self._memory.info()
        with self._database.guard():
            if self._database.open():
                sizes = tables.read_sizes(self._database.connection)
                return CacheInfo(memory.hits, memory.misses, *sizes, self.max_bytes)
        return memory

    def clear(self):
        """Forget everything, in the folder too; a file that cannot be cleared is made anew."""
        self._memory.clear()
        self._usage.clear()
        self._database.make_anew()

    def close(self, keep_claims=False):
        """Write what is pending and close the file; the next use opens it again."""
        with self._database.lock:
            if self._database.writable and self._usage.is_pending:
                # When something was used is no reason to complain.
                with suppress(*ERRORS), self._database.transaction() as connection:
                    self._usage.write(connection)
            self._database.close(keep_claims)


# Folders that this process has asked for, and all stores that are in use, made by hand or not.
_stores, _live = OrderedDict(), weakref.WeakSet()
_stores_lock = RLock()


def open_disk_store(folder):
    """Return the one store of this process for a folder, made at first use.

    Files of folders that were not asked for lately are closed until they are again.
    """
    folder = os.path.realpath(os.fspath(folder))
    with _stores_lock:
        if folder not in _stores:
            _stores[folder] = DiskStore(folder, read_limit(_VARIABLE, _DEFAULT_LIMIT))
            for store in list(_stores.values())[:-_OPEN_FOLDERS]:
                store.close()
        _stores.move_to_end(folder)
        return _stores[folder]


@atexit.register
def close_disk_stores():
    """Close the files of all stores of this process."""
    with _stores_lock:
        for store in list(_live):
            store.close()


_held_over_fork = ExitStack()


def _close_before_fork():
    # SQLite forbids a connection that was open at a fork to either side. The locks are held
    # over the fork, so that no other thread opens a file again before it.
    _held_over_fork.enter_context(_stores_lock.current)
    for store in list(_live):
        _held_over_fork.enter_context(store._database.lock.current)
        store.close(keep_claims=True)


def _forget_parent():
    for store in list(_live):
        store._database.forget_parent()
    _held_over_fork.close()


run_at_fork(
    Turn.STORES,
    before=_close_before_fork,
    in_parent=_held_over_fork.close,
    in_child=_forget_parent,
)
