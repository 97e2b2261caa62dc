"""Files with the first layout of tables can still be read."""

import sqlite3
import sys
from contextlib import closing

import numpy as np
import pytest
import xxhash

from sklearn_transfer._store.base import Answer
from sklearn_transfer._store.liveness import Membership
from tests.processes import Worker
from tests.stores import CONTEXT, held, key, look, make_store, put, query, vector

# Copied here instead of imported, because files of users do not change with the code.
SCHEMA = """
PRAGMA page_size = 4096;
PRAGMA journal_mode = WAL;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,
    used INTEGER NOT NULL, bytes INTEGER NOT NULL
);
CREATE TABLE vectors (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE claims (key BLOB PRIMARY KEY, owner INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE total (bytes INTEGER NOT NULL);
INSERT INTO total VALUES (1465);
PRAGMA user_version = 1;
"""
BYTES = 293  # of a vector of 16 values, as stated in the file


@pytest.fixture
def old(tmp_path):
    """Create a folder with vectors 0 to 4, last used in order 0, 1, 2, 4, 3, and claim 7."""
    with closing(sqlite3.connect(tmp_path / "embeddings.sqlite")) as connection:
        connection.executescript(SCHEMA)
        for number, used in enumerate([10, 20, 30, 50, 40]):
            name, content = CONTEXT + key(number), vector(number).astype("<f4").tobytes()
            data = xxhash.xxh3_128_digest(name + content) + content
            row = (number + 1, name, used, BYTES)
            connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", row)
            connection.execute("INSERT INTO vectors VALUES (?, ?)", (number + 1, data))
        connection.execute("INSERT INTO claims VALUES (?, 123456)", (CONTEXT + key(7),))
        connection.commit()
    (tmp_path / "embeddings.lock").touch()
    return tmp_path


def test_vectors_are_read(old):
    assert look(make_store(old), range(6)) == [0, 1, 2, 3, 4, Answer.FREE]


def test_sizes_are_read(old):
    assert make_store(old).info()[2:4] == (5, 5 * BYTES)


def test_new_vectors_have_the_size_of_old_ones(old):
    store = make_store(old)
    put(store, [5])
    assert store.info()[2:4] == (6, 6 * BYTES)


def test_least_recently_used_of_the_old_go_first(old):
    put(make_store(old, room=5), [5])
    assert held(old) == [2, 3, 4, 5]
    put(make_store(old, room=5), [6, 7])
    assert held(old) == [3, 5, 6, 7]


def test_claim_of_a_dead_process_does_not_hold(old):
    store = make_store(old)
    assert look(store, [7], store) == [Answer.OURS]


def be_a_member(pipe, folder):
    member = Membership(f"{folder}/embeddings.lock")
    pipe.send(member.number)
    pipe.recv()


@pytest.mark.skipif(sys.platform == "win32", reason="liveness is told by locks of POSIX")
def test_claim_of_a_living_process_holds(old):
    with Worker(be_a_member, str(old)) as other:
        query(old, "UPDATE claims SET owner = ?", other.hear())
        store = make_store(old)
        assert look(store, [7], store) == [Answer.BUSY]


def test_damaged_vector_is_noticed(old):
    query(old, "UPDATE vectors SET data = substr(data, 2) WHERE id = 3")
    assert look(make_store(old), range(5)) == [0, 1, Answer.FREE, 3, 4]


def test_new_files_have_the_old_tables(tmp_path):
    store = make_store(tmp_path)
    put(store, [0])
    store.close()
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        columns = "SELECT m.name, c.name, c.type, c.pk FROM sqlite_master m, "
        columns += "pragma_table_info(m.name) c ORDER BY m.name, c.cid"
        expected = connection.execute(columns).fetchall()
    assert query(tmp_path, columns) == expected
    [[data]] = query(tmp_path, "SELECT data FROM vectors")
    content = vector(0).astype("<f4").tobytes()
    assert data == xxhash.xxh3_128_digest(CONTEXT + key(0) + content) + content
    np.testing.assert_array_equal(np.frombuffer(data[16:], "<f4"), vector(0))
