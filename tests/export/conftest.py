import onnxruntime
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures
from tests.export.files import make_pictures


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
