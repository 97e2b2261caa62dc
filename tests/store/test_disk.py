"""Tests of the store on disk within one process."""

import os
import random
import shutil
import sqlite3
import threading

import numpy as np
import pytest

from sklearn_transfer._store.base import Answer, CacheInfo
from sklearn_transfer._store.disk import open_disk_store
from tests.processes import call
from tests.stores import (
    CONTEXT,
    ENTRY,
    database,
    held,
    key,
    look,
    make_store,
    put,
    put_in,
    query,
    vector,
)
from tests.threads import run_together

OTHER = b"another context."
ODD = np.array([-0.0, 1e-45, 3.4e38, np.inf, -np.inf, np.nan], np.float32)


def files(folder):
    return sorted(os.listdir(folder))


def size(folder):
    return sum(entry.stat().st_size for entry in os.scandir(folder))


def n_claims(folder):
    [[n]] = query(folder, "SELECT COUNT(*) FROM claims")
    return n


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path)


def test_vectors_come_back_as_they_went_in(store):
    put(store, range(5))
    assert look(store, [3, 0, 4]) == [3, 0, 4]


def test_vectors_come_back_from_memory(tmp_path):
    store = make_store(tmp_path, memory=100)
    put(store, range(5))
    query(tmp_path, "DELETE FROM vectors")
    assert look(store, range(5)) == list(range(5))


def test_vectors_that_were_read_stay_in_memory(tmp_path):
    put_in(tmp_path, range(5))
    store = make_store(tmp_path, memory=100)
    look(store, range(5))
    query(tmp_path, "DELETE FROM vectors")
    assert look(store, range(5)) == list(range(5))


def test_vectors_come_back_in_a_new_process(store, tmp_path):
    put(store, range(5))
    assert call(held, tmp_path) == list(range(5))
    assert call(_look_in, tmp_path, range(5)) == list(range(5))


def _look_in(folder, numbers, **options):
    return look(make_store(folder, **options), numbers)


def test_unusual_floats_come_back_bit_by_bit(store, tmp_path):
    store.put([CONTEXT], [(key(0), [ODD])])
    store.close()
    [[found]] = make_store(tmp_path).lookup([CONTEXT], [key(0)])
    assert found.tobytes() == ODD.tobytes()
    assert found.dtype == np.float32


@pytest.mark.parametrize("width", [0, 1, 7, 1280, 100_000])
def test_any_width_comes_back(tmp_path, width):
    store = make_store(tmp_path, room=10**6)
    put(store, [1], width)
    [[found]] = store.lookup([CONTEXT], [key(1)])
    np.testing.assert_array_equal(found, vector(1, width))


def test_more_samples_than_a_query_has_parameters(tmp_path):
    store = make_store(tmp_path, room=3000)
    look(store, [0])
    connection = store._database.connection
    connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)  # the former state
    put(store, range(0, 2500, 2))
    expected = [Answer.FREE if number % 2 else number for number in range(2500)]
    assert look(store, range(2500)) == expected


def test_no_samples_have_no_answers(store):
    assert look(store, []) == []


def test_unknown_sample_is_free(store):
    put(store, [1])
    assert look(store, [7]) == [Answer.FREE]


def test_other_context_is_free(store):
    put(store, [1])
    assert store.lookup([OTHER], [key(1)]) == [Answer.FREE]


def test_vectors_come_in_the_order_of_the_contexts(store):
    store.put([CONTEXT, OTHER], [(key(0), [vector(1), vector(2)])])
    [[second, first]] = store.lookup([OTHER, CONTEXT], [key(0)])
    np.testing.assert_array_equal([first, second], [vector(1), vector(2)])


def test_one_missing_context_counts_as_absent(store):
    put(store, [1])
    assert store.lookup([CONTEXT, OTHER], [key(1)]) == [Answer.FREE]


def test_missing_context_can_be_added(store):
    put(store, [1])
    store.put([CONTEXT, OTHER], [(key(1), [vector(1), vector(2)])])
    [[first, second]] = store.lookup([CONTEXT, OTHER], [key(1)])
    np.testing.assert_array_equal([first, second], [vector(1), vector(2)])
    assert store.info()[2:4] == (2, 2 * ENTRY)


def test_first_vector_of_a_key_stays(store):
    put(store, [1])
    store.put([CONTEXT], [(key(1), [vector(2)])])
    assert look(store, [1]) == [1]
    assert store.info()[2:4] == (1, ENTRY)


def test_vectors_that_were_read_are_read_only(store):
    put(store, [1])
    [[found]] = store.lookup([CONTEXT], [key(1)])
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_changing_what_was_stored_does_not_change_the_store(tmp_path):
    mine, store = vector(1), make_store(tmp_path, memory=100)
    store.put([CONTEXT], [(key(1), [mine])])
    mine[:] = 2
    assert look(store, [1]) == [1]


