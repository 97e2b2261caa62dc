"""Labels of a file may differ from those of Python only in rows with a tie."""

import numpy as np
import pytest

from sklearn_transfer.export._onnx.checks import _check_labels


@pytest.mark.parametrize(
    ("found", "wanted", "scores"),
    [
        (["c"], ["a"], [[0.5, 0.3, 0.2]]),
        ([[1, 1, 1]], [[1, 1, 0]], [[0.99, 0.99, 0.1]]),
    ],
    ids=["classes", "several labels"],
)
def test_other_labels_without_a_tie_are_refused(found, wanted, scores):
    with pytest.raises(ArithmeticError, match="Row 0: label"):
        _check_labels("label", np.array(found), np.array(wanted), np.array(scores), 1e-4)


def test_other_labels_of_a_tie_pass():
    _check_labels("label", np.array(["b"]), np.array(["a"]), np.array([[0.5, 0.5]]), 1e-4)
