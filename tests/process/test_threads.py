"""Threads of networks around a fork."""

import multiprocessing
import os
import threading

import pytest
import torch

from sklearn_transfer._process import threads as threads_module
from sklearn_transfer._process.threads import run_apart

PATIENCE = 60  # seconds after which a child counts as hung

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
python_312 = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def multiply():
    return torch.ones(64, 64) @ torch.ones(64, 64)


@forks
@python_312
def test_forks_right_after_a_pass_leave_no_lock_closed(set_threads):
    set_threads(2)
    context = multiprocessing.get_context("fork")
    for _ in range(40):
        run_apart(multiply)
        child = context.Process(target=run_apart, args=(multiply,), daemon=True)
        child.start()
        child.join(PATIENCE)
        code = child.exitcode
        child.kill()
        child.join()
        assert code == 0, "the child hangs"


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="it cannot be told here")
def test_a_thread_on_one_core_starts_no_others(set_threads):
    def multiply_and_list():
        before = set(os.listdir("/proc/self/task"))
        multiply()
        return set(os.listdir("/proc/self/task")) - before

    set_threads(2)
    assert run_apart(multiply_and_list) == set()


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="it cannot be told here")
@python_312
def test_a_fork_waits_for_threads_that_are_ending():
    go = threading.Event()
    late = threading.Thread(target=go.wait)  # a thread that the system has not ended yet
    late.start()
    threads_module._ending.add(late.native_id)
    threading.Timer(0.2, go.set).start()
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    assert not late.is_alive()
    assert not threads_module._ending
    child.join()
    assert child.exitcode == 0
