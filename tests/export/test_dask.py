"""Batches on two processes of Dask: what travels, what is computed, and what a loss costs."""

import os
import pickle
import signal
import sys
import time

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sklearn_transfer import batch_predictor
from sklearn_transfer._networks.machine import count_share
from sklearn_transfer.export._batch_predictor import count_worker_cores
from tests.processes import start_server

distributed = pytest.importorskip("distributed", reason="distributed is not installed")
pd = pytest.importorskip("pandas", reason="pandas is not installed")
dask = pytest.importorskip("dask", reason="dask is not installed")
dd = pytest.importorskip("dask.dataframe", reason="dask.dataframe is not installed")

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
    # Of Dask's own sockets and loops, which the garbage collector closes.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
N_IMAGES, N_DIFFERENT, N_PARTITIONS = 500, 400, 20


@pytest.fixture(scope="module")
def client(log):
    start_server()  # from which workers are forked, with torch imported
    method = {"distributed.worker.multiprocessing-method": "forkserver"}
    with dask.config.set(method):
        cluster = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            env={"LOGGED_NET": log.path},
        )
        with cluster, distributed.Client(cluster) as client:
            yield client


@pytest.fixture(scope="module")
def table(write_images):
    """Return a table of files, the last hundred of which have the content of the first."""
    rows = np.arange(N_IMAGES)
    paths = write_images(N_IMAGES, N_DIFFERENT)
    return pd.DataFrame({"path": paths, "site": rows % 7}, index=rows * 3)


@pytest.fixture(scope="module")
def pipe(table, fit_logged):
    return fit_logged(table["path"], "memory")


@pytest.fixture
def shared(table, fit_logged):
    """Return the pipeline with an empty folder that the workers share, and an empty log."""
    return fit_logged(table["path"])


@pytest.fixture(scope="module")
def expected(pipe, table):
    """Return the probabilities, computed here."""
    return pipe.predict_proba(table["path"])


def predict_by(client, predict, table):
    frame = dd.from_pandas(table, npartitions=N_PARTITIONS)
    return frame.map_partitions(predict).compute(scheduler=client)


def test_each_image_passes_once_and_each_worker_builds_once(
    client, table, shared, expected, log
):
    found = predict_by(client, batch_predictor(shared, column="path"), table)
    passes, built = log.read()
    assert set(passes.values()) == {1}
    assert len(passes) == N_DIFFERENT
    assert list(built.values()) == [1, 1]
    np.testing.assert_allclose(found.filter(like="predict_proba"), expected, rtol=1e-5)


def test_index_and_columns_stay(client, table, pipe, expected):
    found = predict_by(client, batch_predictor(pipe, column="path"), table)
    added = ["predict_proba_cat", "predict_proba_dog"]
    assert list(found) == ["path", "site", *added]
    assert found.index.equals(table.index)
    assert found["path"].tolist() == table["path"].tolist()
    assert found["site"].tolist() == table["site"].tolist()


def test_empty_partitions_give_empty_ones(client, table, pipe, expected):
    frame = dd.from_pandas(table, npartitions=4)
    some = frame[frame["site"] > 100].map_partitions(batch_predictor(pipe, column="path"))
    assert some.compute(scheduler=client).shape == (0, 4)


def test_dask_learns_names_and_types_without_a_pass(table, pipe, log):
    log.clear()
    for method in ("predict_proba", "predict", "decision_function"):
        predict = batch_predictor(pipe, method, column="path")
        found = dd.from_pandas(table, npartitions=4).map_partitions(predict)
        computed = predict(dd.from_pandas(table[:2], npartitions=1).compute())
        assert found.dtypes.equals(computed.dtypes)
    assert log.read()[0].total() <= 2


def test_a_task_is_the_pickle_of_the_pipeline_and_4_kb_at_most(table, pipe):
    predict = batch_predictor(pipe, column="path")
    bound = len(pickle.dumps(pipe)) + 4096
    assert len(pickle.dumps(predict)) < bound
    frame = dd.from_pandas(table[["path"]], npartitions=N_PARTITIONS)
    tasks = frame.map_partitions(predict).optimize().__dask_graph__()
    assert max(len(distributed.protocol.pickle.dumps(t)) for t in tasks.values()) < bound


def test_a_broken_file_is_named(client, table, pipe):
    broken = table.assign(path=[*table["path"][:-1], "absent.png"])
    with pytest.raises(ValueError, match=r"row 24 .*absent\.png"):
        predict_by(client, batch_predictor(pipe, column="path"), broken)


def test_one_call_at_a_time_takes_the_cores_of_a_worker(table, pipe):
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
    )
    with cluster, distributed.Client(cluster) as client:
        n_cores = client.submit(count_worker_cores).result()
    assert n_cores == count_share(2)
    assert count_worker_cores() is None


def test_a_killed_worker_loses_nothing(client, table, shared, expected, log, monkeypatch):
    predict = batch_predictor(shared, column="path")
    frame = dd.from_pandas(table, npartitions=N_PARTITIONS).map_partitions(predict)
    future = client.compute(frame)
    while log.read()[0].total() < N_DIFFERENT // 8:
        time.sleep(0.01)
    assert not future.done()
    os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)
    found = future.result()
    np.testing.assert_allclose(found.filter(like="predict_proba"), expected, rtol=1e-5)
    passes, _ = log.read()
    assert len(passes) == N_DIFFERENT
    # Beside what was in the network at that moment, nothing passes again.
    assert passes.total() <= N_DIFFERENT + N_IMAGES // N_PARTITIONS


def search_by(client, pipe, paths):
    y = np.where(np.arange(len(paths)) % 2, "cat", "dog")
    grid = {"logisticregression__C": [0.1, 1, 10]}
    search = GridSearchCV(pipe, grid, cv=4, error_score="raise")
    with joblib.parallel_config("dask", client=client):
        return search.fit(paths, y)


def test_a_search_on_dask_passes_each_image_once(client, table, shared, log):
    search = search_by(client, shared, table["path"][:40])
    passes, _ = log.read()
    assert set(passes.values()) == {1}
    assert len(passes) == 40
    assert search.predict(table["path"][:40]).shape == (40,)


def test_a_search_with_a_cache_in_memory_passes_each_image_once_a_process(
    client, table, pipe, log
):
    log.clear()
    search_by(client, pipe, table["path"][40:80])
    assert max(log.read()[0].values()) <= 3  # two workers, and the refit here


def test_a_broken_file_ends_a_search_with_its_name(client, table, pipe):
    paths = [*table["path"][:39], "absent.png"]
    with pytest.raises(ValueError, match=r"absent\.png"):
        search_by(client, pipe, paths)
