"""Compare SQLite with LMDB as a store of features; run `python -m benchmarks.stores`.

Each store is filled with 200,000 vectors of 1280 float32 numbers in batches of 8, as during
extraction; then it is opened again and all vectors are read in random order.
"""

import argparse
import os
import sqlite3
import tempfile

import numpy as np

from benchmarks.timing import measure_seconds
from sklearn_transfer._store.disk import DiskStore

WIDTH, BATCH = 1280, 8


class LMDB:
    """Store each value and the time of its last use, which LRU eviction needs."""

    def __init__(self, folder):
        import lmdb

        self.environment = lmdb.open(folder, map_size=16 << 30, max_dbs=2, sync=False)
        self.used = self.environment.open_db(b"used")

    def put(self, entries):
        with self.environment.begin(write=True) as transaction:
            for key, vector in entries:
                transaction.put(key, vector.tobytes())
                transaction.put(key, b"\0" * 8, db=self.used)

    def read(self, keys):
        with self.environment.begin() as transaction:
            return [np.frombuffer(transaction.get(key), np.float32) for key in keys]

    def close(self):
        self.environment.sync(True)
        self.environment.close()


class SQLite:
    """Wrap the package's own store without its memory; it adds checksums and times of use."""

    def __init__(self, folder):
        self.store = DiskStore(folder, 1 << 40, 0)

    def put(self, entries):
        self.store.put([b"c" * 16], [(key, [vector]) for key, vector in entries])

    def read(self, keys):
        return [vectors[0] for vectors in self.store.lookup([b"c" * 16], keys)]

    def close(self):
        self.store.close()


def measure(kind, n):
    rng = np.random.default_rng(0)
    keys = [rng.bytes(16) for _ in range(n)]
    content = rng.standard_normal((1000, WIDTH)).astype(np.float32)
    order = rng.permutation(n)
    with tempfile.TemporaryDirectory() as folder:
        store = kind(folder)

        def write():
            for start in range(0, n, BATCH):
                part = range(start, min(start + BATCH, n))
                store.put([(keys[i], content[i % 1000]) for i in part])

        def read():
            for start in range(0, n, 500):
                store.read([keys[i] for i in order[start : start + 500]])

        times = [measure_seconds(write)]
        store.close()
        store = kind(folder)
        times.append(measure_seconds(read))
        store.close()
        files = (os.path.join(folder, name) for name in os.listdir(folder))
        size = sum(os.stat(file).st_blocks * 512 for file in files)
    return *times, size


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vectors", type=int, default=200_000)
    n = parser.parse_args().vectors
    print(f"SQLite {sqlite3.sqlite_version}; {n} vectors of {WIDTH} float32")
    print("| store | us per write | us per read in random order | file size / content size |")
    print("| --- | --- | --- | --- |")
    for kind in (SQLite, LMDB):
        try:
            write, read, size = measure(kind, n)
        except ImportError:
            print(f"| {kind.__name__} | not installed |")
            continue
        per, content = 1e6 / n, 4 * WIDTH * n
        cells = f"{write * per:.0f} | {read * per:.1f} | {size / content:.2f}"
        print(f"| {kind.__name__} | {cells} |")


if __name__ == "__main__":
    main()
