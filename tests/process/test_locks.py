"""Locks in forked children, and the order of what happens at a fork."""

import ast
import gc
import importlib
import multiprocessing
import os
import pkgutil
import subprocess
import sys
import threading
import weakref
from contextlib import ExitStack
from pathlib import Path

import pytest

import sklearn_transfer
from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.remarks import Remarks
from sklearn_transfer._process import forks as forks_module
from sklearn_transfer._process import locks as locks_module
from sklearn_transfer._process.forks import Turn
from sklearn_transfer._process.locks import Lock, RLock
from sklearn_transfer._store import disk

PACKAGE = Path(sklearn_transfer.__file__).parent
PATIENCE = 60  # seconds after which a child counts as hung

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
python_312 = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")


def take(lock):
    """Return whether another thread can acquire a plain lock now."""
    taken = []

    def try_it():
        taken.append(lock.acquire(blocking=False))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    return taken[0]


def take_here(lock):
    """Return whether this thread, whose number is new after the fork, can acquire it."""
    taken = lock.acquire(blocking=False)
    if taken:
        lock.release()
    return taken


def in_child(function):
    """Return what a function returns in a forked child."""
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(
        target=lambda: theirs.send(function()), daemon=True
    )
    child.start()
    try:
        assert ours.poll(PATIENCE), "the child hangs"
        return ours.recv()
    finally:
        child.kill()
        child.join()


def held_by_a_thread(locks, function):
    """Return what a function returns in a child forked while a thread holds locks."""
    held, done = threading.Event(), threading.Event()

    def hold():
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock.current)
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        return in_child(function)
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_one_thread_at_a_time(kind):
    lock = kind()
    with lock:
        assert not take(lock.current)
    assert take(lock.current)


def test_reentrant_lock_is_reentrant():
    lock = RLock()
    with lock, lock:
        assert not take(lock.current)
    assert take(lock.current)


def test_lock_is_free_after_an_error():
    lock = Lock()
    with pytest.raises(ZeroDivisionError), lock:
        1 / 0  # noqa: B018
    assert take(lock.current)


@forks
@python_312
@pytest.mark.parametrize("kind", [Lock, RLock])
def test_child_can_take_what_a_thread_held(kind):
    lock = kind()
    assert held_by_a_thread([lock], lambda: take_here(lock.current))
    assert take(lock.current)


def all_locks(tmp_path, crops):
    """Return all locks of the package, including those of networks, stores and samples."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "sklearn_transfer."):
        importlib.import_module(module.name)
    PretrainedFeatures("test_resnet", weights=None, cache=tmp_path).fit_transform(crops)
    kept = Remarks(), disk.open_disk_store(tmp_path)
    return list(locks_module._locks), kept


@forks
@python_312
def test_child_can_take_every_lock_of_the_package(tmp_path, crops):
    locks, _kept = all_locks(tmp_path, crops)
    # A fork itself acquires the locks of stores on disk, because it closes their files.
    waits = [disk._stores_lock, *(store._database.lock for store in disk._live)]
    others = [lock for lock in locks if not any(lock is other for other in waits)]
    assert len(others) > 12
    free = held_by_a_thread(others, lambda: [take_here(lock.current) for lock in locks])
    assert all(free)
    assert len(free) == len(locks)


@forks
def test_thread_that_forks_gives_back_what_it_took():
    program = (
        "import os\n"
        "from sklearn_transfer._process.locks import Lock, RLock\n"
        "for lock in (Lock(), RLock()):\n"
        "    with lock:\n"
        "        child = os.fork()\n"
        "    with lock:\n"
        "        pass\n"
        "    if child == 0:\n"
        "        os._exit(7)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PACKAGE.parent)


def test_registration_keeps_no_lock_alive():
    lock = Lock()
    left = weakref.ref(lock)
    assert lock in locks_module._locks
    del lock
    gc.collect()
    assert left() is None


def plain_locks(tree):
    """Return the names of standard-library locks that a module creates or mentions."""
    kinds = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "allocate_lock"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in ("threading", "_thread") and node.attr in kinds:
                yield f"{node.value.id}.{node.attr}, line {node.lineno}"
        elif isinstance(node, ast.ImportFrom) and node.module in ("threading", "_thread"):
            yield from (
                f"{node.module}.{alias.name}, line {node.lineno}"
                for alias in node.names
                if alias.name in kinds
            )


def test_plain_locks_are_seen():
    code = "import threading\nfrom threading import RLock\na = threading.Lock()"
    assert list(plain_locks(ast.parse(code))) == [
        "threading.RLock, line 2",
        "threading.Lock, line 3",
    ]


MODULES = [p for p in sorted(PACKAGE.rglob("*.py")) if p.name != "locks.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_has_a_lock_that_a_fork_leaves_closed(path):
    assert list(plain_locks(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_hooks_at_forks_are_registered_in_one_room(path):
    assert path.name == "forks.py" or "register_at_fork" not in path.read_text()


@pytest.fixture
def hooks(monkeypatch):
    """Install only the hooks of a test."""
    for name in ("_before", "_in_parent", "_in_child"):
        monkeypatch.setattr(forks_module, name, [])


def register_in_disorder(seen):
    for turn in (Turn.STORES, Turn.LOCKS, Turn.ENGINES, Turn.THREADS):
        forks_module.run_at_fork(
            turn,
            before=lambda turn=turn: seen.append(("before", turn.name)),
            in_parent=lambda turn=turn: seen.append(("after", turn.name)),
            in_child=lambda turn=turn: seen.append(("after", turn.name)),
        )


ORDER = ["LOCKS", "THREADS", "STORES", "ENGINES"]
EXPECTED = [*(("before", n) for n in reversed(ORDER)), *(("after", n) for n in ORDER)]


@forks
@python_312
@pytest.mark.usefixtures("hooks")
def test_hooks_run_in_the_declared_order():
    seen = []
    register_in_disorder(seen)
    assert in_child(lambda: seen) == EXPECTED
    assert seen == EXPECTED


@forks
@python_312
@pytest.mark.usefixtures("hooks")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_hooks_run_where_one_fails():
    seen = []
    register_in_disorder(seen)
    forks_module.run_at_fork(Turn.STORES, before=lambda: 1 / 0, in_child=lambda: 1 / 0)
    assert in_child(lambda: seen) == EXPECTED
