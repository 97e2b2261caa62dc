"""A log of what networks do in worker processes, and files of images for them."""

import os
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedFeatures
from tests.logged_network import logged_net


class Log:
    """File into which the networks of all processes write."""

    def __init__(self, path):
        self.path = str(path)
        self.clear()

    def clear(self):
        with open(self.path, "w"):
            pass

    def read(self):
        """Return how often each image passed, and each process built the network."""
        with open(self.path) as file:
            lines = file.read().split()
        built = Counter(line for line in lines if line.startswith("built"))
        return Counter(line for line in lines if line not in built), built


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    log = Log(tmp_path_factory.mktemp("log") / "log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGGED_NET", log.path)
        yield log


@pytest.fixture(scope="module")
def write_images(tmp_path_factory):
    """Return a function that writes files of different images, or of equal ones in turn."""

    def write(n_files, n_different):
        folder = tmp_path_factory.mktemp("images")
        shape = (n_different, 8, 8, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        paths = [os.fspath(folder / f"{number}.png") for number in range(n_files)]
        for number, path in enumerate(paths):
            Image.fromarray(noise[number % n_different]).save(path)
        return paths

    return write


@pytest.fixture(scope="module")
def fit_logged(log, tmp_path_factory):
    """Return a function that fits a pipeline around the logged network, with an empty log."""

    def fit(paths, cache=None):
        folder = os.fspath(tmp_path_factory.mktemp("features")) if cache is None else cache
        y = np.where(np.arange(20) % 3 == 0, "cat", "dog")
        features = PretrainedFeatures(logged_net, cache=folder)
        pipe = make_pipeline(features, LogisticRegression()).fit(paths[:20], y)
        features.clear_cache()
        log.clear()
        return pipe

    return fit
