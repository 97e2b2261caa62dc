"""Samples that are sounds, of every form, and what is wrong with others."""

import base64

import numpy as np
import pandas as pd
import polars as pl
import pytest
import soundfile
import torch

from sklearn_transfer._modalities.audio.contents import identify_sound, read_sample
from sklearn_transfer._modalities.audio.front_ends import Waveform
from sklearn_transfer._modalities.audio.reader import AudioReader
from sklearn_transfer._modalities.audio.samples import as_sounds
from sklearn_transfer._modalities.contents import BadSampleError
from tests.small_sounds import RATE, encode, make_noise, make_tone

TONE = make_tone(440, 0.1)
FRONT_END = Waveform(RATE, is_normalized=False, shortest=1)


def read(sample, **options):
    reader = AudioReader(FRONT_END, **options)
    return np.concatenate([w[0] for w in reader.cut(reader.read(sample)[1])])


def digest(sample, **options):
    return AudioReader(FRONT_END, **options).read(sample)[0]


def assert_refused(sample, match, **options):
    reader = AudioReader(FRONT_END, **options)
    with pytest.raises(BadSampleError, match=match):
        list(reader.cut(reader.read(sample)[1]))


@pytest.mark.parametrize("format", ["WAV", "FLAC", "AIFF", "AU"])
def test_lossless_files_have_the_samples_that_were_written(format):
    np.testing.assert_allclose(read(encode(TONE, format=format)), TONE, atol=2**-15)


@pytest.mark.parametrize(
    ("format", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]
)
def test_lossy_files_are_read(format, subtype):
    tone = make_tone(440, 0.5)
    found = read(encode(tone, format=format, subtype=subtype))
    n = min(len(found), len(tone))
    assert n > 0.9 * len(tone)
    spectrum = np.abs(np.fft.rfft(found[:8000]))
    assert abs(np.argmax(spectrum) * RATE / 8000 - 440) < 5


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_every_depth_of_a_file_has_the_same_scale(subtype):
    np.testing.assert_allclose(read(encode(TONE, subtype=subtype)), TONE, atol=2**-7)


def test_path_bytes_and_uri_are_one_sound(tmp_path):
    content = encode(TONE)
    path = tmp_path / "tone.wav"
    path.write_bytes(content)
    uri = "data:audio/wav;base64," + base64.b64encode(content).decode()
    samples = [path, str(path), content, bytearray(content), uri, {"bytes": content}]
    assert len({digest(sample) for sample in samples}) == 1
    for sample in samples:
        np.testing.assert_allclose(read(sample), TONE, atol=2**-15)


def test_the_name_of_a_file_does_not_matter(tmp_path):
    for name in ("tone.raw", "tone.mp3", "tone"):
        (tmp_path / name).write_bytes(encode(TONE))
        np.testing.assert_allclose(read(tmp_path / name), TONE, atol=2**-15)


@pytest.mark.parametrize("sampling_rate", [None, RATE])
def test_pair_array_and_mapping_are_one_sound(sampling_rate):
    samples = [
        (TONE, RATE),
        (TONE, float(RATE)),
        (TONE, np.int32(RATE)),
        (torch.from_numpy(TONE), RATE),
        (TONE, np.array(RATE)),
        (TONE, torch.tensor(RATE)),
        (TONE.tolist(), RATE),
        {"array": TONE, "sampling_rate": RATE, "path": None},
        {"array": TONE.tolist(), "sampling_rate": RATE},
    ]
    if sampling_rate is not None:
        samples += [TONE, torch.from_numpy(TONE), TONE.tolist(), tuple(TONE.tolist())]
    for sample in samples:
        np.testing.assert_array_equal(read(sample, sampling_rate=sampling_rate), TONE)
    # Numbers of a list are those of 64 bits.
    assert len({digest(sample, sampling_rate=sampling_rate) for sample in samples}) == 2


@pytest.mark.parametrize("sample", [(TONE, RATE), TONE, encode(TONE)])
def test_known_digest_is_that_of_reading(sample):
    reader = AudioReader(FRONT_END, sampling_rate=RATE)
    assert reader.known_digest(sample) == reader.read(sample)[0]


def test_digest_depends_on_rate_and_windows():
    keys = [
        digest((TONE, RATE)),
        digest((TONE, 3 * RATE)),
        digest((TONE, RATE), window=0.05),
        digest((TONE, RATE), window=0.05, overlap=0.5),
    ]
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (np.int16, [-32768, 0, 16384]),
        (np.int32, [-(2**31), 0, 2**30]),
        (np.int8, [-128, 0, 64]),
        (np.uint8, [0, 128, 192]),
        (np.float64, [-1, 0, 0.5]),
    ],
)
def test_integers_are_scaled_by_their_range(dtype, values):
    assert read((np.array(values, dtype), RATE)).tolist() == [-1.0, 0.0, 0.5]


