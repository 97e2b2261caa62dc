import multiprocessing
import os
import subprocess
import sys
import time
from collections import OrderedDict

import numpy as np
import pytest

from sklearn_transfer._store import memory
from sklearn_transfer._store.base import Answer, CacheInfo
from sklearn_transfer._store.memory import ActivationStore, MemoryStore
from tests.threads import run_together

WIDTH = 16
ENTRY = 4 * WIDTH + memory._ENTRY_OVERHEAD


def get(store, contexts, sample):
    """Return the vectors of one sample, or None."""
    [answer] = store.lookup(contexts, [sample])
    return None if isinstance(answer, Answer) else answer


def vector(value):
    return np.full(WIDTH, value, dtype=np.float32)


def filled(n, room):
    """Return a store for `room` vectors into which samples 0 to n - 1 were put in order."""
    store = MemoryStore(room * ENTRY)
    for sample in range(n):
        store.put(["a"], [(sample, [vector(sample)])])
    return store


def held(store, samples):
    """Return the samples that are still stored; this does not affect which is evicted next."""
    return [sample for sample in samples if ("a", sample) in store._vectors]


def test_vector_comes_back_as_it_went_in():
    [found] = get(filled(3, room=3), ["a"], 1)
    np.testing.assert_array_equal(found, vector(1))


def test_unknown_sample_is_none():
    assert get(filled(1, room=1), ["a"], 7) is None


def test_other_context_is_none():
    assert get(filled(1, room=1), ["b"], 0) is None


def test_vectors_come_in_the_order_of_the_contexts():
    store = MemoryStore(2 * ENTRY)
    store.put(["a", "b"], [(0, [vector(1), vector(2)])])
    second, first = get(store, ["b", "a"], 0)
    assert (first[0], second[0]) == (1, 2)


def test_one_missing_context_counts_as_absent():
    assert get(filled(1, room=2), ["a", "b"], 0) is None


def test_oldest_goes_first():
    assert held(filled(5, room=3), range(5)) == [2, 3, 4]


def test_vector_that_was_read_stays():
    store = filled(3, room=3)
    get(store, ["a"], 0)
    store.put(["a"], [(3, [vector(3)])])
    assert held(store, range(4)) == [0, 2, 3]


def test_vector_that_was_written_again_stays():
    store = filled(3, room=3)
    store.put(["a"], [(0, [vector(0)])])
    store.put(["a"], [(3, [vector(3)])])
    assert held(store, range(4)) == [0, 2, 3]


def test_reading_a_sample_with_a_missing_context_does_not_keep_it():
    store = filled(3, room=3)
    get(store, ["a", "b"], 0)
    store.put(["a"], [(3, [vector(3)])])
    assert held(store, range(4)) == [1, 2, 3]


def test_bytes_are_those_of_the_vectors_and_their_bookkeeping():
    assert filled(3, room=9).info() == CacheInfo(0, 0, 3, 3 * ENTRY, 9 * ENTRY)


@pytest.mark.parametrize("room", [0, 0.5, 1, 1.99, 2, 7.5])
def test_bound_holds(room):
    info = filled(20, room=room).info()
    assert info.bytes <= info.max_bytes
    assert info.entries == int(room)


def test_eviction_makes_as_much_room_as_is_needed():
    store = filled(6, room=6)
    store.put(["a"], [("wide", [np.zeros(3 * WIDTH, np.float32)])])
    assert store.info().bytes <= 6 * ENTRY
    assert held(store, [*range(6), "wide"]) == [2, 3, 4, 5, "wide"]


def test_too_large_vector_is_not_kept_and_drives_nothing_out():
    store = filled(3, room=3)
    store.put(["a"], [("huge", [np.zeros(999 * WIDTH, np.float32)])])
    assert held(store, [*range(3), "huge"]) == [0, 1, 2]


def test_too_large_vector_leaves_the_other_contexts_of_its_sample():
    store = MemoryStore(2 * ENTRY)
    store.put(["a", "b"], [(0, [vector(1), np.zeros(999 * WIDTH, np.float32)])])
    assert get(store, ["a"], 0) is not None
    assert get(store, ["a", "b"], 0) is None


