"""A log of what networks do in worker processes, files of images for them, and of models."""

import os
from collections import Counter

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures
from tests.export.files import make_pictures
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


@pytest.fixture(scope="package")
def pictures():
    """Return 50 pictures of 40 x 30 pixels in four colors, and the names of these."""
    return make_pictures(50)


@pytest.fixture(scope="package")
def pipe(pictures):
    options = {"weights": None, "input_size": 32, "cache": None, "engine": "torch"}
    extractor = PretrainedFeatures("test_resnet", **options)
    return make_pipeline(extractor, StandardScaler(), LogisticRegression()).fit(*pictures)


@pytest.fixture(scope="package")
def tuned(pictures):
    """A fine-tuner that is surer than at random."""
    options = {"weights": None, "input_size": 32, "batch_size": 8, "random_state": 0}
    options |= {"max_epochs": 4, "engine": "torch", "lr": 0.01}
    return FineTunedClassifier("test_resnet", **options).fit(*pictures)


@pytest.fixture
def run(tmp_path):
    """Export an estimator and return a function that runs the file: outputs by name."""
    from sklearn_transfer import to_onnx

    def export(fitted, **options):
        path = tmp_path / "model.onnx"
        assert to_onnx(fitted, path, **options) == path
        session = onnxruntime.InferenceSession(path)
        names = [output.name for output in session.get_outputs()]

        def compute(**inputs):
            return dict(zip(names, session.run(None, inputs), strict=True))

        compute.metadata = session.get_modelmeta().custom_metadata_map
        return compute

    return export
