"""Tests of the store on disk when the system does not allow writing."""

import os
import sys

import pytest

from sklearn_transfer._store.base import Answer
from tests.processes import Worker, as_nobody, call, caught, read_only, with_small_files
from tests.stores import (
    CONTEXT,
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

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="users and limits of POSIX")


def fill_the_disk(folder):
    store = make_store(folder, room=10**6, memory=10_000)
    put(store, [0])

    def fill():
        for number in range(1, 200):
            look(store, [number], store)
            put(store, [number], width=2000)
        store.release(store)
        store.info()

    _, messages = with_small_files(500_000, fill)
    _, later = caught(fill)
    [[found]] = store.lookup([CONTEXT], [key(150)])
    return messages, later, found


def test_files_that_cannot_grow_warn_once(tmp_path):
    [message], later, found = call(fill_the_disk, str(tmp_path))
    assert "read but not written" in message
    assert later == []
    assert found.tobytes() == vector(150, 2000).tobytes()
    everything = held(tmp_path)
    assert 0 in everything
    assert look(make_store(tmp_path), everything) == everything


def open_and_use(folder):
    store = make_store(folder, memory=100)
    put(store, range(5))
    return look(store, range(6), store), store.info()[2]


@pytest.mark.parametrize("n_bytes", [0, 1000, 10_000])
def test_store_that_cannot_be_made_warns_once(tmp_path, n_bytes):
    (answers, n), [message] = call(with_small_files, n_bytes, open_and_use, str(tmp_path))
    assert "neither read nor written" in message
    assert "make room" in message
    assert answers == [0, 1, 2, 3, 4, Answer.OURS]
    assert n == 5


@pytest.mark.parametrize("n_bytes", [0, 1000, 10_000])
def test_store_that_could_not_be_made_is_made_where_there_is_room(tmp_path, n_bytes):
    call(with_small_files, n_bytes, open_and_use, str(tmp_path))
    put(make_store(tmp_path), range(5))
    assert held(tmp_path) == [0, 1, 2, 3, 4]


def read_and_write(folder):
    store = make_store(folder, memory=100)
    before = look(store, range(4), store)
    put(store, [2, 3])
    store.release(store)
    after = look(store, range(4), store)
    return before, after, store.info()[2]


def test_empty_folder_that_is_read_only_warns_once(tmp_path):
    (tmp_path / "cache").mkdir()
    with read_only(tmp_path / "cache") as folder:
        (before, after, n), [message] = call(as_nobody, read_and_write, folder)
    assert "neither read nor written" in message
    assert before == 4 * [Answer.OURS]
    assert (after, n) == ([Answer.OURS, Answer.OURS, 2, 3], 2)
    assert os.listdir(folder) == []


def test_folder_that_cannot_be_made_warns_once(tmp_path):
    (tmp_path / "above").mkdir()
    with read_only(tmp_path / "above") as above:
        (_, after, _), [message] = call(as_nobody, read_and_write, above + "/cache")
    assert "neither read nor written" in message
    assert after == [Answer.OURS, Answer.OURS, 2, 3]


def test_vectors_in_a_folder_that_is_read_only_are_used(tmp_path):
    put_in(tmp_path / "cache %41?#ü", [0, 1])
    with read_only(tmp_path / "cache %41?#ü") as folder:
        (before, after, n), [message] = call(as_nobody, read_and_write, folder)
    assert "read but not written" in message
    assert before == [0, 1, Answer.OURS, Answer.OURS]
    assert (after, n) == ([0, 1, 2, 3], 2)


def test_flipped_byte_in_a_folder_that_is_read_only_is_noticed(tmp_path):
    put_in(tmp_path / "cache", [0, 1])
    query(tmp_path / "cache", "UPDATE vectors SET data = substr(data, 2) WHERE id = 1")
    with read_only(tmp_path / "cache") as folder:
        (before, after, _), messages = call(as_nobody, read_and_write, folder)
    assert before == [Answer.OURS, 1, Answer.OURS, Answer.OURS]
    assert after == [Answer.OURS, 1, 2, 3]
    assert len(messages) == 1


def put_and_wait(pipe, folder):
    put(make_store(folder), [0, 1])
    pipe.send("done")
    pipe.recv()


@pytest.mark.parametrize("fate", ["lives", "was killed"])
def test_vectors_of_one_who_did_not_close_are_used_read_only(tmp_path, fate):
    with Worker(put_and_wait, str(tmp_path / "cache")) as owner:
        owner.hear()
        if fate == "was killed":
            owner.kill()
        with read_only(tmp_path / "cache") as folder:
            (before, _, _), messages = call(as_nobody, read_and_write, folder)
    assert before == [0, 1, Answer.OURS, Answer.OURS]
    assert len(messages) == 1


def test_file_of_a_folder_that_is_read_only_is_not_changed(tmp_path):
    put_in(tmp_path / "cache", [0, 1])
    with open(database(tmp_path / "cache"), "rb") as file:
        before = file.read()
    with read_only(tmp_path / "cache") as folder:
        call(as_nobody, read_and_write, folder)
    with open(database(tmp_path / "cache"), "rb") as file:
        assert file.read() == before