def test_vector_that_replaces_another_is_counted_once():
    store = filled(1, room=9)
    store.put(["a"], [(0, [np.zeros(3 * WIDTH, np.float32)])])
    assert store.info().bytes == 3 * 4 * WIDTH + memory._ENTRY_OVERHEAD
    store.put(["a"], [(0, [vector(0)])])
    assert store.info().bytes == ENTRY


def test_changing_what_was_stored_does_not_change_the_store():
    mine, store = vector(1), MemoryStore(9 * ENTRY)
    store.put(["a"], [(0, [mine])])
    mine[:] = 2
    np.testing.assert_array_equal(get(store, ["a"], 0)[0], vector(1))


def test_row_of_a_matrix_does_not_keep_the_matrix_alive():
    store = MemoryStore(9 * ENTRY)
    store.put(["a"], [(0, [np.zeros((100, WIDTH), np.float32)[3]])])
    assert get(store, ["a"], 0)[0].base is None


def test_stored_vectors_are_read_only():
    [found] = get(filled(1, room=1), ["a"], 0)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_what_was_given_stays_writable():
    mine = vector(1)
    MemoryStore(9 * ENTRY).put(["a"], [(0, [mine])])
    assert mine.flags.writeable


def test_counts_add_up():
    store = filled(1, room=1)
    store.count(hits=2)
    store.count(hits=1, misses=5)
    assert store.info()[:2] == (3, 5)


def test_looking_a_sample_up_is_not_counted():
    store = filled(1, room=1)
    get(store, ["a"], 0)
    get(store, ["a"], 1)
    assert store.info()[:2] == (0, 0)


def test_clear_forgets_vectors_and_counts():
    store = filled(3, room=3)
    store.count(hits=1, misses=1)
    store.clear()
    assert store.info() == CacheInfo(0, 0, 0, 0, 3 * ENTRY)
    assert get(store, ["a"], 2) is None


@pytest.mark.parametrize(("n", "fits"), [(3, True), (4, False)])
def test_fits_is_what_the_store_can_hold(n, fits):
    assert MemoryStore(3 * ENTRY).has_room_for(n, 4 * WIDTH) is fits
    assert (filled(n, room=3).info().entries == n) is fits


def test_what_is_missing_can_be_claimed_once():
    store, first, second = filled(1, room=3), object(), object()
    assert store.lookup(["a"], [1]) == [Answer.FREE]
    assert store.lookup(["a"], [1], owner=first) == [Answer.OURS]
    assert store.lookup(["a"], [1], owner=first) == [Answer.OURS]
    assert store.lookup(["a"], [1], owner=second) == [Answer.BUSY]
    assert store.lookup(["a"], [1]) == [Answer.BUSY]


def test_claim_on_one_context_holds_the_whole_sample():
    store, first, second = filled(1, room=3), object(), object()
    store.lookup(["a"], [1], owner=first)
    assert store.lookup(["b", "a"], [1], owner=second) == [Answer.BUSY]
    assert store.lookup(["b"], [1], owner=second) == [Answer.OURS]


def test_claim_ends_when_the_vector_comes():
    store, first, second = filled(1, room=1), object(), object()
    store.lookup(["a"], [1], owner=first)
    store.put(["a"], [(1, [np.zeros(999, np.float32)])])  # too large to be stored
    assert store.lookup(["a"], [1], owner=second) == [Answer.OURS]


def test_ended_claims_are_told():
    store, owner = filled(1, room=1), object()
    store.lookup(["a"], [1, 2], owner=owner)
    assert store.end_claims(owner) == [("a", 1), ("a", 2)]
    assert store.end_claims(owner) == []


def test_release_ends_the_claims_of_one_owner():
    store, first, second = filled(1, room=1), object(), object()
    store.lookup(["a"], [1, 2], owner=first)
    store.lookup(["a"], [3], owner=second)
    store.release(first)
    assert store.lookup(["a"], [1, 2, 3]) == [Answer.FREE, Answer.FREE, Answer.BUSY]


