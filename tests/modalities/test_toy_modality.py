"""A modality of a few lines: reader, spec and registry entry are all that it needs."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures, rank_backbones
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.payloads import PayloadFormat
from sklearn_transfer._modalities.readers import Reader
from sklearn_transfer._modalities.spec import Spec
from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.layout import Layout, list_children
from sklearn_transfer._networks.registry import clear_registry, register_loader
from sklearn_transfer._store.digests import digest
from sklearn_transfer.finetuning.freezing.prefix import PayloadReader

WORDS = ["", "red", "green", "blue", "cat", "dog", "fish", "bird"]
LENGTH = 6


class WordFormat(PayloadFormat):
    """Numbers of words, padded with zeros, and a mask of what is no padding."""

    def to_input(self, batch):
        return dict(batch)

    def example(self, n, signature):
        ids = np.random.default_rng(0).integers(1, len(WORDS), (n, LENGTH))
        return {"attention_mask": np.ones((n, LENGTH), np.int64), "input_ids": ids}


class WordReader(Reader):
    """Texts of known words to their numbers."""

    key, unit, format = "words", "text", WordFormat()
    input_source = "as all texts are"

    def known_digest(self, sample):
        return None

    def read(self, sample, key=None):
        if not isinstance(sample, str):
            raise BadSampleError(f"is of type {type(sample).__name__}, expected a string")
        ids = [WORDS.index(word) for word in sample.split()][:LENGTH]
        return digest(ids), ids

    def prepare(self, content, note=None):
        padded = np.zeros(LENGTH, np.int64)
        padded[: len(content)] = content
        return {"input_ids": padded, "attention_mask": (padded > 0).astype(np.int64)}

    def find_signature(self, samples):
        return (("attention_mask", (LENGTH,), "<i8"), ("input_ids", (LENGTH,), "<i8"))


@dataclass(frozen=True)
class WordSpec(Spec):
    """What a network of words takes."""

    def reader(self, estimator):
        return WordReader()


class WordNet(nn.Module):
    """A table of embeddings and a layer, (n, positions, width)."""

    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(len(WORDS), 16), nn.Linear(16, 16)

    def forward(self, input_ids, attention_mask):
        return self.layer(self.table(input_ids))


def load_words(name, request):
    net = WordNet()
    layout = Layout(name, stages=list_children(net), has_classifier=False)
    return Backbone(Description(layout, WordSpec(), "a small table"), net)


# The modality ends here.

X = [f"{color} {animal}" for color in WORDS[1:4] for animal in WORDS[4:]] * 2
Y = np.array(["cat" in text for text in X])


@pytest.fixture(autouse=True)
def _words():
    register_loader("words/", load_words)
    clear_registry()


def test_features_are_means_over_what_is_no_padding():
    features = PretrainedFeatures("words/small", cache=None).fit(X)
    net = features._load_backbone().module
    found = features.transform(["red cat", "red cat red", "blue"])
    for row, ids in zip(found, ([1, 4], [1, 4, 1], [3]), strict=True):
        expected = net.layer(net.table(torch.tensor(ids))).mean(0).detach().numpy()
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["avg", "max", "gem"])
def test_padding_is_in_no_pooling(pooling):
    features = PretrainedFeatures("words/small", pooling=pooling, cache=None).fit(X)
    net = features._load_backbone().module
    found = features.transform(["red cat", ""])
    states = net.layer(net.table(torch.tensor([1, 4]))).detach()
    expected = {
        "avg": states.mean(0),
        "max": states.amax(0),
        "gem": states.clamp(min=1e-6).pow(3).mean(0).pow(1 / 3),
    }
    np.testing.assert_allclose(found[0], expected[pooling].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], 0.0, atol=1e-6)


@pytest.mark.parametrize("layers", [None, "table", ["shallow", "deep"]])
def test_layers_of_the_toy_modality_have_names(layers):
    features = PretrainedFeatures("words/small", layers=layers).fit(X)
    assert len(features.get_feature_names_out()) == features.transform(X).shape[1]


def test_each_text_passes_the_network_once_in_a_search(tmp_path):
    features = PretrainedFeatures("words/small", cache=str(tmp_path))
    pipe = make_pipeline(features, LogisticRegression())
    search = GridSearchCV(pipe, {"logisticregression__C": [1.0, 100.0]}, cv=3).fit(X, Y)
    assert search.best_score_ == 1.0
    assert features.cache_info().misses == len(set(X))


def test_bad_text_is_named():
    with pytest.raises(ValueError, match=r"row 1 .*expected a string"):
        PretrainedFeatures("words/small").fit_transform(["red", 3])


def test_bad_text_gives_a_row_of_nan():
    features = PretrainedFeatures("words/small", on_error="nan")
    with pytest.warns(UserWarning, match="1 of 2 samples"):
        found = features.fit_transform([None, "red"])
    assert np.isnan(found).all(axis=1).tolist() == [True, False]


@pytest.mark.parametrize("freeze", ["all", None])
@pytest.mark.parametrize("schedule", ["constant", "lp-ft"])
def test_fine_tuning_of_texts(freeze, schedule):
    model = FineTunedClassifier("words/small", freeze=freeze, schedule=schedule, max_epochs=20)
    model.set_params(lr=0.02).fit(X, Y)
    assert model.score(X, Y) == 1.0
    assert model.transform(X[:3]).shape == (3, 16)


def test_fine_tuned_texts_are_saved_and_loaded(tmp_path):
    model = FineTunedClassifier("words/small", freeze="all", max_epochs=1).fit(X, Y)
    model.save(tmp_path)
    found = FineTunedClassifier.load(tmp_path).predict_proba(X)
    np.testing.assert_array_equal(found, model.predict_proba(X))


def test_augmentation_of_texts_is_refused():
    with pytest.raises(ValueError, match="no augmentation is known .*'text'"):
        FineTunedClassifier("words/small", augment="flip").fit(X, Y)


class ShuffledWordReader(WordReader):
    """Words in another order are another view of a text."""

    def make_augmentation(self, augment):
        def draw_view(ids, seed):
            return self.prepare(np.random.default_rng(seed).permutation(ids))

        return draw_view

    def prepare_original(self, content, note=None):
        return np.array(content)


@pytest.mark.parametrize("n_views", [None, 2])
def test_views_of_texts_are_trained_on(n_views, monkeypatch):
    monkeypatch.setattr(WordSpec, "reader", lambda self, estimator: ShuffledWordReader())
    model = FineTunedClassifier(
        "words/small", augment="shuffle", n_views=n_views, max_epochs=20
    )
    assert model.set_params(freeze="all", lr=0.02).fit(X, Y).score(X, Y) == 1.0


def test_mixing_of_several_arrays_is_refused():
    model = FineTunedClassifier("words/small", max_epochs=1, mixup=0.2)
    with pytest.raises(ValueError, match="takes 'attention_mask', 'input_ids'"):
        model.fit(X, Y)


def test_ready_payloads_take_the_key_of_any_reader():
    assert PayloadReader(WordReader()).key == b"wordspayload"


def test_ranking_of_texts():
    ranking = rank_backbones("words/small", X, Y, layers=["table", None], cv=3)
    assert [row.problem for row in ranking.candidates] == [None, None]
    assert ranking.best.cv_mean == 1.0
