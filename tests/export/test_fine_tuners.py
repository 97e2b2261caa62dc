import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, to_onnx

SIZE = (40, 30)
OPTIONS = {"weights": None, "input_size": 32, "max_epochs": 2, "random_state": 0}


def tune(kind, X, y, **options):
    options = {"model": "test_resnet", **OPTIONS, "cache": None, **options}
    return kind(**options).fit(X[:24], y[:24])


@pytest.mark.parametrize(
    "options",
    [{"freeze": "all"}, {"freeze": "middle"}, {"freeze": None}],
    ids=str,
)
def test_classifiers_equal_python(pictures, run, options):
    X, y = pictures
    fitted = tune(FineTunedClassifier, X, y, **options)
    found = run(fitted, X=X[:4], input_size=SIZE)(pixels=X)
    assert np.abs(found["probabilities"] - fitted.predict_proba(X)).max() < 1e-4
    assert (found["label"] == fitted.predict(X)).all()


@pytest.mark.parametrize("labels", [[False, True], [-7, 100], [0.0, 1.0]], ids=str)
def test_labels_keep_their_type(pictures, run, labels):
    X, y = pictures
    y = np.array(labels)[(y == "red").astype(int)]
    fitted = tune(FineTunedClassifier, X, y, freeze="all")
    found = run(fitted, X=X[:4], input_size=SIZE)(pixels=X)["label"]
    assert found.dtype == fitted.classes_.dtype
    assert (found == fitted.predict(X)).all()


def test_several_labels_are_exported(pictures, run):
    X, y = pictures
    labels = np.c_[y == "red", y != "blue"].astype(int)
    fitted = tune(FineTunedClassifier, X, labels, freeze="all")
    found = run(fitted, X=X[:4], input_size=SIZE)(pixels=X)
    assert np.abs(found["probabilities"] - fitted.predict_proba(X)).max() < 1e-4
    assert (found["label"] == fitted.predict(X)).all()


def test_tasks_have_outputs_of_their_own(pictures, run):
    X, y = pictures
    level = X.mean(axis=(1, 2, 3))
    tasks = [{"name": "main_color"}, {"name": "level", "kind": "regression"}]
    table = pd.DataFrame({"main_color": y, "level": level})
    fitted = tune(FineTunedClassifier, X, table, tasks=tasks, freeze="all")
    found = run(fitted, X=X[:4], input_size=SIZE)(pixels=X)
    assert list(found) == ["label_main_color", "probabilities_main_color", "variable_level"]
    expected = fitted.predict(X)
    assert (found["label_main_color"] == expected[:, 0]).all()
    assert np.abs(found["variable_level"][:, 0] - expected[:, 1].astype(float)).max() < 0.01
    difference = found["probabilities_main_color"] - fitted.predict_proba(X)[0]
    assert np.abs(difference).max() < 1e-4


def test_numbers_keep_their_unit(pictures, run):
    X, _ = pictures
    level = X.mean(axis=(1, 2, 3))
    fitted = tune(FineTunedRegressor, X, np.c_[1e5 * level, 1e-5 * level], freeze="all")
    expected = fitted.predict(X)
    found = run(fitted, X=X[:4], input_size=SIZE)(pixels=X)["variable"]
    difference = np.abs(found - expected).max(axis=0)
    assert (difference < 1e-4 * np.abs(expected).max(axis=0)).all()


def test_fine_tuned_features_go_into_further_steps(pictures, tuned, run):
    X, y = pictures
    head = SVC().fit(tuned.transform(X), y)
    fitted = make_pipeline(tuned, head)
    found = run(fitted, X=X[:4], input_size=SIZE)(pixels=X)
    assert np.abs(found["scores"] - fitted.decision_function(X)).max() < 1e-3


def test_adapters_are_merged(pictures, tmp_path):
    pytest.importorskip("peft")
    X, y = pictures
    options = {"model": "test_vit", "lora_rank": 2, "freeze": None, "input_size": None}
    fitted = tune(FineTunedClassifier, X[:8], y[:8], max_epochs=1, **options)
    before = fitted.predict_proba(X[:2])
    to_onnx(fitted, tmp_path / "model.onnx", X=X[:8])
    held = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert not [tensor.name for tensor in held if "lora" in tensor.name]
    np.testing.assert_array_equal(fitted.predict_proba(X[:2]), before)