def test_integers_without_a_range_are_refused():
    assert_refused((np.array([1, 2]), RATE), r"samples of int64, .*astype\('int16'\)")


def test_channels_are_mixed_by_their_mean(tmp_path):
    stereo = np.stack([TONE, 0.5 * TONE], axis=1)
    for sample in ((stereo, RATE), (stereo.T, RATE)):
        np.testing.assert_allclose(read(sample), 0.75 * TONE, atol=1e-7)
    np.testing.assert_allclose(read(encode(stereo)), 0.75 * TONE, atol=2**-14)


def test_equal_channels_are_one_channel():
    np.testing.assert_array_equal(read((np.stack([TONE, TONE]), RATE)), TONE)


def test_many_channels_ask_what_they_are():
    sample = (np.stack([TONE] * 4), RATE)
    assert_refused(sample, "has 4 channels, .*PretrainedAudioFeatures\\(channels='mean'\\)")
    np.testing.assert_allclose(read(sample, channels="mean"), TONE, atol=1e-7)


def test_large_files_are_read_in_parts(tmp_path, monkeypatch):
    waveform = make_noise(60000)
    path = tmp_path / "long.wav"
    soundfile.write(path, waveform, RATE)
    whole, key = read(path), digest(path)
    monkeypatch.setattr("sklearn_transfer._modalities.audio.contents._LARGE", 1000)
    monkeypatch.setattr("sklearn_transfer._modalities.audio.tracks.BLOCK", 777)
    np.testing.assert_array_equal(read(path), whole)
    assert digest(path) == key


def test_large_file_that_changes_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "long.wav"
    path.write_bytes(encode(make_noise(60000)))
    monkeypatch.setattr("sklearn_transfer._modalities.audio.contents._LARGE", 1000)
    reader = AudioReader(FRONT_END)
    content = reader.read(path)[1]
    path.write_bytes(encode(make_noise(50000)))
    with pytest.raises(BadSampleError, match="has changed while it was read"):
        list(reader.cut(content))


