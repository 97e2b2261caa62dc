import numpy as np
import pytest

from sklearn_transfer.export._onnx.checks import check_outputs

LABELS = np.array(["a", "b", "a"])
SHARES = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])


def test_equal_outputs_pass():
    expected = {"label": LABELS, "probabilities": SHARES}
    found = {"label": LABELS, "probabilities": SHARES.astype(np.float32)}
    assert check_outputs(found, expected, 1e-4) < 1e-7


@pytest.mark.parametrize("value", [0.2002, np.nan])
def test_a_row_that_differs_is_named(value):
    wrong = SHARES.copy()
    wrong[1, 0] = value
    with pytest.raises(ArithmeticError, match="Row 1: probabilities differs"):
        check_outputs({"probabilities": wrong}, {"probabilities": SHARES}, 1e-4)


def test_labels_may_differ_where_two_classes_are_as_likely():
    expected = {"label": LABELS, "probabilities": SHARES}
    found = {"label": np.array(["a", "b", "b"]), "probabilities": SHARES}
    check_outputs(found, expected, 1e-4)
    found["label"] = np.array(["b", "b", "a"])
    with pytest.raises(ArithmeticError, match="Row 0: label is 'b' in the file, and 'a'"):
        check_outputs(found, expected, 1e-4)


def test_labels_of_tasks_are_compared_with_their_own_scores():
    expected = {"label_x": LABELS, "probabilities_x": SHARES, "variable_y": np.ones((3, 1))}
    found = {**expected, "label_x": np.array(["b", "b", "a"])}
    with pytest.raises(ArithmeticError, match="Row 0: label_x"):
        check_outputs(found, expected, 1e-4)


def test_numbers_are_compared_in_their_own_column():
    expected = np.array([[1e6, 1e-6], [2e6, 2e-6]])
    wrong = expected + np.array([[0.0, 1e-7], [0.0, 0.0]])
    with pytest.raises(
        ArithmeticError, match="Row 0: variable differs from Python by 5.0e-02"
    ):
        check_outputs({"variable": wrong}, {"variable": expected}, 1e-4)


def test_features_are_compared_by_their_norm():
    expected = np.array([[1.0, 1e-9], [1.0, 0.0]])
    assert check_outputs({"variable": expected * 1.00005}, {"features": expected}, 1e-4) > 0
    wrong = {"variable": expected + np.array([[0], [0.001]])}
    with pytest.raises(ArithmeticError, match="Row 1: features differs"):
        check_outputs(wrong, {"features": expected}, 1e-4)


def test_shapes_must_fit():
    with pytest.raises(ArithmeticError, match=r"variable has shape \(3,\) in the file"):
        check_outputs({"variable": np.ones(3)}, {"variable": np.ones((3, 2))}, 1e-4)
