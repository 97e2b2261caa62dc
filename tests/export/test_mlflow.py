"""MLflow's flavor of scikit-learn saves and loads pipelines and fine-tuned networks."""

import base64
import io
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_transfer import (
    FineTunedClassifier,
    PretrainedFeatures,
    check_untrusted_samples,
    get_trusted_types,
)

pytest.importorskip("skops")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would report each call
mlflow = pytest.importorskip("mlflow", reason="mlflow or mlflow-skinny is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::pydantic")

SMALL = {"weights": None, "input_size": 32, "engine": "torch"}
# Given, since MLflow would load the model in a process of its own to find them.
OPTIONS = {
    "skops_trusted_types": get_trusted_types(),
    "pip_requirements": ["sklearn-transfer", "skops"],
}


def make_uri(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


PHOTOS = [
    make_uri(p) for p in np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), np.uint8)
]
TABLE = pd.DataFrame({"photo": PHOTOS})
LABELS = ["cat", "dog"] * 4


@pytest.fixture(scope="module")
def pipe():
    features = PretrainedFeatures("test_resnet", **SMALL)
    return make_pipeline(features, LogisticRegression()).fit(PHOTOS, LABELS)


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    """Folder of a saved pipeline that refuses all but data: URIs."""
    from mlflow.models import infer_signature

    path = tmp_path_factory.mktemp("mlflow") / "model"
    served = make_pipeline(FunctionTransformer(check_untrusted_samples), pipe)
    signature = infer_signature(TABLE, pipe.predict(PHOTOS))
    mlflow.sklearn.save_model(served, path, signature=signature, **OPTIONS)
    return str(path)


def test_a_pipeline_comes_back_from_a_file_of_skops(folder, pipe):
    description = mlflow.models.get_model_info(folder).flavors["sklearn"]
    assert description["serialization_format"] == "skops"
    found = mlflow.sklearn.load_model(folder)
    np.testing.assert_array_equal(found.predict_proba(TABLE), pipe.predict_proba(PHOTOS))


def test_a_server_takes_uris_by_its_signature_and_no_paths(folder, pipe):
    served = mlflow.pyfunc.load_model(folder)
    assert served.metadata.get_input_schema().input_names() == ["photo"]
    np.testing.assert_array_equal(served.predict(TABLE), pipe.predict(PHOTOS))
    with pytest.raises(Exception, match="no data: URI"):
        served.predict(pd.DataFrame({"photo": ["/etc/hostname"]}))


def test_a_fine_tuned_network_is_logged(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    fitted = FineTunedClassifier("test_resnet", **SMALL, freeze="all", max_epochs=1)
    fitted.fit(PHOTOS, LABELS)
    earlier = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    try:
        with mlflow.start_run():
            logged = mlflow.sklearn.log_model(fitted, name="photos", **OPTIONS)
        found = mlflow.sklearn.load_model(logged.model_uri)
    finally:
        mlflow.set_tracking_uri(earlier)
    np.testing.assert_array_equal(found.predict_proba(TABLE), fitted.predict_proba(PHOTOS))


def test_types_that_are_not_listed_are_refused_on_saving(tmp_path, pipe):
    options = {**OPTIONS, "skops_trusted_types": []}
    with pytest.raises(Exception, match="untrusted types"):
        mlflow.sklearn.save_model(pipe, tmp_path / "model", **options)
