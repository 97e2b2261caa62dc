import numpy as np
import onnx
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, to_onnx

SIZE = (40, 30)
OPTIONS = {"weights": None, "cache": None, "engine": "torch", "random_state": 0}


def tune(kind, X, y, **options):
    options = {"model": "test_resnet", "input_size": 32, "max_epochs": 1, **OPTIONS, **options}
    return kind(**options).fit(X[:16], y[:16])


@pytest.mark.parametrize("freeze", ["all", "middle"])
def test_frozen_layers_are_exported(pictures, run, freeze):
    X, y = pictures
    fitted = tune(FineTunedClassifier, X, y, freeze=freeze)
    found = run(fitted, X=X[:4], input_size=SIZE)(pixels=X)
    assert np.abs(found["probabilities"] - fitted.predict_proba(X)).max() < 1e-4
    assert (found["label"] == fitted.predict(X)).all()


def test_regressors_equal_python(pictures, run):
    X, _ = pictures
    fitted = tune(FineTunedRegressor, X, 1e5 * X.mean(axis=(1, 2, 3)), freeze="all")
    expected = fitted.predict(X)
    found = run(fitted, X=X[:4], input_size=SIZE)(pixels=X)["variable"]
    assert np.abs(found[:, 0] - expected).max() < 1e-4 * np.abs(expected).max()


def test_fine_tuned_features_go_into_further_steps(pictures, tuned, run):
    X, y = pictures
    head = SVC().fit(tuned.transform(X), y)
    fitted = make_pipeline(tuned, head)
    found = run(fitted, X=X[:4], input_size=SIZE)(pixels=X)
    assert np.abs(found["scores"] - fitted.decision_function(X)).max() < 1e-3


@pytest.mark.slow
def test_adapters_are_merged(pictures, tmp_path):
    pytest.importorskip("peft")
    X, y = pictures
    options = {"model": "test_vit", "lora_rank": 2, "freeze": None, "input_size": None}
    fitted = tune(FineTunedClassifier, X, y, **options)
    before = fitted.predict_proba(X[:2])
    to_onnx(fitted, tmp_path / "model.onnx", X=X[:8])
    held = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert not [tensor.name for tensor in held if "lora" in tensor.name]
    np.testing.assert_array_equal(fitted.predict_proba(X[:2]), before)
