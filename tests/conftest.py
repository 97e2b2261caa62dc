import os
import random
import sys

# Threads do not speed up small matrices, and they wait in busy loops if other programs run at
# the same time, which makes tests five times slower. Libraries read this once, and child
# processes inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# Tests neither read nor write the user's own cache folder.
os.environ["SKLEARN_TRANSFER_HOME"] = "0"

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeds():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - scikit-learn draws from it if no seed is given


@pytest.fixture(autouse=True)
def _empty_cache():
    """Start each test without cached features; networks are kept because they never change."""
    from sklearn_transfer._store import memory

    memory.open_memory_store().clear()


@pytest.fixture(autouse=True)
def _no_open_stores():
    """Close the folders of each test; otherwise hundreds of files would stay open."""
    from tests.stores import close_stores

    yield
    close_stores()


@pytest.fixture
def fresh():
    """Remove networks and engines of other tests before this test and its own after it."""
    from sklearn_transfer._networks.registry import clear_registry

    clear_registry()
    yield
    clear_registry()


@pytest.fixture
def frequent_switches():
    """Make threads switch as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Simulate a new computer without a connection: no network access and empty hub caches."""
    import socket

    import huggingface_hub.constants

    def refuse(*args, **kwargs):
        raise OSError("network access in a test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def photos():
    """Return scikit-learn's two photos, (427, 640, 3) uint8: a palace and a dahlia."""
    from sklearn.datasets import load_sample_images

    return load_sample_images().images


@pytest.fixture(scope="session")
def crops(photos):
    """Return nine crops of 40 pixels with different contents."""
    corners = [(k * 40, k * 60) for k in range(9)]
    return [photos[k % 2][y : y + 40, x : x + 40] for k, (y, x) in enumerate(corners)]


@pytest.fixture
def double():
    """Set another default type of torch."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
