"""Embeddings by content, on disk: one SQLite file a folder, for several processes."""

import atexit
import ctypes
import os
import sqlite3
import threading
import time
import warnings
from collections import OrderedDict
from contextlib import contextmanager, suppress
from itertools import compress, count

from sklearn_transfer._store import sqlite
from sklearn_transfer._store.liveness import Membership
from sklearn_transfer._store.memory import Answer, CacheInfo, MemoryStore, limit
from sklearn_transfer._validation import shortened

_LIMIT_VARIABLE = "SKLEARN_TRANSFER_DISK_CACHE_BYTES"
_DEFAULT_LIMIT = 10 << 30
_FILE, _LOCK_FILE = "embeddings.sqlite", "embeddings.lock"
_TOUCH_EVERY = 60.0
_OPEN_FOLDERS = 4
_KEPT = 0.9  # what eviction leaves, as a part of the bound


class DiskStore:
    """Vectors of float32 in a folder, with those of this process also in memory.

    Each batch is one transaction of SQLite (write-ahead log): a process that is killed
    leaves whole batches or nothing. Each vector is kept with a checksum over its key and
    content. Where the folder cannot be written, or the file is damaged, one warning is
    given and the store keeps to memory.
    """

    def __init__(self, folder, max_bytes, memory_bytes):
        self.folder, self.max_bytes = folder, max_bytes
        self._path, self._file = os.path.join(os.path.abspath(folder), _FILE), None
        self._memory = MemoryStore(memory_bytes)
        self._lock = threading.RLock()
        self._connection = self._member = None
        self._opened = self._writable = False
        self._touched, self._last_touch = {}, time.monotonic()
        atexit.register(self.close)

    def look(self, contexts, samples, owner=None):
        """Of each sample its vectors, one a context, or an `Answer`; see `MemoryStore`.

        A claim holds against all threads and processes that use the folder.
        """
        answers = self._memory.look(contexts, samples, owner)
        found = [type(answer) is list for answer in answers]
        if all(found):
            self._touch(contexts, samples)
            return answers
        self._touch(contexts, list(compress(samples, found)))
        rest = [i for i, a in enumerate(answers) if a in (Answer.FREE, Answer.OURS)]
        if rest:
            with self._guarded():
                if self._open():
                    found = self._look_on_disk(contexts, [samples[i] for i in rest], owner)
                    for i, answer in zip(rest, found, strict=True):
                        answers[i] = answer
        return answers

    def _look_on_disk(self, contexts, samples, owner):
        answers = self._fetch(contexts, samples)
        rest = [i for i, answer in enumerate(answers) if answer is None]
        if rest and self._writable:
            missing = [samples[i] for i in rest]
            found = (
                self._ask(contexts, missing)
                if owner is None
                else self._claim(contexts, missing)
            )
        else:
            found = [Answer.FREE if owner is None else Answer.OURS] * len(rest)
        for i, answer in zip(rest, found, strict=True):
            answers[i] = answer
        busy = [samples[i] for i in rest if answers[i] is Answer.BUSY]
        if owner is not None and busy:
            self._memory.give_up(contexts, busy)
        return answers

    def _fetch(self, contexts, samples):
        """Vectors of each sample from the file, or None unless all are there."""
        keys = [context + sample for sample in samples for context in contexts]
        found = self._read(keys)
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
            self._touch([context], sound, moment)
        return answers

    def _read(self, keys):
        found, damaged = {}, []
        for marks, part in sqlite.parts(keys):
            rows = self._connection.execute(
                "SELECT key, id, data FROM entries LEFT JOIN vectors USING (id)"
                f" WHERE key IN ({marks})",
                part,
            )
            for key, number, data in rows:
                vector = sqlite.unpack(key, data)
                if vector is None:
                    damaged.append(number)
                else:
                    found[key] = vector
        if damaged and self._writable:
            with self._transaction() as connection:
                sqlite.delete(connection, damaged)
        return found

    def _ask(self, contexts, samples):
        """Whether another process computes some of what is missing, without a claim."""
        claimed = self._claimed([c + sample for sample in samples for c in contexts])
        return [
            Answer.BUSY if any(c + sample in claimed for c in contexts) else Answer.FREE
            for sample in samples
        ]

    def _claim(self, contexts, samples):
        """Claim what is still missing, in one transaction."""
        with self._transaction() as connection:
            answers = self._fetch(contexts, samples)  # it may have come in between
            claimed = self._claimed([c + sample for sample in samples for c in contexts])
            for i, sample in enumerate(samples):
                keys = [context + sample for context in contexts]
                if answers[i] is None:
                    answers[i] = Answer.OURS
                    if not claimed.isdisjoint(keys):
                        answers[i] = Answer.BUSY
                if answers[i] is Answer.OURS:
                    connection.executemany(
                        "INSERT OR REPLACE INTO claims VALUES (?, ?)",
                        [(key, self._member.number) for key in keys],
                    )
        return answers

    def _claimed(self, keys):
        """Keys that other living processes have claimed."""
        claims = []
        for marks, part in sqlite.parts(keys):
            query = f"SELECT key, owner FROM claims WHERE key IN ({marks})"
            claims += self._connection.execute(query, part).fetchall()
        others = {owner for _, owner in claims} - {self._member.number}
        alive = {owner for owner in others if self._member.is_alive(owner)}
        return {key for key, owner in claims if owner in alive}

    def put(self, contexts, entries):
        """Keep the vectors of (sample, vectors) pairs, and end their claims."""
        try:
            with self._guarded():
                if entries and self._open() and self._writable:
                    self._put_on_disk(contexts, entries)
        finally:  # only now may other threads of this process claim them
            self._memory.put(contexts, entries)

    def _put_on_disk(self, contexts, entries):
        pairs = [
            (context + sample, vector)
            for sample, vectors in entries
            for context, vector in zip(contexts, vectors, strict=True)
        ]
        small = [(key, vector) for key, vector in pairs if self.fits(1, vector.nbytes)]
        with self._transaction() as connection:
            added = sum(sqlite.insert(connection, *pair) for pair in small)
            sqlite.end_claims(connection, [key for key, _ in pairs])
            connection.execute("UPDATE total SET bytes = bytes + ?", (added,))
            self._evict(connection)

    def _evict(self, connection):
        [total] = connection.execute("SELECT bytes FROM total").fetchone()
        if total <= self.max_bytes:
            return
        self._write_touched(connection)
        excess, numbers = total - _KEPT * self.max_bytes, []
        for number, size in connection.execute(
            "SELECT id, CAST(bytes AS INTEGER) FROM entries ORDER BY used, id"
        ):
            if excess <= 0:
                break
            numbers.append(number)
            excess -= size
        sqlite.delete(connection, numbers)

    def _touch(self, contexts, samples, moment=None):
        """Note that samples were used just now, in this order, in all contexts at once."""
        if not samples:
            return
        moment = moment or time.time_ns()
        for context in contexts:
            self._touched.setdefault(context, {}).update(zip(samples, count(moment)))

    def _write_touched(self, connection):
        touched, self._touched = self._touched, {}
        connection.executemany(
            "UPDATE entries SET used = MAX(used, ?) WHERE key = ?",
            (
                (moment, context + sample)
                for context, moments in list(touched.items())
                for sample, moment in list(moments.items())
            ),
        )
        self._last_touch = time.monotonic()

    def release(self, owner):
        """End the claims of an owner, and note at times what was used."""
        keys = [context + sample for context, sample in self._memory.release(owner)]
        due = self._touched and time.monotonic() - self._last_touch > _TOUCH_EVERY
        if not keys and not due:
            return
        with self._guarded():
            if self._open() and self._writable:
                with self._transaction() as connection:
                    sqlite.end_claims(connection, keys)
                    if due:
                        self._write_touched(connection)

    def count(self, hits=0, misses=0):
        self._memory.count(hits, misses)

    def fits(self, n_vectors, n_bytes):
        """Whether that many vectors of that size can be held at once."""
        if self._memory_alone:
            return self._memory.fits(n_vectors, n_bytes)
        return n_vectors * sqlite.stored_bytes(n_bytes) <= _KEPT * self.max_bytes

    @property
    def bound(self):
        """Bytes that are held at most, and the environment variable that says so."""
        return self._memory.bound if self._memory_alone else (self.max_bytes, _LIMIT_VARIABLE)

    @property
    def _memory_alone(self):
        """Whether the folder was tried and cannot be written."""
        return self._opened and not self._writable

    def info(self):
        memory = self._memory.info()
        with self._guarded():
            if self._open():
                [count] = self._connection.execute("SELECT COUNT(*) FROM entries").fetchone()
                [total] = self._connection.execute("SELECT bytes FROM total").fetchone()
                return CacheInfo(memory.hits, memory.misses, count, total, self.max_bytes)
        return memory

    def clear(self):
        """Forget everything, in the folder too; a file that cannot be cleared is made anew."""
        self._memory.clear()
        self._touched.clear()
        with self._guarded():
            self._let_go()  # it may have given up before
            try:
                self._open_for_writing()
                sqlite.make_anew(self._connection)
            except sqlite.ERRORS:
                self._let_go()
                for ending in ("", "-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        os.remove(self._path + ending)
            self._opened = self._connection is not None
            self._open()

    def close(self):
        """Write what is pending and let go of the file; the next use opens it again."""
        self._close(self._let_go)

    def close_connection(self):
        """As `close`, but stay a member, so that claims hold."""
        self._close(self._disconnect)

    def _close(self, let_go):
        with self._lock:
            if self._writable and self._touched:
                # When something was used is no reason to complain.
                with suppress(*sqlite.ERRORS), self._transaction() as connection:
                    self._write_touched(connection)
            let_go()
            self._opened = False

    def forget_process(self):
        """In a child of fork: claims and locks of other threads stay in the parent."""
        self._memory.forget_process()
        self._let_go()

    def _let_go(self):
        self._disconnect()
        if self._member is not None:
            self._member.close()
        self._member = None

    def _disconnect(self):
        if self._connection is not None:
            self._connection.close()
        self._connection, self._writable = None, False

    def _open(self):
        """Whether the file can be read; opens it, and if need be makes it, at first use.

        A folder that was deleted or exchanged since is opened anew.
        """
        if self._connection is not None and _identity(self._path) != self._file:
            if os.path.exists(self._path):
                # Closed, it would delete the log of the new file. It leaks instead.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
                self._connection = None
            self._let_go()
            self._opened = False
        if not self._opened:
            self._opened = True
            try:
                self._open_for_writing()
            except sqlite.ERRORS as error:
                self._let_go()
                if not sqlite.is_damage(error):
                    self._open_for_reading()
                self._warn(error)
        return self._connection is not None

    def _open_for_writing(self):
        os.makedirs(self.folder, exist_ok=True)
        if self._member is None:
            self._member = Membership(os.path.join(self.folder, _LOCK_FILE))
        deadline = time.monotonic() + sqlite.WAIT
        while self._connection is None:
            try:
                self._connection = sqlite.connect(self._path)
            except sqlite3.OperationalError as error:  # others may be making it just now
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self._file = _identity(self._path)
        self._writable = True

    def _open_for_reading(self):
        if not os.path.isfile(self._path):
            return
        for mode in ("mode=ro", "immutable=1"):  # with the log of others, and without
            with suppress(*sqlite.ERRORS):
                self._connection = sqlite.connect_read_only(self._path, mode)
                self._file = _identity(self._path)
                return

    @contextmanager
    def _transaction(self):
        connection = self._connection
        if connection.in_transaction:  # of `look`, in which a damaged entry was found
            yield connection
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _guarded(self):
        """One thread at a time; an error of the disk ends writing, then reading."""
        with self._lock:
            try:
                yield
            except sqlite.ERRORS as error:
                if self._writable and not sqlite.is_damage(error):
                    self._writable = False
                    self._member.close()  # else others would wait for what is never written
                    self._member = None
                else:
                    self._let_go()
                self._warn(error)

    def _warn(self, error):
        kept = "read but not written" if self._connection else "neither read nor written"
        repair = "make room, or pass a folder on a local disk that can be written"
        if sqlite.is_damage(error):
            repair = "clear_cache() makes it anew"
        warnings.warn(
            f"The feature cache in {shortened(self.folder)} is {kept} from here on ({error});"
            f" features are right but kept in the memory of this process alone: {repair}",
            UserWarning,
            stacklevel=2,
        )


def _identity(path):
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


_stores = OrderedDict()
_stores_lock = threading.RLock()


def disk_store(folder):
    """The one store of this process for a folder, made at first use.

    Files of folders that were not asked for lately are closed until they are again.
    """
    folder = os.path.realpath(os.fspath(folder))
    with _stores_lock:
        if folder not in _stores:
            bound = limit(_LIMIT_VARIABLE, _DEFAULT_LIMIT)
            _stores[folder] = DiskStore(folder, bound, limit())
            for store in list(_stores.values())[:-_OPEN_FOLDERS]:
                store.close()
        _stores.move_to_end(folder)
        return _stores[folder]


def _before_fork():
    """Close all files: neither side may use a connection that was open at a fork."""
    _stores_lock.acquire()
    for store in _stores.values():
        store._lock.acquire()
        store.close_connection()


def _after_fork():
    for store in _stores.values():
        store._lock.release()
    _stores_lock.release()


def _after_fork_in_child():
    for store in _stores.values():
        store.forget_process()
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork,
        after_in_child=_after_fork_in_child,
    )
