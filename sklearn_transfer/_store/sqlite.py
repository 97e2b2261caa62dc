"""Tables of the disk store: vectors with checksums, when they were used, and claims."""

import sqlite3
import time
from urllib.parse import quote

import numpy as np
import xxhash

_ENTRY_OVERHEAD = 200  # key, row and index of an entry, in bytes
_PAGE = 4096
WAIT = 60.0  # seconds, for another process to end its transaction
_LAYOUT = 1
_CHECKSUM = 16
_PARAMETERS = 500
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

# Key and vector lie apart, so that eviction reads no vectors. A claim is a key that a process,
# `owner`, is computing.
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


def connect(path):
    connection = sqlite3.connect(
        path, timeout=WAIT, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = bytes  # a corrupted value then fails its checksum
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            _make_tables(connection)
        check_layout(connection)
        _count_anew(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(path, mode):
    """Connection to a file, in a mode of SQLite's URIs, that takes no lock to write."""
    connection = sqlite3.connect(
        f"file:{quote(path)}?{mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = bytes  # a corrupted value then fails its checksum
    try:
        check_layout(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _count_anew(connection):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM total")
    connection.execute("INSERT INTO total SELECT CAST(TOTAL(bytes) AS INTEGER) FROM entries")
    connection.execute("COMMIT")


def is_damage(error):
    """Whether an error says that a file is not what it was, rather than what the disk is."""
    if isinstance(error, OSError):
        return False
    return getattr(error, "sqlite_errorcode", 1) & 0xFF not in _OF_THE_DISK


def make_anew(connection):
    """Empty tables; raises sqlite3.DatabaseError where the file is not sound even so."""
    connection.execute("BEGIN IMMEDIATE")
    for table in ("entries", "vectors", "claims", "total"):
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    _run_schema(connection)
    connection.execute("COMMIT")
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if connection.execute("PRAGMA quick_check").fetchone() != (b"ok",):
        raise sqlite3.DatabaseError("damaged beyond its tables")


def _make_tables(connection):
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone() == (0,):
        _run_schema(connection)
    connection.execute("COMMIT")


def _run_schema(connection):
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_LAYOUT}")


def check_layout(connection):
    [layout] = connection.execute("PRAGMA user_version").fetchone()
    if layout != _LAYOUT:
        raise sqlite3.DatabaseError(f"its layout is {layout}, expected {_LAYOUT}")


def parts(keys):
    """Placeholders and keys, as many at once as a query takes."""
    for start in range(0, len(keys), _PARAMETERS):
        part = keys[start : start + _PARAMETERS]
        yield ",".join("?" * len(part)), part


def _pack(key, vector):
    content = np.ascontiguousarray(vector, dtype="<f4").tobytes()
    return _checksum(key, content) + content


def stored_bytes(n_bytes):
    """Bytes of the file that a vector of n bytes takes, as SQLite lays out pages.

    What does not fit into a page goes to overflow pages, and half a page can stay empty.
    """
    size, usable = n_bytes + _CHECKSUM, _PAGE - 4
    local, overflow = size, 0
    if size > _PAGE - 35:
        least = (_PAGE - 12) * 32 // 255 - 23
        local = least + (size - least) % usable
        if local > _PAGE - 35:
            local = least
        overflow = -(-(size - local) // usable)
    rows_a_page = max((_PAGE - 8) // (local + 11), 1)
    return overflow * _PAGE + _PAGE // rows_a_page + _ENTRY_OVERHEAD


def unpack(key, data):
    """Vector of a stored value, or None where it is not what was stored under its key."""
    if not isinstance(data, bytes) or data[:_CHECKSUM] != _checksum(key, data[_CHECKSUM:]):
        return None
    return np.frombuffer(data, dtype="<f4", offset=_CHECKSUM)


def _checksum(key, content):
    return xxhash.xxh3_128_digest(key + content)


def insert(connection, key, vector):
    """Bytes added: none where another process was first."""
    data = _pack(key, vector)
    size = stored_bytes(vector.nbytes)
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


def delete(connection, numbers):
    for marks, part in parts(numbers):
        chosen = f"WHERE id IN ({marks})"
        query = f"SELECT TOTAL(bytes) FROM entries {chosen}"
        [size] = connection.execute(query, part).fetchone()
        connection.execute(f"DELETE FROM entries {chosen}", part)
        connection.execute(f"DELETE FROM vectors {chosen}", part)
        connection.execute("UPDATE total SET bytes = bytes - ?", (int(size),))


def end_claims(connection, keys):
    for marks, part in parts(keys):
        connection.execute(f"DELETE FROM claims WHERE key IN ({marks})", part)
