"""Create vectors that are determined by their keys, and disk stores that contain them."""

import sqlite3
from contextlib import closing

import numpy as np

from sklearn_transfer._store import tables
from sklearn_transfer._store.database import FILE
from sklearn_transfer._store.disk import DiskStore, close_disk_stores

CONTEXT = b"context of tests"
WIDTH = 16
ENTRY = tables.compute_stored_bytes(4 * WIDTH)

_made = []


def key(number):
    return b"%016d" % number


def vector(number, width=WIDTH):
    return np.random.default_rng(number).random(width, dtype=np.float32)


def make_store(folder, room=1000, memory=0):
    """Open a store of vectors of `WIDTH` with the given room on disk and in memory."""
    _made.append(DiskStore(str(folder), room * ENTRY, memory * 1000))
    return _made[-1]


def close_stores():
    """Close all stores of this process."""
    close_disk_stores()
    _made.clear()


def put(store, numbers, width=WIDTH):
    store.put([CONTEXT], [(key(number), [vector(number, width)]) for number in numbers])


def put_in(folder, numbers):
    """Do as `put` with a store that is closed afterwards."""
    store = make_store(folder)
    put(store, numbers)
    store.close()


def look(store, numbers, owner=None):
    """Return the answers of a store, with the number for each vector; incorrect ones raise."""
    answers = store.lookup([CONTEXT], [key(number) for number in numbers], owner)
    for i, number in enumerate(numbers):
        if isinstance(answers[i], list):
            [found] = answers[i]
            assert found.tobytes() == vector(number, len(found)).tobytes()
            answers[i] = number
    return answers


def query(folder, sql, *parameters):
    """Run a query on the file of a store directly and return its rows."""
    with closing(sqlite3.connect(database(folder), isolation_level=None)) as connection:
        return connection.execute(sql, parameters).fetchall()


def database(folder):
    return f"{folder}/{FILE}"


def held(folder):
    """Return the numbers of the vectors in the file."""
    return sorted(
        int(key[len(CONTEXT) :]) for (key,) in query(folder, "SELECT key FROM entries")
    )