def test_row_of_a_strided_matrix_is_stored(store):
    matrix = np.stack([vector(1), vector(2)], axis=1)
    store.put([CONTEXT], [(key(1), [matrix[:, 0]])])
    assert look(store, [1]) == [1]


def test_what_is_missing_can_be_claimed_once(store):
    first, second = object(), object()
    assert look(store, [1]) == [Answer.FREE]
    assert look(store, [1], first) == [Answer.OURS]
    assert look(store, [1], first) == [Answer.OURS]
    assert look(store, [1], second) == [Answer.BUSY]
    assert look(store, [1]) == [Answer.BUSY]


def test_claim_on_one_context_holds_the_whole_sample(store):
    first, second = object(), object()
    look(store, [1], first)
    assert store.lookup([OTHER, CONTEXT], [key(1)], second) == [Answer.BUSY]
    assert store.lookup([OTHER], [key(1)], second) == [Answer.OURS]


def test_what_is_there_is_not_claimed(store, tmp_path):
    put(store, [1])
    assert look(store, [1, 2], object()) == [1, Answer.OURS]
    assert n_claims(tmp_path) == 1


def test_what_comes_just_before_the_claim_is_not_claimed(store, tmp_path, monkeypatch):
    transaction = store._database.transaction

    def later():
        put_in(tmp_path, [1])
        return transaction()

    monkeypatch.setattr(store._database, "transaction", later)
    assert look(store, [1, 2], object()) == [1, Answer.OURS]
    assert n_claims(tmp_path) == 1


def test_looking_without_an_owner_claims_nothing(store, tmp_path):
    look(store, [1, 2])
    assert n_claims(tmp_path) == 0


@pytest.mark.parametrize("room", [0, 1000])
def test_put_ends_a_claim(tmp_path, room):
    store = make_store(tmp_path, room)
    look(store, [1, 2], object())
    put(store, [1])
    assert n_claims(tmp_path) == 1
    assert look(store, [1, 2]) == [1 if room else Answer.FREE, Answer.BUSY]


def test_release_ends_the_claims_of_one_owner(store, tmp_path):
    first, second = object(), object()
    look(store, [1, 2], first)
    look(store, [3], second)
    store.release(first)
    assert look(store, [1, 2, 3]) == [Answer.FREE, Answer.FREE, Answer.BUSY]
    assert n_claims(tmp_path) == 1


def test_release_without_claims_makes_no_file(store, tmp_path):
    store.release(object())
    assert files(tmp_path) == []


def test_counts_are_those_of_this_process(store, tmp_path):
    store.count(hits=2)
    store.count(hits=1, misses=5)
    assert store.info() == CacheInfo(3, 5, 0, 0, 1000 * ENTRY)
    assert make_store(tmp_path).info()[:2] == (0, 0)


def test_bytes_are_those_of_the_vectors_and_their_bookkeeping(store, tmp_path):
    put(store, range(3))
    assert store.info() == CacheInfo(0, 0, 3, 3 * ENTRY, 1000 * ENTRY)
    assert make_store(tmp_path).info() == store.info()


def test_clear_forgets_vectors_and_counts(tmp_path):
    store = make_store(tmp_path, memory=100)
    put(store, range(5))
    store.count(1, 1)
    store.clear()
    assert store.info() == CacheInfo(0, 0, 0, 0, 1000 * ENTRY)
    assert look(store, range(5)) == 5 * [Answer.FREE]
    assert held(tmp_path) == []


def test_cleared_store_takes_new_vectors(store, tmp_path):
    put(store, range(5))
    store.clear()
    put(store, [2, 7])
    assert look(make_store(tmp_path), [2, 3, 7]) == [2, Answer.FREE, 7]
    assert store.info()[2:4] == (2, 2 * ENTRY)


def test_clear_gives_room_back_at_once(tmp_path):
    store = make_store(tmp_path, room=10**6)
    put(store, range(500), width=1000)
    store.clear()
    assert size(tmp_path) < 400_000


def test_clear_and_close_leave_an_empty_store(tmp_path):
    store = make_store(tmp_path, room=10**6)
    put(store, range(500), width=1000)
    store.clear()
    store.close()
    assert files(tmp_path) == ["embeddings.lock", "embeddings.sqlite"]
    assert size(tmp_path) < 400_000


