"""Fits of small models use one BLAS thread and restore the number of threads afterwards."""

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_transfer import episodes, negative_transfer_test, rank_backbones
from sklearn_transfer._process.blas import one_blas_thread
from tests import small_networks


def blas_threads():
    found = [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]
    if not found:
        pytest.skip("no BLAS here whose threads can be told")
    return max(found)


@pytest.fixture(autouse=True)
def two():
    with threadpool_limits(2, "blas"):
        yield


class Recorder(DummyClassifier):
    """Estimator that records how many threads BLAS may use in each fit."""

    seen = []

    def fit(self, X, y, sample_weight=None):
        self.seen.append(blas_threads())
        return super().fit(X, y, sample_weight)


def of_episodes(X, y):
    episodes(X, y, 2, estimator=Recorder(), n_episodes=2)


def of_folds(X, y):
    negative_transfer_test(Recorder(), Recorder(strategy="uniform"), X, y, cv=2)


def of_candidates(X, y):
    images = np.random.default_rng(0).integers(0, 256, (len(y), 32, 32, 3), dtype=np.uint8)
    rank_backbones(
        {"net": small_networks.trained_net()}, images, y, cv=2, estimator=Recorder()
    )


@pytest.mark.parametrize("fits", [of_episodes, of_folds, of_candidates])
def test_small_fits_run_on_one_thread(fits):
    Recorder.seen.clear()
    fits(np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2)
    assert set(Recorder.seen) == {1}
    assert blas_threads() == 2


def test_large_ones_keep_their_threads():
    with one_blas_thread(False):
        assert blas_threads() == 2


def test_the_last_to_leave_sets_back_what_the_first_found():
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas_threads() == 1
    second.__exit__(None, None, None)
    assert blas_threads() == 2


def test_an_error_sets_the_number_back():
    with pytest.raises(KeyError), one_blas_thread():
        {}["none"]
    assert blas_threads() == 2


def test_other_libraries_keep_what_was_set_meanwhile():
    before = torch.get_num_threads()
    try:
        with one_blas_thread():
            torch.set_num_threads(before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
