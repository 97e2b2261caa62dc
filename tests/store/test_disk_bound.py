"""Tests of what the store on disk keeps when not everything fits."""

import os
import random
from collections import Counter, OrderedDict

import pytest

from sklearn_transfer._store.disk import DiskStore
from tests.processes import call
from tests.stores import (
    ENTRY,
    WIDTH,
    database,
    held,
    key,
    look,
    make_store,
    put,
    query,
    vector,
)


@pytest.mark.parametrize("room", [0, 0.5, 1, 1.99, 2, 7.5, 100])
def test_bound_holds(tmp_path, room):
    store = DiskStore(str(tmp_path), int(room * ENTRY), 10**6)
    for number in range(20):
        put(store, [number])
        assert store.info().bytes == len(held(tmp_path)) * ENTRY <= room * ENTRY
    assert store.info().entries >= min(20, int(0.9 * room))


def test_bound_holds_for_a_batch_larger_than_it(tmp_path):
    store = make_store(tmp_path, room=10)
    put(store, range(100))
    assert held(tmp_path) == list(range(91, 100))


def test_oldest_goes_first(tmp_path):
    store = make_store(tmp_path, room=10)
    for number in range(11):
        put(store, [number])
    assert held(tmp_path) == list(range(2, 11))


@pytest.mark.parametrize("memory", [0, 100])
def test_vector_that_was_read_stays(tmp_path, memory):
    store = make_store(tmp_path, 10, memory)
    put(store, range(10))
    look(store, [0])
    put(store, [10])
    assert held(tmp_path) == [0, *range(3, 11)]


@pytest.mark.parametrize("memory", [0, 100])
def test_vector_that_was_read_long_ago_goes(tmp_path, memory):
    store = make_store(tmp_path, 10, memory)
    put(store, range(5))
    look(store, [0])
    for number in range(5, 15):
        put(store, [number])
    assert held(tmp_path) == list(range(6, 15))


@pytest.mark.parametrize("memory", [0, 1, 100])
def test_least_recently_used_goes_first_whatever_the_order(tmp_path, memory):
    store, used, rng = make_store(tmp_path, 10, memory), OrderedDict(), random.Random(memory)
    for _ in range(300):
        number = rng.randrange(25)
        if number in used:
            look(store, [number])
        else:
            put(store, [number])
            used[number] = None
        used.move_to_end(number)
        if len(used) > 10:
            for _ in range(2):
                used.popitem(last=False)
        assert held(tmp_path) == sorted(used)


@pytest.mark.parametrize("memory", [0, 100])
def test_layers_of_a_sample_go_together(tmp_path, memory):
    store, layers = make_store(tmp_path, 40, memory), [b"shallow" * 2, b"deep" * 4]
    samples = [key(number) for number in range(20)]
    store.put(layers, [(s, [vector(n), vector(n)]) for n, s in enumerate(samples)])
    store.lookup(layers, samples)
    put(store, [99])
    store.close()
    keys = query(tmp_path, "SELECT key FROM entries ORDER BY used, id")
    left = Counter(k[-16:] for (k,) in keys)
    assert left.pop(key(99)) == 1
    assert list(left) == samples[-len(left) :]
    assert sorted(left.values())[1:] == [2] * (len(left) - 1)


def test_use_counts_in_the_next_process(tmp_path):
    call(fill_and_look, tmp_path)
    put(make_store(tmp_path, room=10), [10])
    assert held(tmp_path) == [0, *range(3, 11)]


def fill_and_look(folder):
    store = make_store(folder, room=10, memory=100)
    put(store, range(10))
    look(store, [0])
    store.close()


def test_vector_beyond_the_bound_is_not_kept_and_drives_nothing_out(tmp_path):
    store = make_store(tmp_path, room=10)
    put(store, range(5))
    put(store, [5], width=999 * WIDTH)
    assert held(tmp_path) == list(range(5))


@pytest.mark.parametrize(("n", "fits"), [(9, True), (10, False)])
def test_fits_is_what_the_store_can_hold_after_eviction(tmp_path, n, fits):
    store = make_store(tmp_path, room=10)
    put(store, range(11))
    assert (store.info().entries >= n) is fits
    assert store.has_room_for(n, 4 * WIDTH) is fits


@pytest.mark.parametrize("width", [16, 256, 512, 1024, 2048, 4096])
def test_file_is_not_much_larger_than_the_bytes_that_are_bounded(tmp_path, width):
    store = make_store(tmp_path, room=10**6)
    put(store, range(3_000_000 // (4 * width)), width)
    store.close()
    size = os.path.getsize(database(tmp_path))
    assert size <= 1.5 * store.info().bytes + 300_000
