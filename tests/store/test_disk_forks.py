"""Tests of the store on disk shared by a process and its forked children."""

import os
import sys
import threading
import warnings

import pytest

from sklearn_transfer._store import database as database_module
from sklearn_transfer._store.base import Answer
from sklearn_transfer._store.disk import open_disk_store
from tests.processes import call
from tests.stores import held, look, make_store, put, put_in, query

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of POSIX")


class Child:
    """Forked child that runs a generator step by step and ends with its parent."""

    def __init__(self, function, *args):
        (orders, self._orders), (self._answers, answers) = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._orders)
                for _ in function(*args):
                    os.write(answers, b".")
                    os.read(orders, 1)
                os.write(answers, b".")
            finally:
                os._exit(0)
        os.close(orders)
        os.close(answers)

    def wait(self):
        """Wait until the child has finished its step."""
        assert os.read(self._answers, 1) == b".", "the child failed"

    def step(self):
        os.write(self._orders, b".")
        self.wait()

    def end(self):
        os.close(self._orders)
        os.waitpid(self._pid, 0)


def steps_of_child(folder):
    store = open_disk_store(folder)
    put(store, [1])
    yield
    put(store, range(100, 150))
    yield
    assert look(store, [0, *range(100, 150)]) == [0, *range(100, 150)]
    store.close()


def parent_goes_on(folder):
    store = open_disk_store(folder)
    put(store, [0])
    child = Child(steps_of_child, folder)
    child.wait()
    put(store, [2])
    child.step()
    child.step()
    put(store, [3])


def parent_closes(folder):
    store = open_disk_store(folder)
    put(store, [0])
    child = Child(steps_of_child, folder)
    child.wait()
    store.close()
    child.step()
    child.step()
    put(store, [2, 3])


def another_opens(folder):
    another = Child(steps_of_another, folder)
    store = open_disk_store(folder)
    put(store, [0])
    child = Child(steps_of_child, folder)
    child.wait()
    store.close()
    another.wait()
    another.step()
    child.step()
    another.step()
    child.step()


def steps_of_another(folder):
    yield
    put_in(folder, [2])
    yield
    put_in(folder, [3])


@pytest.mark.parametrize("parent", [parent_goes_on, parent_closes, another_opens])
def test_forked_child_and_parent_lose_nothing(tmp_path, parent):
    call(parent, str(tmp_path))
    assert held(tmp_path) == [0, 1, 2, 3, *range(100, 150)]
    assert query(tmp_path, "PRAGMA integrity_check") == [("ok",)]


def fork_in_a_transaction(folder):
    database_module.WAIT = 5
    store = open_disk_store(folder)
    put(store, [0])
    begun, go_on = threading.Event(), threading.Event()

    def write():
        with store._database.lock, store._database.transaction():
            begun.set()
            go_on.wait(1)

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads at the fork
        child = Child(steps_of_child, folder)
    go_on.set()
    thread.join()
    child.wait()
    child.step()
    child.step()


def test_child_forked_while_a_thread_writes_can_write(tmp_path):
    call(fork_in_a_transaction, str(tmp_path))
    assert held(tmp_path) == [0, 1, *range(100, 150)]


def claim_in_child(folder):
    store = open_disk_store(folder)
    assert look(store, [1], store) == [Answer.BUSY]
    assert look(store, [2], store) == [Answer.OURS]
    yield


def claims_around_a_fork(folder):
    store = open_disk_store(folder)
    look(store, [1], store)
    child = Child(claim_in_child, folder)
    child.wait()
    answers = look(store, [1, 2], store)
    child.end()
    return answers, look(store, [1, 2], store)


def test_claims_hold_between_parent_and_forked_child(tmp_path):
    during, after = call(claims_around_a_fork, str(tmp_path))
    assert during == [Answer.OURS, Answer.BUSY]
    assert after == [Answer.OURS, Answer.OURS]


def close_at_a_fork(folder):
    store = make_store(folder)
    put(store, [0])
    assert store._database.connection is not None
    child = Child(steps_of_child, folder)
    assert store._database.connection is None
    child.wait()
    child.step()
    child.step()
    put(store, [2])


def test_a_store_that_was_made_by_hand_closes_its_file_at_a_fork(tmp_path):
    call(close_at_a_fork, str(tmp_path))
    assert held(tmp_path) == [0, 1, 2, *range(100, 150)]


def ask_later(folder):
    yield
    store = open_disk_store(folder)
    if look(store, [1], "child") == [Answer.OURS]:
        put(store, [1])


def release_after_a_fork(folder):
    store = open_disk_store(folder)
    look(store, [1], store)
    child = Child(ask_later, folder)
    child.wait()
    store.release(store)
    child.step()


def test_claims_that_the_parent_released_are_free_for_the_child(tmp_path):
    call(release_after_a_fork, str(tmp_path))
    assert held(tmp_path) == [1]


def leave_by_exit(folder):
    open_disk_store(folder)
    yield
    sys.exit()


def fork_and_exit(folder):
    store = open_disk_store(folder)
    put(store, [0])
    Child(leave_by_exit, folder).wait()
    put(store, [1])
    return look(store, [0, 1])


def test_parent_goes_on_after_the_end_of_a_child(tmp_path):
    assert call(fork_and_exit, str(tmp_path)) == [0, 1]
