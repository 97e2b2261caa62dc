import numpy as np
import pytest

from tests import small_networks


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch):
    """Each test starts with no activations known, and counts from zero."""
    from sklearn_transfer._store import memory

    monkeypatch.delitem(memory._stores, memory.ActivationStore, raising=False)
    small_networks.Watched.reset()


@pytest.fixture
def images():
    """Twenty images of noise, each of its own brightness, the classes in turn."""
    rng = np.random.default_rng(0)
    light = np.arange(20)[:, None, None, None] * 6
    return (rng.integers(0, 100, (20, 32, 32, 3)) + light).astype(np.uint8)


@pytest.fixture
def labels():
    return np.array(["dark", "light"])[np.arange(20) // 10]
