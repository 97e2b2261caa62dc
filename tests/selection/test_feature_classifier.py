import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.decomposition import PCA

from sklearn_transfer.selection._feature_classifier import (
    CommonUnitScaler,
    build_feature_classifier,
    find_different_units,
)


def test_the_first_principal_component_gets_deviation_one():
    X = np.random.default_rng(0).normal(size=(50, 4)) @ np.diag([5, 2, 1, 0.1]) + 3
    scaler = CommonUnitScaler().fit(X)
    assert scaler.unit_**2 == pytest.approx(PCA().fit(X).explained_variance_[0] * 49 / 50)
    np.testing.assert_allclose(scaler.transform(X), (X - X.mean(axis=0)) / scaler.unit_)


def test_rows_that_are_equal_are_centered_only():
    scaler = CommonUnitScaler().fit(np.full((3, 2), 7.0))
    assert scaler.unit_ == 1
    assert (scaler.transform([[8, 7]]) == [[1, 0]]).all()


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_units_of_any_size_are_divided_by(scale):
    X = np.random.default_rng(0).normal(size=(20, 3))
    expected = CommonUnitScaler().fit_transform(X)
    np.testing.assert_allclose(CommonUnitScaler().fit_transform(scale * X), expected)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_columns_of_tables_in_different_units_are_found(load):
    assert find_different_units(*load(return_X_y=True), np.random.RandomState(0))


def test_columns_of_one_unit_are_left():
    assert not find_different_units(*load_iris(return_X_y=True), np.random.RandomState(0))


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 2], [0, 0, 0, 1]])
def test_few_rows_say_nothing(labels):
    X = np.random.default_rng(0).normal(size=(len(labels), 2)) * [1, 1e6]
    assert not find_different_units(X, np.array(labels), np.random.RandomState(0))


def test_features_that_vary_in_other_domains_only_are_not_enlarged():
    """A feature that is nearly constant in the rows of fit would decide predictions."""
    rng = np.random.default_rng(0)
    codes = np.arange(100) % 2
    X = np.column_stack([4.0 * codes, np.zeros(100)]) + rng.normal(0, [1, 1e-3], (100, 2))
    X[:, 1] += 1e-3 * codes
    model = build_feature_classifier().fit(X, codes)
    assert (
        model.score(X + np.column_stack([np.zeros(100), rng.normal(0, 1, 100)]), codes) > 0.9
    )
