"""Tables of the file of a disk store: vectors with checksums, their last use, and claims."""

import sqlite3
import time

import numpy as np
import xxhash

PAGE = 4096
_ENTRY_OVERHEAD = 200  # key, row and index of an entry, in bytes
_LAYOUT = 1
_CHECKSUM = 16
_PARAMETERS = 500  # of a query; SQLite took 999 at most before version 3.32

# Key and vector are in different tables, so that eviction reads no vectors. A claim is a key
# that a process, `owner`, is computing.
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


def prepare_tables(connection):
    """Make the tables where there are none; raises sqlite3.DatabaseError for other tables."""
    if connection.execute("PRAGMA user_version").fetchone() == (0,):
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have made them since the question.
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            _run_schema(connection)
        connection.execute("COMMIT")
    check_layout(connection)
    _update_total(connection)


def make_tables_anew(connection):
    """Empty all tables; raises sqlite3.DatabaseError if the file is damaged even so."""
    connection.execute("BEGIN IMMEDIATE")
    for table in ("entries", "vectors", "claims", "total"):
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    _run_schema(connection)
    connection.execute("COMMIT")
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if connection.execute("PRAGMA quick_check").fetchone() != (b"ok",):
        raise sqlite3.DatabaseError("The file is damaged beyond its tables")


def _run_schema(connection):
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_LAYOUT}")


def check_layout(connection):
    [layout] = connection.execute("PRAGMA user_version").fetchone()
    if layout != _LAYOUT:
        raise sqlite3.DatabaseError(f"The layout of the file is {layout}, expected {_LAYOUT}")


def _update_total(connection):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM total")
    connection.execute("INSERT INTO total SELECT CAST(TOTAL(bytes) AS INTEGER) FROM entries")
    connection.execute("COMMIT")


def read_vectors(connection, keys):
    """Return the vectors by key, and the numbers of entries whose vectors are damaged."""
    found, damaged = {}, []
    for marks, part in _split(keys):
        rows = connection.execute(
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
    return found, damaged


def insert_vectors(connection, pairs):
    """Add vectors by key; a key that another process has added first stays as it is."""
    added = sum(_insert(connection, key, vector) for key, vector in pairs)
    connection.execute("UPDATE total SET bytes = bytes + ?", (added,))


def _insert(connection, key, vector):
    size = compute_stored_bytes(vector.nbytes)
    row = (key, time.time_ns(), size)
    cursor = connection.execute(
        "INSERT OR IGNORE INTO entries (key, used, bytes) VALUES (?, ?, ?)", row
    )
    if cursor.rowcount == 0:
        return 0
    data = _pack(key, vector)
    connection.execute(
        "INSERT OR REPLACE INTO vectors VALUES (?, ?)", (cursor.lastrowid, data)
    )
    return size


def delete_entries(connection, numbers):
    for marks, part in _split(numbers):
        chosen = f"WHERE id IN ({marks})"
        query = f"SELECT TOTAL(bytes) FROM entries {chosen}"
        [size] = connection.execute(query, part).fetchone()
        connection.execute(f"DELETE FROM entries {chosen}", part)
        connection.execute(f"DELETE FROM vectors {chosen}", part)
        connection.execute("UPDATE total SET bytes = bytes - ?", (int(size),))


def read_sizes(connection):
    """Return the number of entries and the bytes that they take."""
    [count] = connection.execute("SELECT COUNT(*) FROM entries").fetchone()
    return count, read_total(connection)


def read_total(connection):
    [total] = connection.execute("SELECT bytes FROM total").fetchone()
    return total


def read_oldest(connection):
    """Iterate over (number, bytes) of all entries, the least recently used first."""
    return connection.execute(
        "SELECT id, CAST(bytes AS INTEGER) FROM entries ORDER BY used, id"
    )


def write_moments(connection, pairs):
    """Note (moment, key) pairs; another process may have used the key later."""
    connection.executemany("UPDATE entries SET used = MAX(used, ?) WHERE key = ?", pairs)


def read_claims(connection, keys):
    """Return the (key, owner) pairs of those keys that are claimed."""
    claims = []
    for marks, part in _split(keys):
        query = f"SELECT key, owner FROM claims WHERE key IN ({marks})"
        claims += connection.execute(query, part).fetchall()
    return claims


def insert_claims(connection, keys, owner):
    """Claim keys; what a process that has ended still claims goes over to the new owner."""
    connection.executemany(
        "INSERT OR REPLACE INTO claims VALUES (?, ?)", [(key, owner) for key in keys]
    )


def delete_claims(connection, keys):
    for marks, part in _split(keys):
        connection.execute(f"DELETE FROM claims WHERE key IN ({marks})", part)


def _split(keys):
    """Yield placeholders and keys, as many at a time as a query takes."""
    for start in range(0, len(keys), _PARAMETERS):
        part = keys[start : start + _PARAMETERS]
        yield ",".join("?" * len(part)), part


def _pack(key, vector):
    content = np.ascontiguousarray(vector, dtype="<f4").tobytes()
    return _compute_checksum(key, content) + content


def _unpack(key, data):
    """Return a stored vector, or None where it is not what was stored under its key."""
    if not isinstance(data, bytes):
        return None
    if data[:_CHECKSUM] != _compute_checksum(key, data[_CHECKSUM:]):
        return None
    return np.frombuffer(data, dtype="<f4", offset=_CHECKSUM)


def _compute_checksum(key, content):
    return xxhash.xxh3_128_digest(key + content)


def compute_stored_bytes(n_bytes):
    """Return the bytes of the file that a vector of n bytes takes, as SQLite lays out pages.

    What does not fit into a page goes to overflow pages, and half a page can stay empty. The
    file's own count of pages cannot be the bound: a page is free only when all vectors on it
    are gone. Deleting a tenth of 20,000 vectors of 256 bytes, spread as the least recently
    used are, freed none, and eviction would go on until it had deleted nearly everything.
    """
    size, usable = n_bytes + _CHECKSUM, PAGE - 4
    local, overflow = size, 0
    if size > PAGE - 35:
        least = (PAGE - 12) * 32 // 255 - 23
        local = least + (size - least) % usable
        if local > PAGE - 35:
            local = least
        overflow = -(-(size - local) // usable)
    rows_per_page = max((PAGE - 8) // (local + 11), 1)
    return overflow * PAGE + PAGE // rows_per_page + _ENTRY_OVERHEAD
