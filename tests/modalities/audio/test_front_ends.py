"""Front ends of networks of sounds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    ASTFeatureExtractor,
    ClapFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from sklearn_transfer._modalities.audio.front_ends import (
    MASK,
    WHISPER,
    Extractor,
    Waveform,
    count_sounding_frames,
)
from tests.small_sounds import RATE, make_noise, make_tone

LONG = 30 * RATE
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter")  # of AST's own


@pytest.mark.parametrize("n_samples", [LONG, LONG - 100])
def test_long_sounds_give_the_input_of_whisper(n_samples):
    waveform = make_noise(n_samples)
    payload = WHISPER.make_payload(waveform)
    extract = WhisperFeatureExtractor(feature_size=80)
    expected = extract(waveform, sampling_rate=RATE, return_tensors="np")["input_features"][0]
    np.testing.assert_allclose(payload["input_features"], expected.T, atol=1e-4)
    assert payload[MASK].sum() == 3000


@pytest.mark.parametrize(
    ("n_samples", "n_frames", "n_sounding"),
    [(1, 150, 1), (160, 150, 1), (161, 150, 2), (8000, 150, 50), (8001, 200, 51)],
)
def test_short_sounds_get_a_second_of_silence(n_samples, n_frames, n_sounding):
    front_end = replace(WHISPER, margin=RATE, grid=RATE // 2)
    payload = front_end.make_payload(make_noise(n_samples))
    assert payload["input_features"].shape == (n_frames, 80)
    assert payload[MASK].tolist() == [1] * n_sounding + [0] * (n_frames - n_sounding)


@pytest.mark.parametrize("is_normalized", [True, False])
def test_waveforms_equal_those_of_wav2vec2(is_normalized):
    waveform = make_noise(5000)
    payload = Waveform(is_normalized=is_normalized).make_payload(waveform)
    extract = Wav2Vec2FeatureExtractor(do_normalize=is_normalized)
    expected = extract(waveform, sampling_rate=RATE, return_tensors="np")["input_values"][0]
    np.testing.assert_allclose(payload["input_values"], expected, atol=1e-6)
    assert payload[MASK].tolist() == [1] * 5000


def test_waveforms_are_filled_up_to_what_the_network_needs():
    payload = Waveform(is_normalized=False, shortest=400).make_payload(np.ones(3, np.float32))
    assert payload["input_values"].tolist() == [1.0] * 3 + [0.0] * 397


def test_silent_waveform_is_finite():
    payload = Waveform().make_payload(np.zeros(500, np.float32))
    assert not payload["input_values"].any()


def test_several_channels_have_time_first_and_are_given_with_time_last():
    front_end = Waveform(50, is_normalized=False, shortest=4, n_channels=2)
    payload = front_end.make_payload(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert payload["input_values"].tolist() == [[0, 3], [1, 4], [2, 5], [0, 0]]
    batch = front_end.format.collate([payload])
    inputs = front_end.format.to_input({k: torch.from_numpy(v) for k, v in batch.items()})
    assert inputs["input_values"].shape == (1, 2, 4)


@pytest.mark.parametrize("front_end", [WHISPER, Waveform()], ids=["log-mel", "waveform"])
def test_batches_mark_what_fills_them_up(front_end):
    short, long = (front_end.make_payload(make_noise(n)) for n in (8000, 16000))
    format = front_end.format
    batch = format.collate([short, long])
    lengths = [format.get_length(short), format.get_length(long)]
    assert (batch[MASK][0, lengths[0] :] == -1).all()
    assert (batch[MASK][:, : lengths[0]] >= 0).all()
    assert not batch[format.name][0, lengths[0] :].any()


@pytest.mark.parametrize("front_end", [WHISPER, Waveform()], ids=["log-mel", "waveform"])
def test_examples_are_like_payloads(front_end):
    signature = front_end.compute_signature()
    payload = front_end.make_payload(make_noise(9000))
    assert front_end.format.compute_signature(payload) == signature
    for n in (1, 2, 3):
        for name, shape, dtype in signature:
            array = front_end.format.example(n, signature)[name]
            assert (array.dtype.str, array.ndim, len(array)) == (dtype, len(shape) + 1, n)


def make_ast():
    extract = ASTFeatureExtractor(max_length=128)
    options = {"hop": 160, "n_frames": 128}
    definition = extract.to_json_string()
    kind, shape = "ASTFeatureExtractor", (128, 128)
    return extract, Extractor(kind, definition, RATE, 20480, "input_values", shape, **options)


def make_clap():
    options = {"max_length_s": 2, "truncation": "rand_trunc", "padding": "repeatpad"}
    extract = ClapFeatureExtractor(**options)
    definition = extract.to_json_string()
    rate, shape = 48000, (1, 201, 64)
    return extract, Extractor(
        "ClapFeatureExtractor", definition, rate, 2 * rate, "input_features", shape
    )


@pytest.mark.parametrize("make", [make_ast, make_clap], ids=["AST", "CLAP"])
@pytest.mark.parametrize("n_samples", [5000, 16000])
def test_extractors_of_transformers_are_theirs(make, n_samples):
    extract, front_end = make()
    waveform = make_tone(440)[:n_samples] + make_noise(n_samples)
    options = {"sampling_rate": front_end.sampling_rate, "return_tensors": "np"}
    expected = extract(waveform, **options)[front_end.name][0]
    payload = front_end.make_payload(waveform)
    np.testing.assert_allclose(payload[front_end.name], expected, atol=1e-6)
    assert front_end.format.compute_signature(payload) == front_end.compute_signature()
    if front_end.hop is not None:
        assert payload[MASK].sum() == count_sounding_frames(n_samples, front_end.hop)


@pytest.mark.parametrize("make", [make_ast, make_clap], ids=["AST", "CLAP"])
def test_examples_of_extractors_are_like_payloads(make):
    front_end = make()[1]
    signature = front_end.compute_signature()
    example = front_end.format.example(2, signature)
    assert {name: a.shape[1:] for name, a in example.items()} == {
        name: shape for name, shape, _ in signature
    }
