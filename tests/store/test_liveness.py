import errno
import os
import random
import time

import pytest

from sklearn_transfer._store import liveness
from sklearn_transfer._store.liveness import Membership
from tests.processes import Worker

fcntl = pytest.importorskip("fcntl")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lock")


@pytest.fixture
def member(path):
    member = Membership(path)
    yield member
    member.close()


def join_and_wait(pipe, path):
    """Be a member until asked to leave or killed."""
    member = Membership(path)
    pipe.send(member.number)
    while True:
        order = pipe.recv()
        if order == "leave":
            member.close()
        pipe.send(member.is_alive(order) if isinstance(order, int) else order)


@pytest.fixture
def other(path):
    """Start a process that is a member; return it and its number."""
    with Worker(join_and_wait, path) as worker:
        yield worker, worker.hear()


def ask(worker, order):
    worker.tell(order)
    return worker.hear()


def test_own_number_is_alive(member):
    assert member.is_alive(member.number)


def test_number_of_nobody_is_not_alive(member):
    assert not any(member.is_alive(number) for number in range(1, 1000))


def test_another_process_is_alive(member, other):
    _, number = other
    assert number != member.number
    assert member.is_alive(number)


def test_two_processes_see_each_other(member, other):
    worker, _ = other
    assert ask(worker, member.number)
    member.close()
    assert not ask(worker, member.number)


def test_killed_process_is_not_alive(member, other):
    worker, number = other
    worker.kill()
    assert not member.is_alive(number)


def test_process_that_left_is_not_alive(member, other):
    worker, number = other
    ask(worker, "leave")
    assert not member.is_alive(number)


def test_asking_again_changes_nothing(member, other):
    worker, number = other
    for _ in range(100):
        assert member.is_alive(number)
        assert ask(worker, member.number)


def test_asking_after_the_dead_leaves_no_lock(member, other):
    worker, _ = other
    assert not member.is_alive(12345)
    assert not ask(worker, 12345)


def test_numbers_do_not_follow_a_seed(path):
    numbers = set()
    for _ in range(100):
        random.seed(0)
        member = Membership(path)
        numbers.add(member.number)
        member.close()
    assert len(numbers) == 100


def test_lock_file_stays_empty(member, path):
    assert os.path.getsize(path) == 0


def test_close_twice(member):
    member.close()
    member.close()
    assert not member.is_alive(12345)


def test_child_of_fork_does_not_hold_the_number(path):
    with Worker(fork_and_leave, path) as worker:
        number = worker.hear()
        member = Membership(path)
        assert member.is_alive(number)
        worker.kill()
        assert not member.is_alive(number)


def fork_and_leave(pipe, path):
    member = Membership(path)
    if os.fork() == 0:
        os.close(pipe.fileno())
        time.sleep(5)  # outlives its parent
        os._exit(0)
    pipe.send(member.number)
    pipe.recv()


def refuse(*args):
    raise OSError(errno.ENOLCK, "no locks available")


def test_without_locks_nobody_else_is_alive(path, other, monkeypatch):
    monkeypatch.setattr(fcntl, "lockf", refuse)
    member = Membership(path)
    assert member.is_alive(member.number)
    assert not member.is_alive(other[1])
    member.close()


def test_without_locks_no_file_stays_open(path, monkeypatch):
    monkeypatch.setattr(fcntl, "lockf", refuse)
    before = len(os.listdir("/dev/fd"))
    Membership(path)
    assert len(os.listdir("/dev/fd")) == before


def test_locks_that_fail_later_do_not_keep_the_others_alive(member, other, monkeypatch):
    monkeypatch.setattr(fcntl, "lockf", refuse)
    assert not member.is_alive(other[1])


def test_without_fcntl_nobody_else_is_alive(path, other, monkeypatch):
    monkeypatch.setattr(liveness, "fcntl", None)
    member = Membership(path)
    assert member.is_alive(member.number)
    assert not member.is_alive(other[1])
    member.close()


def test_without_fcntl_no_lock_file_is_made(path, monkeypatch):
    monkeypatch.setattr(liveness, "fcntl", None)
    Membership(path)
    assert not os.path.exists(path)


def hold_one(pipe, path):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, 1)
    pipe.send("held")
    pipe.recv()


def test_member_whose_number_is_taken_counts_itself_alone(path, other, monkeypatch):
    monkeypatch.setattr(liveness, "_HIGHEST", 1)
    with Worker(hold_one, path) as worker:
        worker.hear()
        member = Membership(path)
    assert member.is_alive(1)
    assert not member.is_alive(other[1])
