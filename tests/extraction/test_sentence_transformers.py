"""The default network of texts against sentence-transformers itself."""

import numpy as np
import pytest

from sklearn_transfer import PretrainedTextFeatures
from sklearn_transfer._networks.text_sources import find_packaged_folder

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:In .* texts, first in row")]

WORDS = {
    "English": "the a of good bad film don't it's neural-network café $5.99 @user http://x.y/z",
    "German": "Straße Übermut schön Mädchen Donaudampfschifffahrt nicht äußerst größer und",
    "right to left": "שלום עולם مرحبا بالعالم كيف حالك",
    "no spaces": "你好 世界 深度 学习 東京 데이터",
}
ODD = [
    "",
    " ",
    "a",
    "Z",
    "🙂",
    "👨‍👩‍👧‍👦🏳️‍🌈",
    "nul\0byte",
    "\0",
    "\n\t",
    "word " * 2000,
    "x" * 5000,
]
ODD += ["\uff41\uff42\uff43", "e\u0301", "\u202eabc", "[CLS] [SEP] [MASK]", "a\u200bb"]


@pytest.fixture(scope="module")
def texts():
    rng, texts = np.random.default_rng(0), list(ODD)
    for words in WORDS.values():
        lengths = np.concatenate([rng.integers(1, 40, 40), rng.integers(100, 400, 6)])
        texts += [" ".join(rng.choice(words.split(), n)) for n in lengths]
    return texts


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(find_packaged_folder("all-MiniLM-L6-v2")), device="cpu")


@pytest.fixture(scope="module")
def encoded(theirs, texts):
    return theirs.encode(texts)


def assert_rows(found, expected, tolerance):
    assert np.linalg.norm(found - expected, axis=1).max() < tolerance


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
def test_rows_equal_those_of_sentence_transformers(texts, encoded, engine):
    assert len(texts) == 200
    features = PretrainedTextFeatures(cache=None, engine=engine)
    assert_rows(features.fit_transform(texts), encoded, 1e-5)
    alone = np.vstack([features.transform([text]) for text in texts[::20]])
    assert_rows(alone, encoded[::20], 1e-5)


def test_module_of_sentence_transformers_is_taken(theirs, texts, encoded):
    features = PretrainedTextFeatures(theirs, cache=None, engine="torch")
    assert_rows(features.fit_transform(texts[:40]), encoded[:40], 1e-5)


def test_empty_prompt_of_a_module_is_known_by_its_name(theirs, texts, monkeypatch):
    monkeypatch.setattr(theirs, "prompts", {"query": "find: ", "document": ""})
    features = PretrainedTextFeatures(theirs, cache=None, engine="torch")
    for name in theirs.prompts:
        expected = theirs.encode(texts[:20], prompt_name=name)
        found = features.set_params(prompt=name).fit_transform(texts[:20])
        assert_rows(found, expected, 1e-5)


@pytest.mark.filterwarnings("ignore:In 1 of 1 texts")
def test_module_that_cuts_at_the_left_is_taken(theirs, monkeypatch):
    long = " ".join(["red cat"] * 200 + ["green dog"] * 100)
    monkeypatch.setattr(theirs.tokenizer, "truncation_side", "left")
    features = PretrainedTextFeatures(theirs, cache=None, engine="torch")
    assert_rows(features.fit_transform([long]), theirs.encode([long]), 1e-5)