HEADLESS = encode(TONE)[:20]
BAD = {
    "missing": (None, "missing value"),
    "nan": (float("nan"), "missing value"),
    "number": (3.5, "is of type float, expected a path"),
    "no file": ("no/such.wav", "no such file"),
    "folder": (".", "is a directory"),
    "no bytes": (b"", "is empty: 0 bytes"),
    "no sound": (b"hello world", "no file of sound that soundfile reads"),
    "jpeg": (
        b"\xff\xd8\xff\xe0" + b"0" * 40,
        "is a JPEG image, .*PretrainedFeatures takes images",
    ),
    "aac": (b"\0\0\0\x20ftypM4A ", "is MPEG-4 .*ffmpeg"),
    "damaged": (HEADLESS, "is a damaged WAV file"),
    "no samples": (encode(TONE[:0]), "has no samples"),
    "empty array": ((TONE[:0], RATE), "has no samples"),
    "holes": ((np.array([0.0, np.nan, 0.1]), RATE), "NaN, infinity .*, first at 0.000 s"),
    "loud": ((1000 * TONE, RATE), "floats up to 500, and sound lies between -1 and 1"),
    "text": ((np.array(["a", "b"]), RATE), "array of <U1"),
    "volume": ((np.zeros((2, 3, 4)), RATE), "expected .time,. or .channels, time."),
    "no rate": (TONE, "without a sampling rate; pass sampling_rate="),
    "zero rate": ((TONE, 0), "sampling rate of 0"),
    "rate as text": ((TONE, "16000"), "sampling rate of '16000', .*sound, label"),
    "rate of None": ({"array": TONE, "sampling_rate": None}, "sampling rate of None"),
    "true rate": ((TONE, True), "sampling rate of True"),
    "kilohertz": ((TONE, 44.1), r"44.1 Hz, too low for sound; .*sampling_rate=44.1\)"),
    "number of a label": ((TONE, 3), "sampling rate of 3 Hz, too low for sound"),
    "no array": ({"array": None, "sampling_rate": RATE}, "missing value"),
    "beyond floats": ((np.array([0, 1e300]), RATE), "NaN, infinity or numbers beyond 3e38"),
    "reversed": ((RATE, TONE), "turn pairs around"),
    "labeled": (("a.wav", "dog"), "pass only the sounds of pairs"),
    "masked": ((np.ma.masked_less(TONE, 0), RATE), "masked samples"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_samples_say_what_is_wrong(kind):
    assert_refused(*BAD[kind])


def test_overdriven_files_are_sounds():
    loud = 80 * TONE  # of which decoders of Ogg Vorbis give such
    np.testing.assert_allclose(read(encode(loud, subtype="FLOAT")), loud)
    assert_refused(encode(1000 * TONE, subtype="FLOAT"), "floats up to 500")


@pytest.mark.parametrize("n_samples", [1, 2, 399])
def test_short_clips_are_read(n_samples):
    assert len(read((TONE[:n_samples], RATE))) == n_samples
    assert len(read(encode(TONE[:n_samples]))) == n_samples


@pytest.mark.parametrize(
    ("format", "name"),
    [("WAV", "WAV"), ("FLAC", "FLAC"), ("OGG", "Ogg"), ("AIFF", "AIFF"), ("MP3", "MP3")],
)
def test_formats_are_known_by_their_first_bytes(format, name):
    assert identify_sound(encode(TONE, format=format)[:12]) == name


def test_other_files_are_no_sounds():
    assert identify_sound(b"\xff\xd8\xff\xe0") is None


def test_containers_of_sounds():
    pairs = [(TONE, RATE), (TONE[:500], RATE)]
    column = np.empty(2, dtype=object)
    column[:] = pairs
    for X in (pairs, tuple(pairs), column, pd.Series(pairs), pd.DataFrame({"sound": pairs})):
        found = as_sounds(X, None)
        assert [len(waveform) for waveform, _ in found] == [1600, 500]


def test_columns_of_pairs_are_pairs():
    column = np.empty((2, 2), dtype=object)
    for row in column:
        row[:] = [TONE, RATE]
    assert [rate for _, rate in as_sounds(column, None)] == [RATE, RATE]


@pytest.mark.parametrize(
    ("X", "match"),
    [
        ((TONE, RATE), "got one pair"),
        (TONE, "looks like one waveform"),
        (np.zeros((2, 3, 4, 5)), "expected waveforms"),
        (np.zeros((2, 5), complex), "dtype complex128"),
        ("tone.wav", "put it into a list"),
    ],
    ids=["pair", "waveform", "shape", "dtype", "path"],
)
def test_containers_that_hold_no_sounds(X, match):
    with pytest.raises(ValueError, match=match):
        as_sounds(X, RATE)


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_tables_of_numbers_are_waveforms(library):
    rows = np.random.default_rng(0).normal(size=(3, 5))
    table = library.DataFrame({f"t{i}": rows[:, i] for i in range(5)})
    np.testing.assert_array_equal(as_sounds(table, 50), rows)


def test_arrays_need_a_rate():
    with pytest.raises(ValueError, match="without a sampling rate"):
        as_sounds(np.zeros((2, 100)), None)


@pytest.mark.parametrize(
    ("shape", "n_remarks"), [((128, 9), 1), ((9, 128), 0), ((128,), 0)], ids=str
)
def test_time_before_channels_is_noted(shape, n_remarks):
    n_channels = shape[0] if len(shape) > 1 else 1
    front_end = Waveform(50, is_normalized=False, n_channels=n_channels)
    reader, remarks = AudioReader(front_end, sampling_rate=50), []
    list(reader.cut(reader.read(np.zeros(shape))[1], remarks.append))
    assert len(remarks) == n_remarks
    assert all("waveform.T" in remark.describe(reader.caller) for remark in remarks)


def test_sounds_with_time_first_are_turned_without_a_remark():
    remarks = []
    reader = AudioReader(FRONT_END, sampling_rate=RATE)
    list(reader.cut(reader.read(np.stack([TONE, TONE], axis=1))[1], remarks.append))
    assert remarks == []


def test_other_numbers_of_channels_suggest_that_axes_are_swapped():
    reader = AudioReader(Waveform(50, n_channels=9, shortest=1), sampling_rate=50)
    with pytest.raises(BadSampleError, match="128 channels.*9; .*pass its transpose"):
        list(reader.cut(reader.read(np.zeros((128, 9)))[1]))


@pytest.mark.parametrize(("rate", "n_remarks"), [(15999, 0), (16000.4, 0), (8000, 1)])
def test_lower_rates_are_noted_where_they_matter(rate, n_remarks):
    reader, remarks = AudioReader(FRONT_END), []
    list(reader.cut(reader.read((TONE, rate))[1], remarks.append))
    assert len(remarks) == n_remarks


def test_series_have_any_unit_and_any_shape():
    reader = AudioReader(Waveform(50, n_channels=9, shortest=1), sampling_rate=50)
    series = 100.0 * np.arange(27).reshape(9, 3)
    (window,) = reader.cut(reader.read(series)[1])
    np.testing.assert_array_equal(window, series)


def test_samples_of_a_hub_without_bytes_are_their_paths(tmp_path):
    path = tmp_path / "tone.wav"
    path.write_bytes(encode(TONE))
    assert read_sample({"bytes": None, "path": str(path)}, None)[1] == path.read_bytes()
