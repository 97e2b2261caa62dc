"""Tests of wrong labels, which are planted."""

import json
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
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
        (["a"] * 8 + ["b"] * 2, "Class 'b' has 2 of the 10 rows.*: pass cv=2 or fewer"),
        (["a"] * 9 + ["b"], "Class 'b' has 1 of the 10 rows.*: leave it out"),
        (["a"] * 8 + [None] * 2, r"y has no label in 2 rows, \[8, 9\]: pass the rows"),
        ([], "y is empty"),
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


def test_class_that_a_fold_does_not_train_on_is_refused(digits):
    X, y = digits
    by_class = np.argsort(y, kind="stable")
    with pytest.raises(ValueError, match="rows of fold 0 hold no row of class 0, so that"):
        label_errors(GaussianNB(), X[by_class], y[by_class], cv=KFold(4))


def test_a_number_of_folds_keeps_groups_together(digits):
    X, y = digits
    groups, fitted = np.arange(200) // 2, []

    class Spy(GaussianNB):
        def fit(self, X, y):
            fitted.append({row.tobytes() for row in X})
            return super().fit(X, y)

    label_errors(Spy(), X, y, groups=groups, cv=3)
    for rows in fitted:
        is_in = np.array([row.tobytes() in rows for row in X])
        np.testing.assert_array_equal(is_in[::2], is_in[1::2])
    with pytest.raises(ValueError, match="groups holds 3 groups.*: pass cv=3 or fewer"):
        label_errors(Spy(), X, y, groups=np.arange(200) % 3)


def test_weights_reach_the_fits(digits):
    X, y = digits
    weights = np.random.default_rng(0).random(200)
    cv = StratifiedKFold(3)
    result = label_errors(GaussianNB(), X, y, cv=cv, params={"sample_weight": weights})
    train, test = next(cv.split(X, y))
    model = GaussianNB().fit(X[train], y[train], weights[train])
    np.testing.assert_allclose(result.probabilities[test], model.predict_proba(X[test]))


@pytest.mark.parametrize("factor", [3, np.nan])
def test_numbers_that_are_no_probabilities_are_refused(digits, factor):
    class Unscaled(GaussianNB):
        def predict_proba(self, X):
            return super().predict_proba(X) * factor

    with pytest.raises(ValueError, match="expected probabilities that add up to 1: wrap"):
        label_errors(Unscaled(), *digits)
