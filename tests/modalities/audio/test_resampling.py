"""Resampling a part at a time."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from sklearn_transfer._modalities.audio.resampling import find_ratio, resample
from tests.small_sounds import make_noise, make_tone


def resample_whole(waveform, rate, new_rate, part=1000, block_length=2000):
    parts = [waveform[None, i : i + part] for i in range(0, len(waveform), part)]
    return np.concatenate(list(resample(parts, rate, new_rate, block_length)), axis=1)[0]


@pytest.mark.parametrize(
    ("rate", "new_rate", "up", "down"),
    [
        (44100, 16000, 160, 441),
        (8000, 16000, 2, 1),
        (48000, 16000, 1, 3),
        (11025, 16000, 640, 441),
        (31.25, 50, 8, 5),
        (22051, 16000, 16000, 22051),
    ],
)
@pytest.mark.parametrize("n_samples", [1, 5, 999, 12345, 60000])
def test_parts_give_the_numbers_of_the_whole(rate, new_rate, up, down, n_samples):
    waveform = make_noise(n_samples)
    found = resample_whole(waveform, rate, new_rate)
    expected = resample_poly(waveform, up, down)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize(
    ("rate", "new_rate", "factors"),
    [
        (44100, 16000, (160, 441)),
        (22051, 16000, (16000, 22051)),
        (0.1, 0.3, (3, 1)),
        (1 / 3600, 1 / 86400, (1, 24)),
        (3.8e-7, 3.8e-7, (1, 1)),
        (1 / 2592000, 1 / 1296000, (2, 1)),
    ],
)
def test_ratios_of_rates_are_exact(rate, new_rate, factors):
    assert find_ratio(rate, new_rate) == factors


@pytest.mark.parametrize(
    ("rate", "new_rate"), [(22051.37, 16000), (49.83471, 50), (1000.123, 48000), (1e9, 16000)]
)
def test_ratios_of_measured_rates_have_short_filters(rate, new_rate):
    up, down = find_ratio(rate, new_rate)
    assert max(up, down) <= 100_000
    assert up / down == pytest.approx(new_rate / rate, rel=1e-7)


def test_equal_rates_change_nothing():
    waveform = make_noise(5000)
    np.testing.assert_array_equal(resample_whole(waveform, 16000, 16000.0), waveform)


def test_tone_keeps_its_pitch():
    found = resample_whole(make_tone(440, 1, 44100), 44100, 16000)
    expected = make_tone(440, 1, 16000)
    np.testing.assert_allclose(found[200:-200], expected[200:-200], atol=2e-3)
