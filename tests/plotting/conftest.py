import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 4)), rng.normal(1, 1, size=(40, 4))
