import numpy as np
import pytest

from sklearn_transfer import ImportanceWeighted, PrototypeClassifier
from sklearn_transfer._sample_weight import compute_effective_size, validate_sample_weight
from sklearn_transfer.plotting import WeightsDisplay
from sklearn_transfer.selection import mmd

X = np.arange(8.0).reshape(4, 2)
Y = [0, 1, 0, 1]


def test_weights_are_a_copy_in_double_precision():
    given = np.array([1, 2, 0, 3], dtype=np.float32)
    found = validate_sample_weight(given, X)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, given)
    found[0] = 7
    assert given[0] == 1


def test_no_weights_are_one_each():
    np.testing.assert_array_equal(validate_sample_weight(None, X), 1)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0, 0, 0, 0], "sample_weight is zero in every row: give"),
        ([1, 1, -0.5, 1], "sample_weight is -0.5 in row 2: give weights of at least 0"),
        ([1, 1, np.nan, 1], "NaN"),
        ([1, 1, 1], "shape"),
    ],
)
def test_other_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        validate_sample_weight(weights, X)


def test_message_has_the_name_of_the_weights():
    with pytest.raises(ValueError, match="^weights is -1 in row 0"):
        validate_sample_weight([-1.0, 1.0], X[:2], "weights")


USERS = {
    "head": lambda w: PrototypeClassifier().fit(X, Y, sample_weight=w),
    "weighted": lambda w: ImportanceWeighted(PrototypeClassifier()).fit(
        X, Y, sample_weight=w, X_target=X
    ),
    "discrepancy": lambda w: mmd(X, X, sample_weight=w),
    "display": WeightsDisplay.from_weights,
}


@pytest.mark.parametrize("user", USERS)
def test_every_stage_says_the_same(user):
    with pytest.raises(ValueError, match=r"is -2 in row 1: give weights of at least 0, where"):
        USERS[user]([1.0, -2.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"is zero in every row: give at least one row"):
        USERS[user](np.zeros(4))


def test_effective_size_of_equal_weights_counts_them():
    assert compute_effective_size(np.ones(7)) == 7


def test_effective_size_follows_its_formula():
    w = np.random.default_rng(0).random(50)
    assert compute_effective_size(w / w.mean()) == pytest.approx(w.sum() ** 2 / (w**2).sum())
