import warnings

import numpy as np
import pytest
import torch

from sklearn_transfer import (
    FineTunedClassifier,
    OptimalTransport,
    PrototypeClassifier,
)
from sklearn_transfer.selection import label_shift_test


@pytest.mark.parametrize(
    "user",
    [
        lambda X, y: PrototypeClassifier().fit(X, y),
        lambda X, y: FineTunedClassifier(
            torch.nn.Identity(), preprocess=None, freeze="all", max_epochs=1
        ).fit(X, y),
        lambda X, y: label_shift_test(X, y, X + 1, n_permutations=9),
        lambda X, y: OptimalTransport(class_reg="l1l2").fit(X, y, X_target=X + 1),
    ],
)
def test_classes_of_one_sample_are_no_fault(user):
    X = np.random.default_rng(0).normal(size=(30, 3))
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        user(X, [f"class {i}" for i in range(30)])
    assert [str(warning.message) for warning in given] == []
