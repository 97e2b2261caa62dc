import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    FineTunedClassifier,
    PretrainedFeatures,
    to_onnx,
)


def assert_refused(fitted, tmp_path, message, error=ValueError, **options):
    with pytest.raises(error, match=message):
        to_onnx(fitted, tmp_path / "model.onnx", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"on_error": "nan"}, r"PretrainedFeatures\(on_error='nan'\) .* set on_error='raise'"),
        ({"precision": "bfloat16"}, "set precision='float32'"),
    ],
)
def test_what_a_file_would_not_reproduce_is_refused(pipe, pictures, tmp_path, params, message):
    fitted = PretrainedFeatures("test_resnet", weights=None, input_size=32, **params)
    assert_refused(fitted.fit(pictures[0]), tmp_path, message)


def test_callables_are_refused(pictures, tmp_path):
    def read(image):
        return np.moveaxis(np.asarray(image, dtype=np.float32), 2, 0)

    fitted = PretrainedFeatures("test_resnet", weights=None, preprocess=read)
    assert_refused(
        fitted.fit(pictures[0]), tmp_path, "a callable as preprocess, which ONNX cannot"
    )


def test_several_columns_are_refused(pipe, tmp_path):
    columns = ColumnTransformer([("picture", pipe[0], "path")])
    assert_refused(
        make_pipeline(columns, Ridge()), tmp_path, "ColumnTransformer.* several columns"
    )


def test_what_wraps_a_network_is_named(pipe, pictures, tmp_path):
    fitted = CalibratedClassifierCV(pipe, cv=2).fit(*pictures)
    assert_refused(
        fitted, tmp_path, "CalibratedClassifierCV has no conversion around a Pretrained"
    )


def test_pipelines_without_a_network_are_refused(tmp_path):
    fitted = make_pipeline(StandardScaler(), Ridge()).fit([[0.0], [1.0]], [0, 1])
    assert_refused(
        fitted, tmp_path, "Step 'standardscaler', .* the first step of what is exported"
    )


def test_searches_without_a_refit_are_refused(pipe, pictures, tmp_path):
    search = GridSearchCV(pipe, {"logisticregression__C": [1]}, cv=2, refit=False)
    assert_refused(search.fit(*pictures), tmp_path, "refit=False")


class OneSize(torch.nn.Module):
    def forward(self, rows):
        return rows.reshape(len(rows), 2, -1).sum(2)


class NoConversion(torch.nn.Module):
    def forward(self, rows):
        return torch.special.bessel_j0(rows)


def test_networks_for_one_size_of_batches_are_refused(tmp_path):
    fitted = PretrainedFeatures(OneSize(), preprocess=None).fit(np.zeros((3, 4), np.float32))
    message = "does not run for any number of samples.* `len"
    assert_refused(fitted, tmp_path, message, ArithmeticError)
    assert_refused(fitted, tmp_path, message, ArithmeticError, X=np.ones((1, 4), np.float32))


def test_networks_without_a_conversion_are_refused(tmp_path):
    fitted = PretrainedFeatures(NoConversion(), preprocess=None)
    message = "NoConversion cannot be converted to ONNX .*bessel_j0"
    assert_refused(fitted.fit(np.zeros((3, 4), np.float32)), tmp_path, message)


def test_input_size_is_for_pictures(tmp_path):
    X = np.zeros((3, 4), np.float32)
    fitted = PretrainedFeatures(torch.nn.Linear(4, 2), preprocess=None).fit(X)
    assert_refused(fitted, tmp_path, "input_size=8 is for pictures", input_size=8)


@pytest.mark.parametrize("thing", [None, PretrainedFeatures, "model"])
def test_only_estimators_are_exported(tmp_path, thing):
    assert_refused(thing, tmp_path, "takes a fitted estimator, got", TypeError)


@pytest.mark.parametrize("estimator", [PretrainedFeatures(), FineTunedClassifier()])
def test_estimators_must_be_fitted(tmp_path, estimator):
    assert_refused(estimator, tmp_path, "is not fitted yet")
