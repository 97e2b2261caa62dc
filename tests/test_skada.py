"""Our estimators work with those of skada.

Each test runs in a separate process, because importing skada changes the configuration of
scikit-learn.
"""

import contextlib
import io
import textwrap
import warnings
from importlib.util import find_spec

import pytest

from tests import processes

pytestmark = pytest.mark.skipif(find_spec("skada") is None, reason="skada is not installed")

DATA = """
import numpy as np
from skada import CORALAdapter, make_da_pipeline
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn_transfer import KMM, ImportanceWeighted, PretrainedFeatures

rng = np.random.default_rng(0)
sample_domain = np.repeat([1, -2], 20)[rng.permutation(40)]
source = sample_domain >= 0
y = np.where(source, np.tile([0, 1], 20), -1)  # skada masks labels of the target
"""


def run(code):
    """Return the words that a program printed in a process of its own."""
    return processes.call(execute, DATA + textwrap.dedent(code))


def execute(code):
    printed = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("ignore")
        exec(code, {"__name__": "program"})
    return printed.getvalue().split()


def test_our_features_inside_its_pipeline():
    """Adapt paths and arrays by skada; the result is that for features computed in advance."""
    code = """
        import sys, tempfile
        from PIL import Image
        from tests.small_networks import counting_net

        X = rng.integers(0, 256, (40, 48, 48, 3), dtype=np.uint8)
        features = PretrainedFeatures(counting_net, weights=None, engine="torch")

        def predictions(X, *steps):
            steps = [*steps, StandardScaler(), CORALAdapter(), LogisticRegression()]
            pipe = make_da_pipeline(*steps)
            return pipe.fit(X, y, sample_domain=sample_domain).predict(X[:20])

        with tempfile.TemporaryDirectory() as folder:
            paths = [f"{folder}/{i}.png" for i in range(40)]
            for path, image in zip(paths, X):
                Image.fromarray(image).save(path)
            expected = predictions(features.transform(X))
            print((predictions(X, features) == expected).all())
            print((predictions(paths, features) == expected).all())
            print(len(set(expected)))
        """
    assert run(code) == ["True", "True", "2"]


def test_our_weights_inside_its_pipeline():
    code = """
        X = rng.normal(size=(40, 3)) + 0.5 * ~source[:, None]
        step = ImportanceWeighted(LogisticRegression(), KMM(B=5))
        step.set_fit_request(sample_domain=True)
        pipe = make_da_pipeline(StandardScaler(), step)
        pipe.fit(X, y, sample_domain=sample_domain)
        fitted = pipe[-1].base_estimator_
        Z = pipe[:-1].transform(X, sample_domain=sample_domain)
        expected = KMM(B=5).fit(Z, sample_domain=sample_domain).weights_
        print(np.allclose(fitted.weights_, expected))
        """
    assert run(code) == ["True"]


def test_our_weights_beside_its_reweighting():
    """Solve the same problem with both: they move the mean of the source toward the target."""
    code = """
        from skada import KMMReweightAdapter
        X = rng.normal(size=(40, 2)) + ~source[:, None]
        ours = KMM(B=5).fit(X, sample_domain=sample_domain)
        theirs = KMMReweightAdapter().fit(X, sample_domain=sample_domain)
        weights = theirs.compute_weights(X, sample_domain=sample_domain)[source]
        for w in (ours.weights_, weights):
            print(np.average(X[source, 0], weights=w) > X[source, 0].mean() + 0.2)
        """
    assert run(code) == ["True", "True"]
