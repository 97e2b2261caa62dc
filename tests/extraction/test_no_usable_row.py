"""Calls in which no row can be used, with on_error="nan"."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedFeatures
from tests import small_networks
from tests.small_networks import trained_net

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 40, 40, 3), dtype=np.uint8)
Y = np.arange(8) % 2
pytestmark = pytest.mark.filterwarnings("ignore:.*cannot be used and give rows of NaN")


def to_input(image):
    return np.asarray(image.resize((32, 32)), dtype=np.float32).transpose(2, 0, 1) / 255


def extractor(**options):
    return PretrainedFeatures(trained_net(), cache=None, on_error="nan", **options)


@pytest.mark.parametrize("layers", [None, "middle", ["shallow", None]])
@pytest.mark.parametrize("engine", ["torch", "auto"])
def test_rows_are_as_wide_as_beside_a_good_one(layers, engine):
    estimator = extractor(layers=layers, engine=engine)
    beside = estimator.transform([IMAGES[0], None])
    alone = estimator.transform([None])
    assert alone.dtype == np.float32
    np.testing.assert_array_equal(alone, beside[1:])


def test_it_is_told():
    with pytest.warns(UserWarning, match=r"1 of 1 samples .* NaN; .* row 0 .*missing"):
        extractor().transform([None])


def test_one_bad_record_is_predicted():
    pipe = make_pipeline(extractor(), HistGradientBoostingClassifier())
    pipe.fit(list(IMAGES), Y)
    assert pipe.predict([None]).shape == (1,)
    assert pipe.predict_proba(["no such file"]).shape == (1, 2)


def test_leave_one_out_over_a_bad_row():
    samples = [*IMAGES[:7], None]
    pipe = make_pipeline(extractor(), HistGradientBoostingClassifier())
    assert cross_val_predict(pipe, samples, Y, cv=LeaveOneOut()).shape == (8,)


def test_table_of_bad_rows():
    estimator = PretrainedFeatures(
        small_networks.mlp, preprocess=None, on_error="nan", cache=None
    )
    estimator.fit(np.eye(4, 3))
    found = estimator.transform(np.full((2, 3), np.nan))
    assert found.shape == (2, len(estimator.get_feature_names_out()))
    assert np.isnan(found).all()


def test_table_of_bad_rows_without_fit():
    estimator = PretrainedFeatures(
        small_networks.mlp, preprocess=None, on_error="nan", cache=None
    )
    assert np.isnan(estimator.transform(np.full((2, 3), np.nan))).all()


def test_names_without_a_usable_sample_in_fit_are_refused():
    estimator = extractor(preprocess=to_input).fit([None])
    with pytest.raises(NotFittedError, match="no sample that can be used"):
        estimator.get_feature_names_out()


def test_callable_knows_its_width_from_fit():
    estimator = extractor(preprocess=to_input).fit(list(IMAGES))
    good = estimator.transform(IMAGES[:1])
    assert estimator.transform([None, None]).shape == (2, good.shape[1])


def test_callable_that_never_saw_a_good_row_says_so():
    with pytest.raises(ValueError, match=r"None of the 1 samples can be .*Call fit with"):
        extractor(preprocess=to_input).transform([None])


def test_fit_of_bad_rows_alone_is_possible():
    estimator = extractor().fit([None])
    assert estimator.transform(IMAGES).shape == (8, len(estimator.get_feature_names_out()))


def test_precompute_of_bad_rows_warns():
    estimator = PretrainedFeatures(trained_net(), on_error="nan")
    with pytest.warns(UserWarning, match="2 of 2 samples cannot be used"):
        estimator.precompute([None, "no such file"])


def test_bad_rows_still_raise_where_errors_are_to_be_raised():
    with pytest.raises(ValueError, match=r"row 0 .*missing value"):
        PretrainedFeatures(trained_net(), cache=None).transform([None])
