import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tokenizers import Tokenizer

from sklearn_transfer import (
    FineTunedClassifier,
    PretrainedAudioFeatures,
    PretrainedFeatures,
    PretrainedTextFeatures,
)
from tests.small_sounds import WaveNet, make_noise, make_tone
from tests.small_texts import TokenTable

TEXTS = ["red cat", "green dog", "red", "green dog is fish", "red cat is red", "green"]
COLORS = [text.split()[0] for text in TEXTS]


@pytest.mark.filterwarnings("ignore:In 2 of 6 texts.*tokens beyond max_length=4 are cut")
@pytest.mark.parametrize(
    "options",
    [{}, {"prompt": "is "}, {"max_length": 4}, {"layers": ["middle", None]}],
    ids=str,
)
def test_texts_are_read_by_the_tokenizer_of_the_file(run, options):
    extractor = PretrainedTextFeatures(TokenTable(), cache=None, **options)
    fitted = make_pipeline(extractor, LogisticRegression()).fit(TEXTS, COLORS)
    compute = run(fitted, X=TEXTS)
    tokenizer = Tokenizer.from_str(compute.metadata["tokenizer"])
    encodings = tokenizer.encode_batch([compute.metadata.get("prompt", "") + t for t in TEXTS])
    found = compute(
        input_ids=np.array([encoding.ids for encoding in encodings]),
        attention_mask=np.array([encoding.attention_mask for encoding in encodings]),
    )
    assert np.abs(found["probabilities"] - fitted.predict_proba(TEXTS)).max() < 1e-4


def test_fine_tuned_networks_of_texts_are_exported(run):
    model = PretrainedTextFeatures(TokenTable())
    fitted = FineTunedClassifier(model, freeze=None, max_epochs=2, random_state=0)
    compute = run(fitted.fit(TEXTS, COLORS), X=TEXTS)
    assert [given["name"] for given in json.loads(compute.metadata["inputs"])] == [
        "attention_mask",
        "input_ids",
    ]


def test_windows_of_texts_are_refused(run):
    extractor = PretrainedTextFeatures(TokenTable(), long_text="windows").fit(TEXTS)
    with pytest.raises(ValueError, match="takes several passes of a long text"):
        run(extractor)


def make_sounds():
    pitches = [300, 900] * 4
    return [
        (make_tone(pitch, 0.5 + 0.1 * k) + make_noise(int(16000 * (0.5 + 0.1 * k)), k), 16000)
        for k, pitch in enumerate(pitches)
    ]


def test_waveforms_are_exported(run):
    X, y = make_sounds(), [0, 1] * 4
    extractor = PretrainedAudioFeatures(WaveNet(), cache=None)
    fitted = make_pipeline(extractor, StandardScaler(), LogisticRegression()).fit(X, y)
    X.append((make_tone(300, 0.02), 16000))  # shorter than the network takes
    compute = run(fitted, X=X[:2])
    found = [compute(waveform=wave[None])["probabilities"][0] for wave, _ in X]
    assert np.abs(np.array(found) - fitted.predict_proba(X)).max() < 1e-4


@pytest.mark.slow
def test_spectrograms_are_computed_in_the_file(run):
    X, y = make_sounds(), [0, 1] * 4
    fitted = make_pipeline(PretrainedAudioFeatures(cache=None), LogisticRegression()).fit(X, y)
    compute = run(fitted)
    found = [compute(waveform=wave[None])["probabilities"][0] for wave, _ in X]
    assert np.abs(np.array(found) - fitted.predict_proba(X)).max() < 1e-4


def test_long_sounds_are_refused(run):
    extractor = PretrainedAudioFeatures(WaveNet(), window=0.4, cache=None).fit(make_sounds())
    with pytest.raises(ValueError, match=r"Row 0 of X: is longer than 0.4 s"):
        run(extractor, X=make_sounds())


def test_pictures_of_sounds_are_refused(run):
    extractor = PretrainedAudioFeatures("test_resnet", weights=None).fit(make_sounds())
    with pytest.raises(ValueError, match="front end Pictures .* has no conversion"):
        run(extractor)


def test_rows_are_the_input_of_the_network(run):
    X = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    y = X[:, 0] > 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU())
    extractor = PretrainedFeatures(net, preprocess=None, cache=None)
    fitted = make_pipeline(extractor, LogisticRegression()).fit(X, y)
    found = run(fitted)(input=X)
    assert np.abs(found["probabilities"] - fitted.predict_proba(X)).max() < 1e-4
