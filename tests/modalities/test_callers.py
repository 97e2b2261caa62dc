"""Messages recommend options that the estimator which the user called takes."""

import warnings

import numpy as np
import pytest

from sklearn_transfer import (
    AutoencoderFeatures,
    FineTunedClassifier,
    PretrainedFeatures,
    PretrainedTextFeatures,
)
from sklearn_transfer._modalities.callers import Caller
from tests.small_networks import trained_net
from tests.small_texts import write_bert

LONG = ["red cat dog fish is blue"] * 4
SHORT_RUN = {"max_epochs": 1, "engine": "torch", "freeze": "all"}
DARK = np.full((4, 32, 32, 3), 1000, dtype=np.uint16)
DARK[:, ::2] += 50
CLASSES = [0, 1, 0, 1]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(write_bert(tmp_path_factory.mktemp("networks") / "bert"))


def read_warning(function, words):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        function()
    [message] = [str(w.message) for w in told if words in str(w.message)]
    return message


def test_features_of_texts_recommend_windows(bert):
    features = PretrainedTextFeatures(bert, max_length=4)
    message = read_warning(lambda: features.fit_transform(LONG), "beyond max_length=4")
    assert "In PretrainedTextFeatures(...), long_text='windows' averages" in message


@pytest.mark.parametrize("freeze", ["all", "middle", None])
def test_fine_tuners_recommend_no_windows(freeze, bert):
    model = FineTunedClassifier(
        PretrainedTextFeatures(bert, max_length=4), **{**SHORT_RUN, "freeze": freeze}
    )
    message = read_warning(lambda: model.fit(LONG, CLASSES), "beyond max_length=4")
    assert "In model=PretrainedTextFeatures(...), a larger max_length" in message
    assert "windows" not in message


def test_fine_tuners_of_a_named_network_say_where_the_option_is(bert):
    model = FineTunedClassifier(bert, **SHORT_RUN)
    texts = ["red " * 30] * 4
    message = read_warning(lambda: model.fit(texts, CLASSES), "beyond max_length")
    assert (
        "In model=PretrainedTextFeatures(...), a larger max_length costs time, and" in message
    )


def test_no_larger_length_is_recommended_than_the_network_takes(bert):
    features = PretrainedTextFeatures(bert, max_length=20)
    message = read_warning(lambda: features.fit_transform(["red " * 30]), "max_length=20")
    assert "a larger max_length" not in message


def test_a_long_text_of_a_fine_tuner_is_refused_without_windows(bert):
    features = PretrainedTextFeatures(bert, max_length=4, long_text="raise")
    with pytest.raises(ValueError, match=r"long_text='truncate' takes longer texts"):
        FineTunedClassifier(features, **SHORT_RUN).fit(LONG, CLASSES)


def test_a_length_beyond_the_network_is_refused_without_windows(bert):
    model = FineTunedClassifier(PretrainedTextFeatures(bert, max_length=99), **SHORT_RUN)
    with pytest.raises(ValueError, match=r"takes 20 tokens at most$"):
        model.fit(LONG, CLASSES)


def test_features_of_images_name_their_option():
    features = PretrainedFeatures(trained_net())
    message = read_warning(lambda: features.fit_transform(DARK), "nearly black")
    assert "Pass PretrainedFeatures(value_range=(0, 2047))" in message


def test_fine_tuners_name_the_estimator_that_has_the_option():
    model = FineTunedClassifier(trained_net(), **SHORT_RUN)
    message = read_warning(lambda: model.fit(DARK, CLASSES), "nearly black")
    assert "Pass model=PretrainedFeatures(value_range=(0, 2047))" in message


def test_autoencoders_name_their_own_option():
    model = AutoencoderFeatures(2, max_epochs=1, input_size=32)
    message = read_warning(lambda: model.fit(DARK), "nearly black")
    assert "Pass AutoencoderFeatures(value_range=(0, 2047))" in message


def test_autoencoders_recommend_no_network_of_other_channels():
    images = np.zeros((3, 32, 32, 5), dtype=np.uint8)
    with pytest.raises(ValueError, match="five|channels") as caught:
        AutoencoderFeatures(2, max_epochs=1).fit(images)
    assert "AutoencoderFeatures(value_range=None)" in str(caught.value)
    assert "n_channels" not in str(caught.value)


def test_an_option_is_refused_by_name_or_by_value():
    caller = Caller("X", refused=("n_channels", "long_text='windows'"))
    options = "n_channels=4", "long_text='windows'", "long_text='raise'"
    assert [caller.takes(option) for option in options] == [False, False, True]
