"""Spectrograms, compared with librosa's."""

import librosa
import numpy as np
import pytest

from sklearn_transfer._modalities.audio.front_ends import WHISPER
from sklearn_transfer._modalities.audio.log_mel import LogMel, build_mel_filters
from tests.small_sounds import make_noise, make_tone

SPECS = {
    "whisper": WHISPER.log_mel,
    "pictures": LogMel(16000, 800, 400, 128),
    "htk": LogMel(22050, 512, 160, 40, scale="htk", norm=None, f_min=50.0, f_max=8000.0),
    "no clamp": LogMel(48000, 1024, 480, 64, dynamic_range=None),
}


def compute_with_librosa(spec, waveform):
    """An independent log-mel spectrogram of a whole waveform."""
    power = librosa.feature.melspectrogram(
        y=waveform.astype(np.float64),
        sr=spec.sampling_rate,
        n_fft=spec.n_fft,
        hop_length=spec.hop,
        n_mels=spec.n_mels,
        fmin=spec.f_min,
        fmax=spec.f_max,
        htk=spec.scale == "htk",
        norm=spec.norm,
        pad_mode=spec.padding,
    )
    if spec.drops_last:
        power = power[:, :-1]
    found = librosa.power_to_db(power, amin=spec.floor, top_db=spec.dynamic_range)
    return (found / 10 + 4) / 4 if spec.log == "whisper" else found


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("n_samples", [7000, 20011])
def test_spectrograms_equal_those_of_librosa(name, n_samples):
    waveform = make_noise(n_samples) + make_tone(440, 2)[:n_samples]
    expected = compute_with_librosa(SPECS[name], waveform)
    found = SPECS[name].compute(waveform)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", SPECS)
def test_bands_equal_those_of_librosa(name):
    spec = SPECS[name]
    expected = librosa.filters.mel(
        sr=spec.sampling_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.f_min,
        fmax=spec.f_max,
        htk=spec.scale == "htk",
        norm=spec.norm,
        dtype=np.float64,
    )
    np.testing.assert_allclose(build_mel_filters(spec), expected, atol=1e-12)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("n_samples", [1, 150, 399, 3000, 7999, 8000])
def test_silence_that_is_left_out_is_silence(name, n_samples):
    waveform = make_noise(n_samples)
    padded = np.zeros(8000, dtype=np.float32)
    padded[:n_samples] = waveform
    found = SPECS[name].compute(waveform, 8000)
    np.testing.assert_allclose(found, compute_with_librosa(SPECS[name], padded), atol=1e-5)


def test_silence_is_finite_and_flat():
    found = WHISPER.log_mel.compute(np.zeros(1600, np.float32), 8000)
    assert found.shape == (80, 50)
    assert np.ptp(found) == 0


def test_linear_scale_keeps_the_frequencies_of_the_transform():
    spec = LogMel(50.0, 16, 2, 9, scale="linear", norm=None, floor=1e-30)
    series = np.cos(2 * np.pi * 12.5 * np.arange(64) / 50)
    found = spec.compute(series)
    assert found.shape == (9, 33)
    assert np.argmax(found[:, 16]) == 4  # 12.5 Hz of 25 Hz in 8 steps
