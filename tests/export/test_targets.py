import numpy as np
import onnxruntime
import pandas as pd
import pytest

from sklearn_transfer.export._onnx.graphs import check_classes
from sklearn_transfer.export._onnx.targets import build_target_graph
from sklearn_transfer.finetuning.targets.targets import Targets


def run_targets(targets, outputs):
    model = build_target_graph(targets, outputs.shape[1])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"features": outputs}), strict=True))


def draw(n_columns):
    return 3 * np.random.default_rng(0).standard_normal((20, n_columns), dtype=np.float32)


@pytest.mark.parametrize(
    "labels", [[False, True, True], [-7, 100, 3], [0.0, 1.0, 5.0], ["ä", "b", "c"]], ids=str
)
def test_labels_keep_their_type(labels):
    targets = Targets.from_labels(np.array(labels))
    outputs = draw(targets.n_outputs)
    found = run_targets(targets, outputs)
    assert found["label"].tolist() == targets.predict(outputs).tolist()
    assert type(found["label"].tolist()[0]) is type(labels[0])
    assert np.abs(found["probabilities"] - targets.predict_proba(outputs)).max() < 1e-6


def test_several_labels_are_independent():
    targets = Targets.from_labels(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
    outputs = draw(3)
    found = run_targets(targets, outputs)
    assert (found["label"] == targets.predict(outputs)).all()
    assert np.abs(found["probabilities"] - targets.predict_proba(outputs)).max() < 1e-6


def test_numbers_keep_their_unit():
    targets = Targets.from_numbers(np.array([[1e6, 1e-6], [3e6, 2e-6], [9e6, 0.0]]))
    outputs = draw(2)
    expected = targets.predict(outputs)
    difference = np.abs(run_targets(targets, outputs)["variable"] - expected).max(axis=0)
    assert (difference < 1e-6 * np.abs(expected).max(axis=0)).all()


def test_tasks_have_outputs_of_their_own():
    table = pd.DataFrame({"main_color": ["red", "green", "red"], "level": [1.0, 5.0, 9.0]})
    tasks = [{"name": "main_color"}, {"name": "level", "kind": "regression"}]
    targets = Targets.from_labels(table, tasks=tasks)
    outputs = draw(3)
    found = run_targets(targets, outputs)
    assert list(found) == ["label_main_color", "probabilities_main_color", "variable_level"]
    expected = targets.predict(outputs)
    assert (found["label_main_color"] == expected[:, 0]).all()
    assert np.allclose(found["variable_level"][:, 0], expected[:, 1].astype(float))


def test_labels_of_other_types_are_refused():
    days = np.array(["2026-01-01", "2026-02-01"], "datetime64[D]")
    with pytest.raises(ValueError, match="have no type in ONNX"):
        check_classes(days)
