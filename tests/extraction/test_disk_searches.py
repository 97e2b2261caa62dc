"""How often images pass the network in searches over several workers."""

import multiprocessing
import warnings

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_transfer import PretrainedFeatures
from tests.processes import Worker, call
from tests.small_networks import logging_net


@pytest.fixture
def sixty(photos):
    """Sixty distinct crops of 32 pixels, and which photo each is of."""
    corners = np.random.default_rng(0).integers(0, 390, size=(60, 2))
    images = [photos[i % 2][y : y + 32, x : x + 32] for i, (y, x) in enumerate(corners)]
    return images, np.arange(60) % 2


@pytest.fixture
def log(tmp_path, monkeypatch):
    """File with a line for each image that passed a LoggingNet, in whatever process."""
    path = tmp_path / "log"
    path.write_text("")
    monkeypatch.setenv("LOGGING_NET", str(path))
    return path


def lines(log):
    return log.read_text().split()


def search(features, sixty, n_jobs):
    steps = [("features", features), ("clf", LogisticRegression(max_iter=1000))]
    grid = GridSearchCV(Pipeline(steps), {"clf__C": [0.01, 1]}, cv=3, n_jobs=n_jobs)
    return grid.fit(*sixty).cv_results_["mean_test_score"]


def search_in_workers(backend, log, folder, sixty, precompute=False):
    """Scores, and lines of the log before the workers began."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads at the fork
        patch.setenv("LOGGING_NET", str(log))
        multiprocessing.set_start_method("fork", force=True)
        features = PretrainedFeatures(logging_net(), cache=folder)
        if precompute:
            features.precompute(sixty[0])
        before = lines(log)
        with joblib.parallel_config(backend=backend):
            scores = search(features, sixty, n_jobs=2)
        if backend == "loky":
            get_reusable_executor().shutdown(kill_workers=True)
        return scores, before


def search_alone(log, folder, sixty):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGGING_NET", str(log))
        return search(PretrainedFeatures(logging_net(), cache=folder), sixty, n_jobs=None)


BACKENDS = ["multiprocessing", pytest.param("loky", marks=pytest.mark.slow)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_search_over_processes_computes_each_image_once_for_good(
    tmp_path, sixty, log, backend
):
    folder = tmp_path / "cache"
    scores, _ = call(search_in_workers, backend, log, folder, sixty)
    assert len(lines(log)) == len(set(lines(log))) == 60
    again = call(search_alone, log, folder, sixty)
    assert len(lines(log)) == 60
    expected = search(PretrainedFeatures(logging_net(), cache=None), sixty, n_jobs=None)
    np.testing.assert_allclose(scores, expected)
    np.testing.assert_allclose(again, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_workers_compute_nothing_of_what_was_precomputed(tmp_path, sixty, log, backend):
    _, before = call(search_in_workers, backend, log, tmp_path / "cache", sixty, True)
    assert len(before) == 60
    assert lines(log) == before


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_search_over_threads_computes_each_image_once(tmp_path, sixty, log, cache):
    folder = "memory" if cache == "memory" else tmp_path / "cache"
    with joblib.parallel_config(backend="threading"):
        search(PretrainedFeatures(logging_net(), cache=folder), sixty, n_jobs=2)
    assert len(lines(log)) == 60
    assert len(set(lines(log))) == 60


def transform(pipe, log, folder, images):
    """Wait for a start signal, so that several do so at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGGING_NET", str(log))
        features = PretrainedFeatures(logging_net(), cache=folder, batch_size=4)
        pipe.send("ready")
        pipe.recv()
        return features.transform(images)


def test_processes_that_start_together_share_the_work(tmp_path, sixty, log):
    images, _ = sixty
    workers = [Worker(transform, log, tmp_path / "cache", images) for _ in range(3)]
    for worker in workers:
        worker.hear()
    for worker in workers:
        worker.tell()
    found = [worker.result() for worker in workers]
    assert len(lines(log)) == len(set(lines(log))) == 60
    expected = PretrainedFeatures(logging_net(), cache=None).transform(images)
    for features in found:
        np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_work_of_a_process_that_is_killed_is_taken_over(tmp_path, sixty, log):
    images, _ = sixty
    folder = tmp_path / "cache"
    with (
        Worker(transform, log, folder, images) as killed,
        Worker(transform, log, folder, images[::-1]) as left,
    ):
        for worker in (killed, left):
            worker.hear()
        killed.tell()
        while not lines(log):
            pass
        left.tell()
        killed.kill()
        found = left.result()
    expected = PretrainedFeatures(logging_net(), cache=None).transform(images[::-1])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