def test_clear_leaves_what_else_is_in_the_folder(store, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    put(store, [1])
    store.clear()
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_closed_store_opens_again(store):
    put(store, [1])
    store.close()
    assert look(store, [1]) == [1]
    put(store, [2])
    assert look(store, [1, 2]) == [1, 2]


def test_close_twice_and_before_use(store, tmp_path):
    store.close()
    store.close()
    assert files(tmp_path) == []


def test_close_leaves_no_logs(store, tmp_path):
    put(store, [1])
    store.close()
    assert files(tmp_path) == ["embeddings.lock", "embeddings.sqlite"]


def test_close_ends_claims(store, tmp_path):
    look(store, [1], object())
    store.close()
    assert call(_look_in, tmp_path, [1]) == [Answer.FREE]


def test_folder_is_made_at_first_use(tmp_path):
    store = make_store(tmp_path / "a" / "b")
    assert files(tmp_path) == []
    put(store, [1])
    assert look(make_store(tmp_path / "a" / "b"), [1]) == [1]


def test_folder_that_was_deleted_is_made_again(store, tmp_path):
    put(store, range(3))
    shutil.rmtree(tmp_path)
    assert look(store, range(5)) == 5 * [Answer.FREE]
    put(store, range(2, 5))
    assert held(tmp_path) == [2, 3, 4]


def test_folder_that_another_process_made_anew_is_used(store, tmp_path):
    put(store, range(3))
    shutil.rmtree(tmp_path)
    call(put_in, str(tmp_path), [7])
    assert look(store, [0, 7]) == [Answer.FREE, 7]
    put(store, [8])
    store.close()
    assert held(tmp_path) == [7, 8]
    assert query(tmp_path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("memory", [0, 1, 100])
def test_threads_share_a_store(tmp_path, memory):
    store = make_store(tmp_path, 20, memory)

    def work(number):
        rng = random.Random(number)
        for _ in range(50):
            numbers = rng.sample(range(40), 3)
            put(store, numbers[:1])
            look(store, numbers)

    assert run_together(4, work) == []
    assert store.info().bytes == len(held(tmp_path)) * ENTRY <= 20 * ENTRY


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("memory", [0, 1, 100])
def test_each_sample_is_claimed_by_one_thread(tmp_path, memory):
    store, claimed = make_store(tmp_path, memory=memory), []

    def work(number):
        owner = object()
        for start in range(0, 60, 6):
            part = range(start, start + 6)
            answers = look(store, part, owner)
            ours = [n for n, a in zip(part, answers, strict=True) if a is Answer.OURS]
            claimed.extend(ours)
            put(store, ours)
        store.release(owner)

    assert run_together(4, work) == []
    assert sorted(claimed) == list(range(60))
    assert n_claims(tmp_path) == 0


@pytest.mark.usefixtures("frequent_switches")
def test_hits_of_one_thread_do_not_disturb_the_eviction_of_another(tmp_path):
    store = make_store(tmp_path, room=1, memory=10_000)
    store._memory.put([CONTEXT], [(key(number), [vector(number)]) for number in range(9000)])
    done = threading.Event()

    def work(number):
        rng = random.Random(number)
        try:
            for i in range(600):
                if number:
                    look_up = [key(rng.randrange(9000)) for _ in range(1000)]
                    if done.is_set():
                        return
                    store.lookup([CONTEXT], look_up)
                else:
                    put(store, [10_000 + i])
        finally:
            done.set()

    assert run_together(3, work) == []


def test_one_store_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    spellings = [tmp_path / "a", str(tmp_path / "a"), "a", "./a/", "a/../a", "link"]
    assert len({id(open_disk_store(folder)) for folder in spellings}) == 1
    assert open_disk_store(tmp_path / "b") is not open_disk_store(tmp_path / "a")


@pytest.mark.usefixtures("frequent_switches")
def test_one_store_a_folder_even_when_threads_race_for_it(tmp_path):
    stores = []
    assert run_together(16, lambda _: stores.append(open_disk_store(tmp_path))) == []
    assert len(set(map(id, stores))) == 1


def test_default_limit_is_ten_gibibytes(monkeypatch, tmp_path):
    monkeypatch.delenv("SKLEARN_TRANSFER_DISK_CACHE_BYTES", raising=False)
    assert open_disk_store(tmp_path).info().max_bytes == 10 << 30


def test_environment_variable_is_the_limit(monkeypatch, tmp_path):
    monkeypatch.setenv("SKLEARN_TRANSFER_DISK_CACHE_BYTES", "12345")
    assert open_disk_store(tmp_path).info().max_bytes == 12345


def test_limit_that_is_no_number_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SKLEARN_TRANSFER_DISK_CACHE_BYTES", "1 GB")
    with pytest.raises(ValueError, match="DISK_CACHE_BYTES='1 GB': expected a number"):
        open_disk_store(tmp_path)


def test_limit_of_memory_holds_for_the_front(monkeypatch, tmp_path):
    monkeypatch.setenv("SKLEARN_TRANSFER_CACHE_BYTES", "777")
    assert open_disk_store(tmp_path)._memory.info().max_bytes == 777


@pytest.mark.parametrize("name", ["with space", "ünïcødé", "100%", "a?b#c&d=e", "-", "file:x"])
def test_any_name_of_a_folder_will_do(tmp_path, name):
    folder = tmp_path / name
    put(make_store(folder), [1])
    assert held(folder) == [1]
    assert look(make_store(folder), [1]) == [1]
    assert os.path.exists(database(folder))
