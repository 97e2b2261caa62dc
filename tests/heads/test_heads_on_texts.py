"""Heads on features of texts, with a small network and with the default one."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedTextFeatures, PrototypeClassifier, ZeroShotClassifier
from tests import small_texts

X = ["red cat", "blue fish", "green cat is red", "fish is blue blue", "cat", "red fish fish"]
Y = ["cat", "fish", "cat", "fish", "cat", "fish"]
MEANT = [
    "The goalkeeper saved a penalty.",
    "Add the onions and fry them.",
    "Shares fell by 3 %.",
]
TOPICS = ["sports", "cooking", "finance"]


@pytest.fixture
def features(tmp_path):
    folder = small_texts.write_bert(tmp_path / "net")
    return PretrainedTextFeatures(str(folder), engine="torch")


def test_one_text_per_class_makes_prototypes(features):
    model = make_pipeline(features, PrototypeClassifier(metric="cosine", center=None))
    model.fit(X[:2], Y[:2])
    embedded = features.transform(X)
    nearest = (embedded @ embedded[:2].T).argmax(axis=1)
    assert model.predict(X).tolist() == [Y[k] for k in nearest]


def test_prototypes_of_texts_can_be_searched(features):
    model = make_pipeline(features, PrototypeClassifier())
    grid = {"pretrainedtextfeatures__pooling": ["avg", "cls"]}
    assert GridSearchCV(model, grid, cv=2).fit(X, Y).predict(X).shape == (6,)


def test_classes_of_texts_are_known_by_their_descriptions(features):
    described = features.fit_transform(["cat", "fish"])
    model = make_pipeline(features, ZeroShotClassifier(method="cosine"))
    attributes = dict(zip(["cat", "fish"], described, strict=True))
    model.fit(X, zeroshotclassifier__attributes=attributes)
    cosines = features.transform(X) @ described.T
    expected = np.array(["cat", "fish"])[cosines.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.slow
def test_topics_are_recognized_by_their_names():
    features = PretrainedTextFeatures()
    names = [f"This text is about {topic}." for topic in TOPICS]
    attributes = dict(zip(TOPICS, features.fit_transform(names), strict=True))
    model = make_pipeline(features, ZeroShotClassifier(method="cosine"))
    model.fit(MEANT, zeroshotclassifier__attributes=attributes)
    assert model.predict(MEANT).tolist() == TOPICS
