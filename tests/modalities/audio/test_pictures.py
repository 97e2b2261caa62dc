"""Pictures of sounds and time series."""

import numpy as np
import pytest

from sklearn_transfer._modalities.audio.pictures import describe_pictures
from sklearn_transfer._modalities.image.spec import ImageSpec
from tests.small_sounds import RATE, make_noise, make_tone

SPEC = ImageSpec((64, 96), (64, 96), (0.5,) * 3, (0.25,) * 3)
GRAY = ImageSpec((64, 96), (64, 96), (0.5,), (0.25,))


def draw(waveform, sampling_rate=None, spec=SPEC):
    front_end = describe_pictures(spec, sampling_rate, "net")
    return front_end.make_payload(waveform)["pixels"]


def test_tones_are_bright_lines_at_their_height():
    rows = [np.argmax(draw(make_tone(f, 5))[:, 48, 0]) for f in (200, 1000, 4000)]
    assert rows == sorted(rows, reverse=True)  # high frequencies above
    picture = draw(make_tone(1000, 5))
    assert picture.dtype == np.uint8
    assert picture.shape == (64, 96, 3)
    assert picture.max() > 240


def test_channels_have_frames_of_different_lengths():
    wide = ImageSpec((64, 500), (64, 500), (0.5,) * 3, (0.25,) * 3)
    picture = draw(np.where(np.arange(5 * RATE) == 40000, 0.9, 0).astype("f4"), spec=wide)
    widths = (picture > 0).any(axis=0).sum(axis=0)
    assert widths[0] <= widths[1] < widths[2]


def test_loudness_is_lost():
    noise = make_noise(RATE)
    np.testing.assert_allclose(draw(noise), draw(0.25 * noise).astype(float), atol=1)


def test_short_sounds_are_repeated():
    noise = make_noise(1000)
    np.testing.assert_array_equal(draw(noise), draw(np.resize(noise, 5 * RATE)))


@pytest.mark.parametrize("sampling_rate", [None, 50])
def test_silence_and_one_sample_have_pictures(sampling_rate):
    for waveform in (np.zeros(500, np.float32), np.ones(1, np.float32)):
        assert draw(waveform, sampling_rate).shape == (64, 96, 3)


def test_gray_networks_get_one_picture():
    waveform = make_noise(RATE)
    np.testing.assert_array_equal(draw(waveform, spec=GRAY), draw(waveform)[:, :, 1:2])


def test_networks_of_other_channels_are_refused():
    spec = ImageSpec((64, 96), (64, 96), (0.5,) * 4, (0.25,) * 4)
    with pytest.raises(ValueError, match="takes images of 4 channels, expected 1 or 3"):
        describe_pictures(spec, None, "net")


def test_series_fill_the_picture_at_any_length():
    time = np.arange(128) / 50
    series = 9.8 + np.sin(2 * np.pi * 12.5 * time)
    row = 64 * (1 - 4 / 8)  # the middle of the spectrum
    for part in (series, series[:40]):
        picture = draw(part.astype(np.float32), 50.0)[:, :, 0].astype(float)
        upper = picture[: int(row) + 12]
        assert abs(np.argmax(upper.mean(axis=1)) - row) < 6
        assert (upper.max(axis=0) > 100).all()


def test_series_of_any_unit_have_equal_pictures():
    series = make_noise(300)
    for unit in (2.0**-90, 2.0**-20, 2.0**90):
        scaled = (series.astype(np.float64) * unit).astype(np.float32)
        np.testing.assert_allclose(draw(series, 100), draw(scaled, 100).astype(float), atol=1)


def test_the_level_of_a_series_does_not_hide_it():
    series = np.round(1000 * make_noise(300)) / 64  # which stays exact beside the level
    expected = draw(series, 100)
    np.testing.assert_allclose(draw(series + 101325, 100), expected.astype(float), atol=1)
    assert np.ptp(expected) > 100


@pytest.mark.parametrize("level", [0.0, 0.1, 101325.7])
def test_constant_series_have_flat_pictures(level):
    assert np.ptp(draw(np.full(301, level, np.float32), 100)) == 0
