"""Embeddings by content, on disk: one SQLite file a folder, for several processes."""

import atexit
import ctypes
import os
import sqlite3
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from urllib.parse import quote

import numpy as np
import xxhash

from sklearn_transfer.extraction._cache import Answer, CacheInfo, MemoryStore, limit
from sklearn_transfer.extraction._claims import Membership

_LIMIT_VARIABLE = "SKLEARN_TRANSFER_DISK_CACHE_BYTES"
_DEFAULT_LIMIT = 10 << 30
_FILE, _LOCK_FILE = "embeddings.sqlite", "embeddings.lock"
_LAYOUT = 1
_ENTRY_OVERHEAD = 120  # key, checksum and rows, in bytes
_CHECKSUM = 16
_PARAMETERS = 500
_WAIT = 60.0  # seconds, for another process to end its transaction
_TOUCH_EVERY = 60.0
_KEPT = 0.9  # what eviction leaves, as a part of the bound

# Key and vector lie apart, so that eviction reads no vectors. A claim is a key that a
# process, `owner`, is computing.
_SCHEMA = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,
    used INTEGER NOT NULL, bytes INTEGER NOT NULL
);
CREATE TABLE vectors (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE claims (key BLOB PRIMARY KEY, owner INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE total (bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0);
"""


class DiskStore:
    """Vectors of float32 in a folder, with those of this process also in memory.

    Each batch is one transaction of SQLite (write-ahead log): a process that is killed
    leaves whole batches or nothing. Each vector is kept with a checksum over its key and
    content. Where the folder cannot be written, or the file is damaged, one warning is
    given and the store keeps to memory.
    """

    limit_variable = _LIMIT_VARIABLE

    def __init__(self, folder, max_bytes, memory_bytes):
        self.folder, self.max_bytes = folder, max_bytes
        self._memory = MemoryStore(memory_bytes)
        self._lock = threading.RLock()
        self._connection = self._member = None
        self._opened = self._writable = False
        self._touched, self._last_touch = set(), -_TOUCH_EVERY
        self._process = os.getpid()
        atexit.register(self.close)

    def look(self, contexts, samples, owner=None):
        """Of each sample its vectors, one a context, or an `Answer`; see `MemoryStore`.

        A claim holds against all threads and processes that use the folder.
        """
        answers = self._memory.look(contexts, samples, owner)
        rest = [i for i, a in enumerate(answers) if a in (Answer.FREE, Answer.OURS)]
        self._touched.update(
            context + sample
            for sample, answer in zip(samples, answers, strict=True)
            if isinstance(answer, list)
            for context in contexts
        )
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
            found = self._claim(contexts, missing) if owner else self._ask(contexts, missing)
        else:
            found = [Answer.OURS if owner else Answer.FREE] * len(rest)
        for i, answer in zip(rest, found, strict=True):
            answers[i] = answer
        busy = [samples[i] for i in rest if answers[i] is Answer.BUSY]
        if owner and busy:
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
        self._touched.update(found)
        return answers

    def _read(self, keys):
        found, damaged = {}, []
        for marks, part in _parts(keys):
            rows = self._connection.execute(
                "SELECT key, id, data FROM entries LEFT JOIN vectors USING (id)"
                f" WHERE key IN ({marks})",
                part,
            )
            for key, number, data in rows:
                vector = _unpack(key, data)
                if vector is None:
                    damaged.append(number)
                else:
                    found[key] = vector
        if damaged and self._writable:
            with self._transaction() as connection:
                _delete(connection, damaged)
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
        for marks, part in _parts(keys):
            query = f"SELECT key, owner FROM claims WHERE key IN ({marks})"
            claims += self._connection.execute(query, part).fetchall()
        others = {owner for _, owner in claims} - {self._member.number}
        alive = {owner for owner in others if self._member.is_alive(owner)}
        return {key for key, owner in claims if owner in alive}

    def put(self, contexts, entries):
        """Keep the vectors of (sample, vectors) pairs, and end their claims."""
        self._memory.put(contexts, entries)
        pairs = [
            (context + sample, vector)
            for sample, vectors in entries
            for context, vector in zip(contexts, vectors, strict=True)
        ]
        with self._guarded():
            if pairs and self._open() and self._writable:
                with self._transaction() as connection:
                    added = sum(_insert(connection, *pair) for pair in pairs)
                    _end_claims(connection, [key for key, _ in pairs])
                    connection.execute("UPDATE total SET bytes = bytes + ?", (added,))
                    self._evict(connection)

    def _evict(self, connection):
        [total] = connection.execute("SELECT bytes FROM total").fetchone()
        if total <= self.max_bytes:
            return
        self._write_touched(connection)
        excess, numbers = total - _KEPT * self.max_bytes, []
        for number, size in connection.execute(
            "SELECT id, bytes FROM entries ORDER BY used, id"
        ):
            if excess <= 0:
                break
            numbers.append(number)
            excess -= size
        _delete(connection, numbers)

    def _write_touched(self, connection):
        touched, self._touched = self._touched, set()
        moment = time.time_ns()
        connection.executemany(
            "UPDATE entries SET used = ? WHERE key = ?", [(moment, key) for key in touched]
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
                    _end_claims(connection, keys)
                    if due:
                        self._write_touched(connection)

    def count(self, hits=0, misses=0):
        self._memory.count(hits, misses)

    def fits(self, n_vectors, n_bytes):
        """Whether that many vectors of that size can be held at once."""
        if self._writable:
            return n_vectors * (n_bytes + _ENTRY_OVERHEAD) <= _KEPT * self.max_bytes
        return self._memory.fits(n_vectors, n_bytes)

    def info(self):
        memory = self._memory.info()
        with self._guarded():
            if self._open():
                [count] = self._connection.execute("SELECT COUNT(*) FROM entries").fetchone()
                [total] = self._connection.execute("SELECT bytes FROM total").fetchone()
                return CacheInfo(memory.hits, memory.misses, count, total, self.max_bytes)
        return memory

    def clear(self):
        """Forget everything, in the folder too; a damaged file is made anew."""
        self._memory.clear()
        self._touched.clear()
        with self._guarded():
            if self._connection is None:
                self._remove_unreadable()
            if self._open() and self._writable:
                with self._transaction() as connection:
                    connection.execute("DELETE FROM entries")
                    connection.execute("DELETE FROM vectors")
                    connection.execute("UPDATE total SET bytes = 0")
                self._connection.execute("VACUUM")

    def close(self):
        """Write what is pending and let go of the file; the next use opens it again."""
        if self._process != os.getpid():  # a child of fork must not touch the connection
            return
        with self._lock:
            if self._writable and self._touched:
                # When something was used is no reason to complain.
                with suppress(sqlite3.Error), self._transaction() as connection:
                    self._write_touched(connection)
            self._let_go()
            self._opened = False

    def _let_go(self):
        for holder in (self._connection, self._member):
            if holder is not None:
                holder.close()
        self._connection = self._member = None
        self._writable = False

    def _remove_unreadable(self):
        """Remove a file that could not be opened before, so that the next use makes one."""
        if self._opened:
            for ending in ("", "-wal", "-shm"):
                path = os.path.join(self.folder, _FILE + ending)
                if os.path.exists(path):
                    os.remove(path)
            self._opened = False

    def _open(self):
        """Whether the file can be read; opens it, and if need be makes it, at first use."""
        if not self._opened:
            self._opened = True
            try:
                self._open_for_writing()
            except (OSError, sqlite3.Error) as error:
                self._let_go()
                self._open_for_reading()
                self._warn(error)
        return self._connection is not None

    def _open_for_writing(self):
        os.makedirs(self.folder, exist_ok=True)
        self._member = Membership(os.path.join(self.folder, _LOCK_FILE))
        deadline = time.monotonic() + _WAIT
        while self._connection is None:
            try:
                self._connection = _connect(os.path.join(self.folder, _FILE))
            except sqlite3.OperationalError as error:  # others may be making it just now
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self._writable = True

    def _open_for_reading(self):
        path = os.path.join(os.path.abspath(self.folder), _FILE)
        if not os.path.isfile(path):
            return
        uri = f"file:{quote(path)}?mode=ro&immutable=1"
        options = {"uri": True, "isolation_level": None, "check_same_thread": False}
        with suppress(sqlite3.Error):
            connection = sqlite3.connect(uri, **options)
            try:
                _check_layout(connection)
            except sqlite3.Error:
                connection.close()
            else:
                self._connection = connection

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
            except (OSError, sqlite3.Error) as error:
                if self._writable and isinstance(error, (OSError, sqlite3.OperationalError)):
                    self._writable = False
                else:
                    self._let_go()
                self._warn(error)

    def _warn(self, error):
        kept = "read but not written" if self._connection else "neither read nor written"
        repair = "make room, or pass a folder on a local disk that can be written"
        if not isinstance(error, (OSError, sqlite3.OperationalError)):
            repair = "clear_cache() makes it anew"
        warnings.warn(
            f"The feature cache in {self.folder!r} is {kept} from here on ({error}); features"
            f" are right but kept in the memory of this process alone: {repair}",
            UserWarning,
            stacklevel=2,
        )


def _connect(path):
    connection = sqlite3.connect(
        path, timeout=_WAIT, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA page_size = 32768")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            _make_tables(connection)
        _check_layout(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_tables(connection):
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone() == (0,):
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_LAYOUT}")
    connection.execute("COMMIT")


def _check_layout(connection):
    [layout] = connection.execute("PRAGMA user_version").fetchone()
    if layout != _LAYOUT:
        raise sqlite3.DatabaseError(f"its layout is {layout}, expected {_LAYOUT}")


def _parts(keys):
    """Placeholders and keys, as many at once as a query takes."""
    for start in range(0, len(keys), _PARAMETERS):
        part = keys[start : start + _PARAMETERS]
        yield ",".join("?" * len(part)), part


def _pack(key, vector):
    content = np.ascontiguousarray(vector, dtype="<f4").tobytes()
    return _checksum(key, content) + content


def _unpack(key, data):
    """Vector of a stored value, or None where it is not what was stored under its key."""
    if not isinstance(data, bytes) or data[:_CHECKSUM] != _checksum(key, data[_CHECKSUM:]):
        return None
    return np.frombuffer(data, dtype="<f4", offset=_CHECKSUM)


def _checksum(key, content):
    return xxhash.xxh3_128_digest(key + content)


def _insert(connection, key, vector):
    """Bytes added: none where another process was first."""
    data = _pack(key, vector)
    size = len(data) + _ENTRY_OVERHEAD
    row = (key, time.time_ns(), size)
    cursor = connection.execute(
        "INSERT OR IGNORE INTO entries (key, used, bytes) VALUES (?, ?, ?)", row
    )
    if cursor.rowcount == 0:
        return 0
    connection.execute(
        "INSERT OR REPLACE INTO vectors VALUES (?, ?)", (cursor.lastrowid, data)
    )
    return size


def _delete(connection, numbers):
    for marks, part in _parts(numbers):
        chosen = f"WHERE id IN ({marks})"
        query = f"SELECT TOTAL(bytes) FROM entries {chosen}"
        [size] = connection.execute(query, part).fetchone()
        connection.execute(f"DELETE FROM entries {chosen}", part)
        connection.execute(f"DELETE FROM vectors {chosen}", part)
        connection.execute("UPDATE total SET bytes = bytes - ?", (int(size),))


def _end_claims(connection, keys):
    for marks, part in _parts(keys):
        connection.execute(f"DELETE FROM claims WHERE key IN ({marks})", part)


_stores = {}
_stores_lock = threading.Lock()


def disk_store(folder):
    """The one store of this process for a folder, made at first use."""
    folder = os.path.realpath(os.fspath(folder))
    with _stores_lock:
        if folder not in _stores:
            bound = limit(_LIMIT_VARIABLE, _DEFAULT_LIMIT)
            _stores[folder] = DiskStore(folder, bound, limit())
        return _stores[folder]


def _after_fork():
    """A child opens files for itself; closing the parent's connection would break it."""
    global _stores, _stores_lock
    for store in _stores.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(store._connection))
    _stores, _stores_lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
