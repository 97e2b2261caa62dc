"""The SQLite file of a folder: it is opened at first use, and abandoned after errors."""

import ctypes
import os
import sqlite3
import time
import warnings
from contextlib import contextmanager, suppress
from urllib.parse import quote

from sklearn_transfer._process.locks import RLock
from sklearn_transfer._store import tables
from sklearn_transfer._store.liveness import Membership
from sklearn_transfer._store.mounts import find_network
from sklearn_transfer._validation import shorten

FILE, _LOCK_FILE = "embeddings.sqlite", "embeddings.lock"
WAIT = 60.0  # seconds, for another process to end its transaction
ERRORS = (OSError, sqlite3.Error, UnicodeDecodeError)  # the last from damaged names
_OF_THE_DISK = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
# File systems of networks of which a warning has told in this process.
_told = set()


class Database:
    """The file of a folder, opened at first use; one thread at a time uses it.

    Where the folder cannot be written, it is opened for reading; a damaged file is no
    longer used, and neither is a folder on a network file system, in which nothing is made.
    One warning says so, and features are then kept in memory.

    Attributes
    ----------
    connection : sqlite3.Connection or None
        None before the first use, after `close`, and where the file cannot be read.
    member : Membership or None
        This process among those that use the folder; None unless the file can be written.
    writable : bool
        Whether the file can be written.
    """

    def __init__(self, folder):
        self.folder = folder
        self.connection = self.member = None
        self.writable = False
        self._path, self._file = os.path.join(os.path.abspath(folder), FILE), None
        self._is_tried = self._is_refused = False
        self.lock = RLock()

    @property
    def is_lost(self):
        """Whether the file was tried and cannot be written."""
        return self._is_refused or (self._is_tried and not self.writable)

    @contextmanager
    def guard(self):
        """Let one thread at a time in; an error of the disk ends writing, then reading."""
        with self.lock:
            try:
                yield
            except ERRORS as error:
                if self.writable and not is_damage(error):
                    self.writable = False
                    self.member.close()  # else others would wait for what is never written
                    self.member = None
                else:
                    self._let_go()
                self._warn(error)

    @contextmanager
    def transaction(self):
        """Write all that is executed inside, or nothing; yields the connection."""
        connection = self.connection
        if connection.in_transaction:  # a lookup that claims has found a damaged entry
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

    def open(self):
        """Open the file, and if need be make it, at first use; return whether it can be read.

        A folder that was deleted or exchanged since is opened anew.
        """
        if self._is_refused:
            return False
        if self.connection is not None and _identify(self._path) != self._file:
            if os.path.exists(self._path):
                # SQLite deletes the log by its name when a connection is closed, and that name
                # now belongs to the new file. So the connection leaks instead.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.connection))
                self.connection = None
            self._let_go()
            self._is_tried = False
        if not self._is_tried:
            self._is_tried = True
            if self._refuse_network():
                return False
            try:
                self._open_for_writing()
            except ERRORS as error:
                self._let_go()
                if not is_damage(error):
                    self._open_for_reading()
                self._warn(error)
        return self.connection is not None

    def close(self, keep_claims=False):
        """Let go of the file; the next use opens it again.

        With `keep_claims` the process stays a member of the folder, so that its claims hold.
        """
        if keep_claims:
            self._disconnect()
        else:
            self._let_go()
        self._is_tried = False

    def make_anew(self):
        """Empty the file; one in which that is impossible is removed and made anew."""
        with self.guard():
            self._let_go()  # it may have been given up before
            self._is_tried = True
            if self._refuse_network():
                return
            try:
                self._open_for_writing()
                tables.make_tables_anew(self.connection)
            except ERRORS:
                self._let_go()
                for ending in ("", "-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        os.remove(self._path + ending)
            self._is_tried = self.connection is not None
            self.open()

    def forget_parent(self):
        """In a child of fork: drop what belongs to the parent, whose claims stay its own.

        The connection was closed before the fork. The lock of the parent's membership is not
        inherited, so closing the file of locks here ends nothing there.
        """
        self._let_go()

    def _refuse_network(self):
        """Refuse a folder that several machines may share; the first one gives a warning."""
        kind = find_network(self.folder)
        self._is_refused = kind is not None
        if self._is_refused and kind not in _told:
            _told.add(kind)
            warnings.warn(
                f"The folder {shorten(self.folder)} is on a network file system ({kind}),"
                " where features of several machines would damage each other; features are"
                " right but kept in the memory of this process alone: pass a folder on a local"
                " disk, one on each machine, which precompute() can fill",
                UserWarning,
                stacklevel=2,
            )
        return self._is_refused

    def _open_for_writing(self):
        os.makedirs(self.folder, exist_ok=True)
        if self.member is None:
            self.member = Membership(os.path.join(self.folder, _LOCK_FILE))
        deadline = time.monotonic() + WAIT
        while self.connection is None:
            try:
                self.connection = _connect(self._path)
            except sqlite3.OperationalError as error:  # others may be making it just now
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self._file = _identify(self._path)
        self.writable = True

    def _open_for_reading(self):
        if not os.path.isfile(self._path):
            return
        for mode in ("mode=ro", "immutable=1"):  # with the log of others, and without
            with suppress(*ERRORS):
                self.connection = _connect_read_only(self._path, mode)
                self._file = _identify(self._path)
                return

    def _let_go(self):
        self._disconnect()
        if self.member is not None:
            self.member.close()
        self.member = None

    def _disconnect(self):
        if self.connection is not None:
            self.connection.close()
        self.connection, self.writable = None, False

    def _warn(self, error):
        kept = "read but not written" if self.connection else "neither read nor written"
        repair = "make room, or pass a folder on a local disk that can be written"
        if is_damage(error):
            repair = "clear_cache() makes it anew"
        warnings.warn(
            f"The feature cache in {shorten(self.folder)} is {kept} from here on ({error});"
            f" features are right but kept in the memory of this process alone: {repair}",
            UserWarning,
            stacklevel=2,
        )


def is_damage(error):
    """Whether an error means that the file is damaged, and not that the disk failed."""
    if isinstance(error, OSError):
        return False
    return getattr(error, "sqlite_errorcode", 1) & 0xFF not in _OF_THE_DISK


def _connect(path):
    # Threads share the connection; the lock of `Database` keeps them apart.
    connection = sqlite3.connect(
        path, timeout=WAIT, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = bytes  # a corrupted value then fails its checksum
    try:
        connection.execute(f"PRAGMA page_size = {tables.PAGE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        tables.prepare_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_read_only(path, mode):
    """Connect to a file, in a mode of SQLite's URIs, without a lock to write."""
    connection = sqlite3.connect(
        f"file:{quote(path)}?{mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = bytes  # a corrupted value then fails its checksum
    try:
        tables.check_layout(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _identify(path):
    """Return what tells a file from another one that takes its name, or None."""
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None
