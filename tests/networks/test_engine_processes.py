"""Engines in threads, in worker processes and in forked children."""

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import joblib
import numpy as np
import pytest
import torch
from PIL import Image

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.image import contents
from sklearn_transfer._networks import onnx, registry
from sklearn_transfer._store import digests
from sklearn_transfer.testing._assertions import assert_same

ENGINES = ["torch", "openvino", "onnxruntime"]
PATIENCE = 60  # seconds, after which a child is taken to hang

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
python_312 = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def tiny(engine="auto", **options):
    options = {"model": "test_resnet", "weights": None, "cache": None, **options}
    return PretrainedFeatures(engine=engine, **options)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_threads_may_share_one_estimator(engine, fresh, crops, set_threads):
    set_threads(2)
    estimator = tiny(engine).fit(crops)
    orders = [np.roll(np.arange(9), k) for k in range(6)]

    def features(order):
        return estimator.transform([crops[i] for i in order])

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(features, orders))
    expected = tiny("torch").fit_transform(crops)
    for order, rows in zip(orders, found, strict=True):
        assert_same(rows, expected[order], 1e-4)


def test_exports_of_several_networks_take_turns(fresh, monkeypatch, crops):
    # Output, filters of warnings and the exporter's own state belong to the process.
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    inside, together, export = [], [], torch.onnx.export
    one_at_a_time = threading.Lock()

    def slow(*args, **options):
        inside.append(1)
        time.sleep(0.1)
        together.append(len(inside))
        with one_at_a_time:
            export(*args, **options)
        inside.pop()

    monkeypatch.setattr(torch.onnx, "export", slow)
    estimators = [tiny("openvino", random_state=seed).fit(crops) for seed in range(3)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda estimator: estimator.transform(crops[:1]), estimators))
    assert together == [1, 1, 1]


def test_worker_processes_run_the_default_engine(crops):
    def features(estimator):  # and the engines that gave them
        found = estimator.fit_transform(crops)
        engines = estimator._load_backbone().engines.values()
        kinds = [(type(engine).__name__, engine.n_workers) for engine in engines]
        return found, kinds, torch.get_num_threads()

    run = joblib.Parallel(n_jobs=2, backend="loky")
    results = run(joblib.delayed(features)(tiny()) for _ in range(2))
    expected = tiny().fit_transform(crops)
    for found, kinds, n_threads in results:
        np.testing.assert_array_equal(found, expected)
        assert kinds == [("OpenVINOEngine", n_threads)]


def send(connection, estimator, samples):
    faulthandler.dump_traceback_later(PATIENCE - 5, file=sys.__stderr__)
    warnings.simplefilter("ignore")
    connection.send(estimator.transform(samples))


def in_forked_child(estimator, samples):
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(
        target=send, args=(theirs, estimator, samples), daemon=True
    )
    child.start()
    try:
        assert ours.poll(PATIENCE), "the child hangs"
        return ours.recv()
    finally:
        child.kill()
        child.join()


@forks
@python_312
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_forked_child_goes_on(engine, n_threads, fresh, crops, set_threads):
    set_threads(n_threads)
    estimator = tiny(engine)
    expected = estimator.fit_transform(crops)
    assert_same(in_forked_child(estimator, crops), expected, 1e-4)


@forks
@python_312
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_forked_child_makes_an_engine(engine, n_threads, fresh, crops, set_threads):
    set_threads(n_threads)
    tiny(engine).fit_transform(crops)
    estimator = tiny(engine, layers="middle").fit(crops)
    found = in_forked_child(estimator, crops)
    assert_same(found, estimator.transform(crops), 1e-4)


@forks
@python_312
def test_a_child_forked_while_another_thread_works_goes_on(fresh, crops):
    estimator = tiny("torch", cache="memory").fit(crops)
    backbone = estimator._load_backbone()
    locks = [
        backbone.lock,
        backbone.engines_lock,
        registry._registry_lock,
        digests._types_lock,
        onnx._exporting,
        contents._load_lock,
    ]
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
        found = in_forked_child(estimator, [Image.fromarray(crop) for crop in crops])
    finally:
        done.set()
        thread.join()
    assert_same(found, tiny("torch").fit_transform(crops), 1e-4)


SCRIPT = """
import os, sys
import numpy as np, torch
from sklearn_transfer import PretrainedFeatures

torch.set_num_threads(2)
images = np.zeros((2, 40, 40, 3), dtype=np.uint8)
PretrainedFeatures("test_resnet", weights=None, engine="openvino").fit_transform(images)
child = os.fork()
if child:
    sys.exit(os.waitpid(child, 0)[1])
"""


@forks
def test_a_forked_child_that_leaves_by_the_end_of_its_script_ends():
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], start_new_session=True)
    try:
        assert process.wait(PATIENCE) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
