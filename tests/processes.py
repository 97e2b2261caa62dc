"""Run functions of tests in separate processes."""

import atexit
import functools
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
_NOBODY = 65534
_PATIENCE = 120  # seconds, beyond which a process counts as hung
_PRELOADED = [
    "pytest",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn_transfer._store.disk",
    "sklearn_transfer._networks.engines",
    "sklearn_transfer.extraction._features",
    "tests.small_networks",
    "tests.stores",
]


class Worker:
    """New process that runs `function(pipe, *args)` with warnings as errors."""

    def __init__(self, function, *args):
        context = start_server()
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_run, args=(theirs, function, args))
        self.process.start()
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()

    def hear(self):
        """Return the next message; raise EOFError if the process ended without one."""
        if not self.pipe.poll(_PATIENCE):
            raise TimeoutError("the process hangs")
        return self.pipe.recv()

    def tell(self, message=None):
        self.pipe.send(message)

    def result(self):
        """Return what the function returned, and discard earlier messages."""
        while True:
            message = self.hear()
            if isinstance(message, _End):
                self.process.join()
                assert message.error is None, message.error
                return message.value

    def interrupt(self):
        os.kill(self.process.pid, signal.SIGINT)

    def kill(self):
        self.process.kill()
        self.process.join()


class _End:
    def __init__(self, value=None, error=None):
        self.value, self.error = value, error


def call(function, *args):
    """Return what `function(*args)` returns in a new process."""
    with Worker(_drop_pipe, function, *args) as worker:
        return worker.result()


def _drop_pipe(pipe, function, *args):
    return function(*args)


def _run(pipe, function, args):
    import torch

    from sklearn_transfer._store.disk import close_disk_stores

    sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)  # so that it can have workers
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    warnings.filterwarnings("error")
    # The one exception of pyproject.toml, which says why.
    warnings.filterwarnings(
        "ignore", "invalid value encountered in matmul", RuntimeWarning, "sklearn.linear_model"
    )
    try:
        end = _End(function(pipe, *args))
    except BaseException:
        end = _End(error=traceback.format_exc())
    close_disk_stores()  # multiprocessing skips functions registered with atexit
    pipe.send(end)


@functools.cache
def start_server():
    """Process that has imported slow modules and forks a child for each call."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([_importable(), str(_TESTS.parent)]))
        forkserver.ensure_running()
    return context


def _importable():
    """Return a folder whose package `tests` is this one, whatever else is installed."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    package = Path(folder, "tests")
    package.mkdir()
    (package / "__init__.py").write_text(f"__path__ = [{str(_TESTS)!r}]\n")
    return folder


def caught(function, *args):
    """Return what a function returns and the messages of its warnings."""
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        result = function(*args)
    return result, [str(message.message) for message in messages]


def with_small_files(n_bytes, function, *args):
    """Do as `caught` with a limit on the size of files, as on a full disk."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))
    return caught(function, *args)


def as_nobody(function, *args):
    """Do as `caught` without the rights of root, for whom nothing is read-only."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    return caught(function, *args)


@contextmanager
def read_only(folder):
    """Return a folder that `as_nobody` may read but not change."""
    if os.getuid() == 0:
        # Only the owner can read folders of pytest, and each of its processes has its own.
        n_folders = 3 + ("PYTEST_XDIST_WORKER" in os.environ)
        for path in list(folder.parents)[:n_folders]:
            path.chmod(path.stat().st_mode | 0o055)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        yield str(folder)
    finally:
        folder.chmod(0o755)
