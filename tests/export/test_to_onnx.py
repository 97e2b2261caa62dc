import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    DomainClassifierWeights,
    ImportanceWeighted,
    PretrainedFeatures,
    to_onnx,
)
from sklearn_transfer.export._onnx import exports
from tests.export.files import BARE

SIZE = (40, 30)


def test_a_file_runs_with_onnxruntime_alone(pipe, tuned, pictures, tmp_path):
    X, _ = pictures
    np.save(tmp_path / "X.npy", X)
    paths = [str(tmp_path / name) for name in ("pipe.onnx", "tuned.onnx")]
    for path, fitted in zip(paths, (pipe, tuned), strict=True):
        to_onnx(fitted, path, X=X, input_size=SIZE)
    command = [sys.executable, "-c", BARE, str(tmp_path / "X.npy"), *paths]
    subprocess.run(command, check=True)
    for path, fitted in zip(paths, (pipe, tuned), strict=True):
        expected = fitted.predict_proba(X)
        together, alone = np.load(f"{path}.npy")
        assert expected.max(axis=1).mean() > 0.5  # so that the comparison means something
        assert np.abs(together - expected).max() < 1e-4
        assert np.abs(alone - expected).max() < 1e-4


def test_a_file_takes_what_the_network_takes(pipe, pictures, run):
    X, _ = pictures
    compute = run(pipe)
    extractor = pipe[0]
    reader = extractor._make_reader(extractor._load_backbone())
    pixels = np.stack([reader.prepare(picture)["pixels"] for picture in X])
    found = compute(pixels=pixels)
    assert np.abs(found["probabilities"] - pipe.predict_proba(X)).max() < 1e-4
    assert (found["label"] == pipe.predict(X)).all()


def test_rows_do_not_depend_on_their_order(pipe, pictures, run):
    X, _ = pictures
    compute = run(pipe, input_size=SIZE)
    order = np.random.default_rng(0).permutation(len(X))
    found = compute(pixels=X[order])["probabilities"]
    assert np.abs(found - pipe.predict_proba(X)[order]).max() < 1e-4


def test_outputs_are_named_and_described(pipe, tmp_path):
    to_onnx(pipe, tmp_path / "model.onnx", input_size=SIZE)
    graph = onnx.load(tmp_path / "model.onnx").graph
    (pixels,) = graph.input
    edges = [d.dim_param or d.dim_value for d in pixels.type.tensor_type.shape.dim]
    assert (pixels.name, edges) == ("pixels", ["samples", 40, 30, 3])
    assert [output.name for output in graph.output] == ["label", "probabilities"]
    shapes = [
        [d.dim_param or d.dim_value for d in output.type.tensor_type.shape.dim]
        for output in graph.output
    ]
    assert shapes == [["samples"], ["samples", 4]]


def test_metadata_describe_the_file(pipe, run):
    found = run(pipe, input_size=SIZE).metadata
    (given,) = json.loads(found["inputs"])
    assert (given["name"], given["dtype"], given["shape"]) == (
        "pixels",
        "uint8",
        [None, 40, 30, 3],
    )
    assert json.loads(found["classes"]) == pipe.classes_.tolist()
    assert found["estimator"] == "PretrainedFeatures > StandardScaler > LogisticRegression"
    assert found["network"] == "test_resnet"
    assert found["weights_sha256"] == pipe[0].weights_sha256_
    assert {"python", "onnx", "skl2onnx", "scikit-learn"} <= set(json.loads(found["versions"]))
    assert 0 <= float(found["difference"]) < 1e-4
    assert "license" not in found  # random weights have none


def test_steps_that_give_frames_are_exported(pipe, pictures, run):
    X, y = pictures
    fitted = make_pipeline(clone(pipe[0]), StandardScaler(), LogisticRegression())
    fitted.set_output(transform="pandas").fit(X, y)
    found = run(fitted, X=X[:4], input_size=SIZE)(pixels=X)
    assert np.abs(found["probabilities"] - fitted.predict_proba(X)).max() < 1e-4


def test_features_are_exported_without_a_model(pipe, pictures, run):
    X, _ = pictures
    found = run(pipe[0], X=X[:4], input_size=SIZE)(pixels=X)["variable"]
    expected = pipe[0].transform(X)
    lengths = np.linalg.norm(expected, axis=1)
    assert (np.linalg.norm(found - expected, axis=1) < 1e-4 * lengths).all()


def test_licenses_of_pretrained_weights_are_stated(crops, run):
    extractor = PretrainedFeatures(input_size=32, layers="shallow").fit(crops)
    assert run(extractor).metadata["license"] == "apache-2.0"


def test_searches_and_weightings_are_unwrapped(pipe, pictures, run):
    X, y = pictures
    head = ImportanceWeighted(LogisticRegression(), weighter=DomainClassifierWeights())
    features = pipe[0].transform(X)
    head.fit(features, y, X_target=features[::2])
    search = GridSearchCV(
        make_pipeline(pipe[0], StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [0.1, 1]},
        cv=2,
    ).fit(X, y)
    nested = make_pipeline(make_pipeline(pipe[0], "passthrough"), head)
    for fitted in (search, nested):
        found = run(fitted, input_size=SIZE)(pixels=X)
        assert np.abs(found["probabilities"] - fitted.predict_proba(X)).max() < 1e-4


def test_the_cache_holds_no_examples(pictures, run):
    X, _ = pictures
    extractor = PretrainedFeatures("test_resnet", weights=None, input_size=32).fit(X)
    before = extractor.cache_info()
    run(extractor, X=X[:3])
    assert extractor.cache_info() == before
    assert extractor.cache == "memory"


def test_a_difference_names_the_row_and_writes_nothing(pipe, pictures, tmp_path, monkeypatch):
    X, _ = pictures
    path = tmp_path / "model.onnx"
    path.write_bytes(b"earlier")
    predict = exports.Export._predict

    def predict_wrongly(self, samples):
        found = predict(self, samples)
        found["probabilities"][3] += 0.01
        return found

    monkeypatch.setattr(exports.Export, "_predict", predict_wrongly)
    with pytest.raises(ArithmeticError, match=r"Row 3: probabilities differs .* by 1.0e-02"):
        to_onnx(pipe, path, X=X[:6])
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_samples_of_another_size_are_named(pipe, pictures, tmp_path):
    X, _ = pictures
    with pytest.raises(ValueError, match="Row 1 of X: has 30 x 30 pixels, and input_size is"):
        to_onnx(pipe, tmp_path / "model.onnx", X=[X[0], X[1][:30]], input_size=SIZE)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tolerance": -1}, ValueError, "tolerance=-1: expected a number of at least 0"),
        ({"input_size": 0}, ValueError, "input_size=0: expected a number of pixels"),
        ({"input_size": (8, 9000)}, ValueError, "too far from square"),
        ({"X": []}, ValueError, "0 sample"),
    ],
)
def test_wrong_options_are_refused(pipe, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        to_onnx(pipe, tmp_path / "model.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_folders_are_not_made(pipe, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        to_onnx(pipe, tmp_path / "none" / "model.onnx")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        to_onnx(pipe, tmp_path)


def test_weights_beyond_one_file_are_refused(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "_MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="weights of test_resnet take .* GB, more than"):
        to_onnx(pipe, tmp_path / "model.onnx")


@pytest.mark.parametrize("module", ["onnx", "onnxruntime", "skl2onnx"])
def test_a_missing_extra_is_named(pipe, tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"sklearn-transfer\[onnx\]"):
        to_onnx(pipe, tmp_path / "model.onnx")
