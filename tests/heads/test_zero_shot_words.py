"""Classes that are described in words, which an estimator turns into vectors."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize

from sklearn_transfer import PretrainedTextFeatures, ZeroShotClassifier
from tests import small_texts

X = ["red cat", "blue fish", "green cat is red", "fish is blue blue", "cat", "red fish fish"]
Y = ["cat", "fish", "cat", "fish", "cat", "fish"]
PROMPTS = {"cat": ["cat", "red cat"], "dog": "green dog", "fish": ("fish", "blue fish", "is")}


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    folder = small_texts.write_bert(tmp_path_factory.mktemp("networks") / "net")
    return PretrainedTextFeatures(str(folder), engine="torch")


@pytest.fixture
def rows(features):
    return features.fit_transform(X)


def embed_prompts(features):
    """Mean of the vectors of the texts of each class, computed one by one."""
    found = {}
    for label, texts in PROMPTS.items():
        texts = [texts] if isinstance(texts, str) else list(texts)
        vectors = [features.fit_transform([text])[0] for text in texts]
        found[label] = np.mean([v / np.linalg.norm(v) for v in vectors], axis=0)
    return found


@pytest.mark.parametrize("method", ["cosine", "eszsl"])
def test_texts_of_a_class_are_averaged(features, rows, method):
    by_words = ZeroShotClassifier(method, describer=features).fit(rows, Y, attributes=PROMPTS)
    by_vectors = ZeroShotClassifier(method).fit(rows, Y, attributes=embed_prompts(features))
    expected = by_vectors.predict_proba(rows)
    np.testing.assert_allclose(by_words.predict_proba(rows), expected, atol=1e-5)


class Scaled(TfidfVectorizer):
    """Vectors of other lengths."""

    def transform(self, texts):
        return super().transform(texts) * 7.0


def test_lengths_of_vectors_do_not_count(rows):
    models = [
        ZeroShotClassifier(describer=describer, normalize=False, gamma=1.0, alpha=1.0)
        for describer in (TfidfVectorizer(), Scaled())
    ]
    models = [model.fit(rows, Y, attributes=PROMPTS) for model in models]
    scores = [model.decision_function(rows) for model in models]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6)


WORDS = ["cat", "dog", "fish"]
LISTS = {
    "list": WORDS,
    "tuple": tuple(WORDS),
    "array": np.array(WORDS),
    "objects": np.array(WORDS, dtype=object),
    "mapping": {word: word for word in WORDS},
    "pair": (WORDS, WORDS),
    "series": pd.Series(WORDS, index=WORDS),
    "column": pd.DataFrame({"text": WORDS}, index=WORDS),
    "strings": pd.Series(WORDS, index=WORDS, dtype="string"),
}


@pytest.mark.parametrize("form", LISTS)
def test_words_of_any_form(features, rows, form):
    model = ZeroShotClassifier("cosine", describer=features)
    model.fit(rows, attributes=LISTS[form])
    vectors = normalize(features.fit_transform(WORDS))
    expected = np.array(WORDS)[(normalize(rows) @ vectors.T).argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(rows), expected)


GROUPS = [["cat", "red cat"], ["green dog"], ["fish", "blue fish", "is"]]


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series], ids=lambda k: k.__name__)
@pytest.mark.parametrize("is_pair", [True, False], ids=["pair", "mapping"])
def test_lists_of_texts_have_any_form_and_length(features, rows, kind, is_pair):
    groups = [kind(group) for group in GROUPS]
    given = (groups, WORDS) if is_pair else dict(zip(WORDS, groups, strict=True))
    model = ZeroShotClassifier("cosine", describer=features).fit(rows, attributes=given)
    expected = clone(model).fit(rows, attributes=PROMPTS).decision_function(rows)
    np.testing.assert_allclose(model.decision_function(rows), expected, atol=1e-6)


def test_two_names_are_no_pair_of_vectors_and_labels(features, rows):
    model = ZeroShotClassifier("cosine", describer=features)
    assert model.fit(rows, attributes=("fish", "cat")).classes_.tolist() == ["cat", "fish"]


def test_labels_may_be_numbers(features, rows):
    model = ZeroShotClassifier("cosine", describer=features)
    model.fit(rows, [0, 1] * 3, attributes={0: "cat", 1: ["fish", "is"], 7: "dog"})
    assert model.classes_.tolist() == [0, 1, 7]


def test_words_may_be_given_after_fit(features, rows):
    model = ZeroShotClassifier("cosine", describer=features)
    model.fit(rows, attributes=["cat", "dog"])
    found = model.predict(rows, ["blue fish", "red cat"])
    refitted = clone(model).fit(rows, attributes=["blue fish", "red cat"])
    np.testing.assert_array_equal(found, refitted.predict(rows))


def test_words_may_follow_vectors(features, rows):
    model = ZeroShotClassifier("cosine", describer=features)
    model.fit(rows, attributes=embed_prompts(features))
    assert not hasattr(model, "describer_")
    assert model.predict(rows, WORDS).shape == (6,)


def test_vectors_may_follow_words(features, rows):
    model = ZeroShotClassifier("cosine", describer=features).fit(rows, attributes=PROMPTS)
    found = model.predict(rows, embed_prompts(features))
    np.testing.assert_array_equal(found, model.predict(rows))


def test_second_fit_forgets_the_describer_of_the_first(rows):
    model = ZeroShotClassifier(describer=TfidfVectorizer())
    model.fit(rows, Y, attributes={"cat": "cat", "fish": "fish"})
    model.fit(rows, Y, attributes={"cat": "cat", "fish": "fish of the sea"})
    assert sorted(model.describer_.vocabulary_) == ["cat", "fish", "of", "sea", "the"]


def test_describer_is_cloned(features, rows):
    model = ZeroShotClassifier("cosine", describer=clone(features))
    model.fit(rows, attributes=WORDS)
    assert not hasattr(model.describer, "weights_sha256_")
    assert model.describer_.weights_sha256_


def test_fitted_describer_is_used_as_it_is():
    counts = make_pipeline(TfidfVectorizer(), TruncatedSVD(3, random_state=0)).fit(X)
    model = ZeroShotClassifier("cosine", describer=FrozenEstimator(counts))
    model = make_pipeline(FrozenEstimator(counts), model)
    model.fit(X, zeroshotclassifier__attributes=["cat", "fish"])
    assert model.score(X, Y) == 1.0


def test_words_travel_through_searches(features):
    model = make_pipeline(features, ZeroShotClassifier(describer=features))
    grid = {
        "zeroshotclassifier__gamma": [0.1, 1.0],
        "pretrainedtextfeatures__pooling": ["avg"],
    }
    search = GridSearchCV(model, grid, cv=2)
    search.fit(X, Y, zeroshotclassifier__attributes=PROMPTS)
    assert set(search.predict(X)) <= set(PROMPTS)


def test_pickle_takes_words(features, rows):
    model = ZeroShotClassifier("cosine", describer=features).fit(rows, attributes=WORDS)
    copy = pickle.loads(pickle.dumps(model))
    found = copy.predict(rows, ["green", "blue"])
    np.testing.assert_array_equal(found, model.predict(rows, ["green", "blue"]))


def test_words_without_describer_say_what_to_pass(rows):
    message = "holds texts, such as 'cat', and describer=None: pass describer=Pretrained"
    with pytest.raises(ValueError, match=message):
        ZeroShotClassifier("cosine").fit(rows, attributes=WORDS)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"cat": "cat", "dog": [0.1] * 16},
            "describes 'dog' by 0.1, and other classes by text",
        ),
        ({"cat": ["cat", None]}, "describes 'cat' by None, and other classes by texts"),
        ({"cat": "cat", "dog": []}, "describes 'dog' by no text: give at least one"),
        (["cat", "cat"], "describes 'cat' more than once"),
        ([], "attributes is of type list; expected a mapping"),
        ("cat", "attributes is of type str; expected a mapping"),
        (("cat", "dog", 3), "describes 3, of type int, beside labels that are strings"),
        ({"cat": "cat", 1: "dog"}, "describes 1, of type int, beside labels that are strings"),
        ({"cat": "cat", None: "dog"}, "the label None, which is a missing value"),
        ({"cat": "cat", np.nan: "dog"}, "the label nan, which is a missing value"),
        ({"cat": "cat", pd.NA: "dog"}, "the label <NA>, which is a missing value"),
        ({"cat": None, "dog": None}, "describes a class by None: give a vector, or a text"),
        ({"cat": b"cat", "dog": b"dog"}, "describes a class by b'cat': give a vector, or"),
    ],
    ids=[
        *("vector", "missing", "empty", "twice", "nothing", "string", "number"),
        *("mixture", "none", "nan", "na", "no text", "bytes"),
    ],
)
def test_words_that_do_not_fit_are_refused(features, rows, attributes, message):
    model = ZeroShotClassifier("cosine", describer=features)
    with pytest.raises(ValueError, match=message):
        model.fit(rows, attributes=attributes)


def test_words_in_another_space_are_refused(rows):
    model = ZeroShotClassifier("cosine", describer=TfidfVectorizer())
    with pytest.raises(ValueError, match="attributes has vectors of length 3, and X has 16"):
        model.fit(rows, attributes=WORDS)


def test_describer_that_gives_nan_is_refused(features, rows):
    class Broken(TfidfVectorizer):
        def transform(self, texts):
            return np.full((len(texts), 16), np.nan)

    with pytest.raises(ValueError, match="output of describer contains NaN"):
        ZeroShotClassifier("cosine", describer=Broken()).fit(rows, attributes=WORDS)


def test_describer_needs_transform(rows):
    with pytest.raises(ValueError, match="The 'describer' parameter"):
        ZeroShotClassifier("cosine", describer="all-MiniLM-L6-v2").fit(rows, attributes=WORDS)
