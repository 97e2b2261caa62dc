"""A long text that is passed as a name is shortened in every message."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures, negative_transfer_test
from sklearn_transfer._validation import shorten, suggest_near
from sklearn_transfer.datasets import load_photo_crops
from tests import small_networks

LONG = "a word " * 30_000
MANY = list(range(50_000))
TINY = {"model": "test_resnet", "weights": None}
Y = np.arange(9) % 2


def said(action):
    """Return the texts of the error and the warnings of an action."""
    texts = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            action()
        except Exception as error:
            texts += [str(error), *getattr(error, "__notes__", ())]
    return [*texts, *(str(warning.message) for warning in caught)]


EXTRACTORS = {
    "model": {"model": LONG},
    "torchvision": {"model": f"torchvision/{LONG}"},
    "tag": {"model": f"test_resnet.{LONG}"},
    "hub": {"model": f"hf-hub:someone/{LONG}"},
    "hub name": {"model": f"hf-hub:{LONG.replace(' ', '')}"},
    "weights": {**TINY, "weights": LONG},
    "weights of a module": {"model": small_networks.CountingNet(), "weights": LONG},
    "null": {**TINY, "weights": "a\0b" * 60_000},
    "safetensors": {**TINY, "weights": f"{LONG}.safetensors"},
    "cache": {**TINY, "cache": LONG},
    "layers": {**TINY, "layers": LONG},
    "list of layers": {**TINY, "layers": [LONG]},
    "layers twice": {**TINY, "layers": ["deep"] * 60_000},
    "pooling": {**TINY, "pooling": LONG},
    "device": {**TINY, "device": LONG},
    "size": {**TINY, "input_size": tuple(MANY)},
    "background": {**TINY, "background": LONG},
    "range": {**TINY, "value_range": tuple(MANY)},
}


@pytest.mark.parametrize("name", EXTRACTORS)
def test_extractors_shorten_what_they_got(name, crops, offline):
    texts = said(lambda: PretrainedFeatures(**EXTRACTORS[name]).fit(crops).transform(crops))
    assert texts
    assert max(map(len, texts)) < 2500


TUNERS = {
    **EXTRACTORS,
    "freeze": {**TINY, "freeze": LONG},
    "patterns": {**TINY, "freeze": [LONG]},
    "augment": {**TINY, "augment": LONG},
    "tasks": {**TINY, "tasks": [{LONG: 1}]},
    "names of tasks": {**TINY, "tasks": [{"name": LONG}, {"name": LONG}]},
    "entries": {**TINY, "tasks": MANY},
    "kinds": {**TINY, "tasks": [{"kind": LONG}]},
    "classes": {**TINY, "class_weight": dict.fromkeys(MANY, -1)},
    "net_params": {**TINY, "net_params": {f"module__{LONG}": 1}},
    "callbacks": {**TINY, "callbacks": [LONG]},
    "preprocess": {**TINY, "augment": "flip", "preprocess": None},
}


@pytest.mark.parametrize(
    "name",
    [n for n in TUNERS if n not in ("layers", "list of layers", "layers twice", "pooling")],
)
def test_fine_tuners_shorten_what_they_got(name, crops, offline):
    options = {**TUNERS[name], "max_epochs": 1, "engine": "torch"}
    if "value_range" in options:
        options = {"model": PretrainedFeatures(**TUNERS[name]), "max_epochs": 1}
    texts = said(lambda: FineTunedClassifier(**options).fit(crops, Y))
    assert texts
    assert max(map(len, texts)) < 2500


def test_a_fine_tuner_shortens_what_its_model_got_twice(crops):
    model = FineTunedClassifier(PretrainedFeatures(**TINY), weights=LONG)
    (text,) = said(lambda: model.fit(crops, Y))
    assert len(text) < 1000


OTHERS = {
    "classes": lambda: load_photo_crops(classes=[LONG]),
    "shift": lambda: load_photo_crops(shift=LONG),
    "baseline": lambda: negative_transfer_test(LogisticRegression(), LONG, np.eye(9), Y),
    "mapping": lambda: PretrainedFeatures(**{**TINY, "weights": {LONG: 3}}).fit([]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_shorten_what_they_got(name):
    texts = said(OTHERS[name])
    assert texts
    assert max(map(len, texts)) < 2500


@pytest.mark.parametrize("value", ["short", b"short", 3, None, ["a", 1], {"a": 1}])
def test_short_values_are_shown_as_they_are(value):
    assert shorten(value) == repr(value)


@pytest.mark.parametrize("value", [LONG, LONG.encode(), MANY, dict.fromkeys(MANY)])
def test_both_ends_of_long_values_are_shown(value):
    text = shorten(value, 40)
    assert len(text) < 80
    assert "..." in text
    assert text[:10] == repr(value)[:10]


def test_texts_are_like_no_name():
    assert suggest_near(LONG, [LONG]) == ""
