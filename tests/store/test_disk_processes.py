"""Tests of the store on disk shared by processes: claims, kills, forks, system limits."""

import os
import random
import signal
import sys
import time
import warnings

import pytest

from sklearn_transfer._store.base import Answer
from tests.processes import (
    Worker,
    call,
)
from tests.stores import CONTEXT, held, key, look, make_store, put, query

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")


def claim_and_wait(pipe, folder, then=None):
    """Claim samples 1 and 2, report, and then do with them what is requested."""
    store = make_store(folder)
    pipe.send(look(store, [1, 2], store))
    while True:
        order = pipe.recv()
        if order == "put":
            put(store, [1, 2])
        elif order == "release":
            store.release(store)
        elif order == "fail":
            store._database.connection.execute("PRAGMA max_page_count = 1")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                put(store, [1, 2], width=100_000)
            store.release(store)
        pipe.send(order)


@pytest.fixture
def other(tmp_path):
    """Start a process that claims samples 1 and 2."""
    with Worker(claim_and_wait, str(tmp_path)) as worker:
        assert worker.hear() == [Answer.OURS, Answer.OURS]
        yield worker


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path)


def order(worker, word):
    worker.tell(word)
    assert worker.hear() == word


@pytest.mark.usefixtures("other")
def test_what_another_process_claimed_is_busy(store):
    assert look(store, [1, 2, 3]) == [Answer.BUSY, Answer.BUSY, Answer.FREE]
    assert look(store, [1, 2, 3], store) == [Answer.BUSY, Answer.BUSY, Answer.OURS]


@pytest.mark.usefixtures("other")
def test_claim_of_another_process_on_one_context_holds_the_whole_sample(store):
    assert store.lookup([b"x", CONTEXT], [key(1)], store) == [Answer.BUSY]
    assert store.lookup([b"x"], [key(1)], store) == [Answer.OURS]


def test_claims_of_a_killed_process_are_free_at_once(store, other):
    look(store, [1])
    other.kill()
    assert look(store, [1]) == [Answer.FREE]
    assert look(store, [1, 2], store) == [Answer.OURS, Answer.OURS]


def test_what_a_killed_process_left_is_free_for_every_thread(store, other):
    first, second = object(), object()
    assert look(store, [1], first) == [Answer.BUSY]
    other.kill()
    assert look(store, [1], second) == [Answer.OURS]
    assert look(store, [1], first) == [Answer.BUSY]


def test_what_another_process_stored_is_there(store, other):
    look(store, [1, 2], store)
    order(other, "put")
    assert look(store, [1, 2], store) == [1, 2]


def test_what_another_process_released_is_free(store, other):
    order(other, "release")
    assert look(store, [1, 2]) == [Answer.FREE, Answer.FREE]


def test_what_another_process_cannot_store_is_free(store, other):
    order(other, "fail")
    assert look(store, [1, 2], store) == [Answer.OURS, Answer.OURS]


def test_claim_taken_over_from_the_dead_holds(store, other, tmp_path):
    other.kill()
    look(store, [1], store)
    assert call(look_in, str(tmp_path), [1, 2]) == [Answer.BUSY, Answer.FREE]


def look_in(folder, numbers):
    return look(make_store(folder), numbers)


def test_claims_hold_while_the_owner_asks_for_more(store, tmp_path):
    for number in range(5):
        look(store, [number], store)
        put(store, [number + 100])
    assert call(look_in, str(tmp_path), range(5)) == 5 * [Answer.BUSY]


def write_forever(pipe, folder):
    store = make_store(folder, room=10**6)
    pipe.send("open")
    for start in range(0, 10**6, 7):
        look(store, range(start, start + 7), store)
        put(store, range(start, start + 7))
        pipe.send(start + 6)


def last_heard(worker):
    """Return the last message of a killed process, or -1 if there is none."""
    heard = -1
    while True:
        try:
            heard = worker.hear()
        except EOFError:
            return heard


def test_process_killed_while_it_writes_loses_nothing_that_was_stored(tmp_path):
    rng = random.Random(0)
    for attempt in range(20):
        # Later attempts continue with the files that earlier ones left.
        folder = str(tmp_path / str(attempt % 4))
        with Worker(write_forever, folder) as worker:
            worker.hear()
            time.sleep(rng.uniform(0, 0.1))
            os.kill(worker.process.pid, signal.SIGKILL)
            stored = range(last_heard(worker) + 1)
        store = make_store(folder, memory=0)
        n_entries = store.info().entries
        assert look(store, stored) == list(stored)
        everything = held(folder)
        assert len(everything) == n_entries
        assert n_entries % 7 == 0
        assert look(store, everything) == everything
        beyond = range(len(everything), len(everything) + 7)
        assert look(store, beyond, store) == 7 * [Answer.OURS]
        store.clear()
        store.close()
        assert query(folder, "PRAGMA integrity_check") == [("ok",)]


def make_at_once(pipe, folder):
    store = make_store(folder)
    pipe.send("ready")
    number = pipe.recv()
    put(store, [number])
    return look(store, [number])


@pytest.mark.parametrize("attempt", range(3))
def test_processes_make_one_store_at_the_same_moment(tmp_path, attempt):
    workers = [Worker(make_at_once, str(tmp_path / "new")) for _ in range(4)]
    for worker in workers:
        worker.hear()
    for number, worker in enumerate(workers):
        worker.tell(number)
    assert [worker.result() for worker in workers] == [[0], [1], [2], [3]]
    assert held(tmp_path / "new") == [0, 1, 2, 3]


def write_and_read(pipe, folder, number):
    rng, store = random.Random(number), make_store(folder, room=50)
    pipe.send("ready")
    pipe.recv()
    for _ in range(60):
        numbers = rng.sample(range(100), 3)
        put(store, numbers[:1])
        look(store, numbers, store)
        store.release(store)


def test_processes_write_and_evict_together(tmp_path):
    workers = [Worker(write_and_read, str(tmp_path), number) for number in range(3)]
    for worker in workers:
        worker.hear()
    for worker in workers:
        worker.tell()
    for worker in workers:
        worker.result()
    assert make_store(tmp_path, room=50).info()[2] == len(held(tmp_path)) <= 50
    assert query(tmp_path, "SELECT * FROM claims") == []
    assert query(tmp_path, "PRAGMA integrity_check") == [("ok",)]


def clear_between(folder):
    store = make_store(folder)
    store.clear()
    put(store, [7])


def test_store_that_another_process_cleared_goes_on(store, tmp_path):
    put(store, range(5))
    call(clear_between, str(tmp_path))
    assert look(store, [1, 7]) == [Answer.FREE, 7]
    put(store, [1])
    assert held(tmp_path) == [1, 7]
