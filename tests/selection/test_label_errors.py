"""Tests of wrong labels, which are planted."""

import json
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedFeatures, label_errors
from sklearn_transfer.datasets import load_photo_crops

pytest.importorskip("cleanlab")


def flip(y, rows, seed=0):
    """Labels, other ones in some rows."""
    rng, classes, flipped = np.random.default_rng(seed), np.unique(y), np.array(y)
    for row in rows:
        flipped[row] = rng.choice(classes[classes != y[row]])
    return flipped


def test_flipped_labels_of_photos_are_found():
    X, y = load_photo_crops(10, size=96, return_X_y=True)
    rows = np.random.default_rng(0).permutation(150)[:15]
    features = PretrainedFeatures(input_size=96, engine="torch")
    model = make_pipeline(features, LogisticRegression(max_iter=500))
    result = label_errors(model, X, flip(y, rows), random_state=0)
    assert np.isin(rows, result.rows).mean() >= 0.8
    assert np.isin(result.rows, rows).mean() >= 0.8
    right = np.isin(result.rows, rows)
    assert (result.suggested == y[result.rows])[right].mean() >= 0.8


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(n_class=4, return_X_y=True)
    return X[:200] / 16, y[:200]


def test_rows_come_with_the_least_probable_label_first(digits):
    X, y = digits
    result = label_errors(GaussianNB(), X, flip(y, [3, 30]), random_state=0)
    assert {3, 30} <= set(result.rows.tolist())
    assert (np.diff(result.quality[result.rows]) >= 0).all()
    np.testing.assert_array_equal(result.given, flip(y, [3, 30])[result.rows])
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1)
    assert json.loads(json.dumps(result.to_dict()))["rows"] == result.rows.tolist()
    assert "labels look wrong: check them" in result._repr_html_()


def test_groups_stay_together(digits):
    X, y = digits
    X, y, groups = np.tile(X, (2, 1)), np.tile(flip(y, [3]), 2), np.tile(np.arange(200), 2)

    class Spy(GaussianNB):
        def fit(self, X, y):
            fitted.append({row.tobytes() for row in X})
            return super().fit(X, y)

        def predict_proba(self, X):
            assert not fitted[-1] & {row.tobytes() for row in X}
            return super().predict_proba(X)

    fitted = []
    result = label_errors(Spy(), X, y, groups=groups, random_state=0)
    assert {3, 203} <= set(result.rows.tolist())
    label_errors(Spy(), X, y, groups=groups, cv=GroupKFold(4))


def test_text_without_findings():
    X = np.repeat([[0.0], [10.0]], 20, axis=0)
    X += np.random.default_rng(0).normal(size=X.shape)
    result = label_errors(
        GaussianNB(), X, np.repeat(["a", "b"], 20), cv=KFold(4, shuffle=True)
    )
    assert "No label of 40 rows looks wrong." in str(result)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 10, "y holds the one class"),
        (["a"] * 8 + ["b"] * 2, "The smallest class has 2 rows, and cv=None makes 5 folds"),
    ],
)
def test_too_few_rows_of_a_class_are_refused(y, message):
    X = np.arange(10.0)[:, None]
    with pytest.raises(ValueError, match=message):
        label_errors(GaussianNB(), X, y)


def test_missing_package_is_named_with_its_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("cleanlab")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn-transfer\[quality\]"'):
        label_errors(GaussianNB(), [[0.0], [1.0]], [0, 1])