def test_claims_can_be_given_up():
    store, first = filled(1, room=1), object()
    store.lookup(["a"], [1, 2], owner=first)
    store.give_up(["a"], [1])
    assert store.lookup(["a"], [1, 2]) == [Answer.FREE, Answer.BUSY]


class Interrupted(OrderedDict):
    """Mapping that lets other threads run during every operation."""

    def __getattribute__(self, name):
        time.sleep(0)
        return super().__getattribute__(name)


class InterruptedInt(int):
    def __radd__(self, other):
        time.sleep(0)
        return other + int(self)


def test_threads_share_a_store():
    store, wrong = MemoryStore(20 * ENTRY), []
    store._vectors = Interrupted()

    def work(number):
        rng = np.random.default_rng(number)
        for sample in map(int, rng.integers(12, size=300)):
            store.put(["a", "b"], [(sample, [vector(sample), vector(-sample)])])
            found = get(store, ["a", "b"], int(rng.integers(12)))
            if found is not None and not np.array_equal(found[0], -found[1]):
                wrong.append(found)

    assert run_together(4, work) == []
    assert wrong == []
    assert store.info() == CacheInfo(0, 0, 20, 20 * ENTRY, 20 * ENTRY)


def test_threads_count_together():
    store = MemoryStore(ENTRY)

    def work(number):
        for _ in range(100):
            store.count(hits=InterruptedInt(1), misses=InterruptedInt(2))

    assert run_together(4, work) == []
    assert store.info()[:2] == (400, 800)


@pytest.mark.usefixtures("frequent_switches")
def test_one_store_a_process_even_when_threads_race_for_it(monkeypatch):
    monkeypatch.setattr(memory, "_stores", {})
    stores = []
    assert run_together(16, lambda _: stores.append(memory.open_memory_store())) == []
    assert len(set(map(id, stores))) == 1


def test_default_limit_is_one_gibibyte(monkeypatch):
    monkeypatch.delenv("SKLEARN_TRANSFER_CACHE_BYTES", raising=False)
    monkeypatch.setattr(memory, "_stores", {})
    assert memory.open_memory_store().info().max_bytes == 1 << 30


def test_environment_variable_is_the_limit(monkeypatch):
    monkeypatch.setenv("SKLEARN_TRANSFER_CACHE_BYTES", "12345")
    monkeypatch.setattr(memory, "_stores", {})
    assert memory.open_memory_store().info().max_bytes == 12345


@pytest.mark.parametrize("wrong", ["", "1 GB", "-1", "1e9", "²"])
def test_limit_that_is_no_number_is_refused(monkeypatch, wrong):
    monkeypatch.setenv("SKLEARN_TRANSFER_CACHE_BYTES", wrong)
    monkeypatch.setattr(memory, "_stores", {})
    with pytest.raises(ValueError, match="SKLEARN_TRANSFER_CACHE_BYTES=.*a number of bytes"):
        memory.open_memory_store()


def test_limit_of_a_new_process_comes_from_its_environment():
    program = (
        "from sklearn_transfer._store.memory import open_memory_store;"
        "print(open_memory_store().info().max_bytes)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "SKLEARN_TRANSFER_CACHE_BYTES": "777"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == "777"


def lookup_in_child(connection, store):
    connection.send(store.lookup(["a"], [1, 2], owner=object()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
@pytest.mark.parametrize("kind", [MemoryStore, ActivationStore])
def test_claims_of_the_parent_are_free_in_a_forked_child(kind):
    store, owner = kind(9 * ENTRY), object()
    store.put(["a"], [(1, [vector(1)])])
    assert store.lookup(["a"], [2], owner) == [Answer.OURS]
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(
        target=lookup_in_child, args=(theirs, store), daemon=True
    )
    child.start()
    assert ours.poll(60), "the child hangs"
    found, free = ours.recv()
    child.join()
    assert len(found) == 1
    assert free is Answer.OURS
    assert store.lookup(["a"], [2], object()) == [Answer.BUSY]
