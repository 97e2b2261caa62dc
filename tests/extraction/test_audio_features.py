"""PretrainedAudioFeatures on small networks, and on a network of images."""

import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedAudioFeatures
from tests import small_networks
from tests.small_sounds import RATE, SensorNet, WaveNet, encode, make_noise, make_tone

ROOT = Path(__file__).parents[2]
X = [make_tone(220), make_noise(9000), make_tone(880, 0.3) + make_noise(4800), make_noise(30)]


def make(model, **options):
    return PretrainedAudioFeatures(model, **{"sampling_rate": RATE, "cache": None, **options})


@pytest.fixture(scope="module")
def image_net():
    return small_networks.trained_net()


@pytest.fixture(params=["waves", "pictures"])
def features(request, image_net):
    return make({"waves": WaveNet(), "pictures": image_net}[request.param])


def assert_rows(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    norms = np.linalg.norm(expected, axis=1)
    assert (np.linalg.norm(found - expected, axis=1) / norms).max() < tolerance


def test_rows_are_means_of_what_the_module_gives():
    net = WaveNet()
    found = make(net).fit_transform(X)
    for row, waveform in zip(found, X, strict=True):
        padded = np.pad(waveform, (0, max(720 - len(waveform), 0)))
        with torch.no_grad():
            expected = net(torch.from_numpy(padded)[None])[0].mean(0).numpy()
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
def test_rows_depend_on_no_other_sound(features, batch_size):
    features.set_params(batch_size=batch_size).fit(X)
    together = features.transform(X)
    assert_rows(np.vstack([features.transform([x]) for x in X]), together)
    assert_rows(features.transform(X[::-1])[::-1], together)


def test_a_wrong_rate_never_gives_the_same_row(features):
    found = features.fit_transform(X[:3])
    other = clone(features).set_params(sampling_rate=3 * RATE).fit_transform(X[:3])
    assert (np.linalg.norm(found - other, axis=1) > 0.01 * np.linalg.norm(found, axis=1)).all()
    pairs = [(x, 3 * RATE) for x in X[:3]]
    np.testing.assert_array_equal(features.transform(pairs), other)


def test_rates_have_keys_of_their_own(features):
    cached = features.set_params(cache="memory").fit(X)
    first = cached.transform(X[:2])
    second = clone(cached).set_params(sampling_rate=3 * RATE).fit_transform(X[:2])
    assert not np.isclose(first, second).all(axis=1).any()


def test_stereo_of_equal_channels_is_mono(features):
    mono = features.fit_transform(X)
    np.testing.assert_array_equal(features.transform([np.stack([x, x]) for x in X]), mono)


def test_files_equal_arrays(features, tmp_path):
    expected = features.fit_transform(X[:2])
    paths = [tmp_path / f"{i}.wav" for i in range(2)]
    for path, waveform in zip(paths, X, strict=False):
        path.write_bytes(encode(waveform, subtype="FLOAT"))
    np.testing.assert_array_equal(features.transform(paths), expected)
    column = pd.DataFrame({"path": list(map(str, paths))})
    np.testing.assert_array_equal(features.transform(column), expected)


@pytest.mark.parametrize("window", [0.1, 0.25, 3.0])
def test_row_of_a_sound_is_the_mean_of_its_windows(features, window):
    waveform = make_noise(17000) + make_tone(440, 17000 / RATE)
    length = round(window * RATE)
    parts = [waveform[i : i + length] for i in range(0, len(waveform), length)]
    found = features.set_params(window=window).fit_transform([waveform, X[0]])
    weights = [len(part) for part in parts]
    expected = np.average(features.transform(parts), axis=0, weights=weights)
    assert_rows(found[:1], expected[None])


def test_overlapping_windows_begin_earlier(features):
    waveform = make_noise(RATE)
    features.set_params(window=0.5, overlap=0.5)
    parts = [waveform[i : i + 8000] for i in (0, 4000, 8000)]
    expected = features.fit(X).transform(parts).mean(0)
    assert_rows(features.transform([waveform]), expected[None])


def test_windows_beyond_what_a_network_takes_are_refused(image_net):
    with pytest.raises(ValueError, match="window=6 is longer than the 5 s that"):
        make(image_net, window=6).fit(X)


def test_windows_have_digests_of_their_own():
    net, waveform = WaveNet(), make_noise(8 * RATE)
    features = make(net, window=1.0, cache="memory").clear_cache().fit(X)
    expected = features.transform([waveform[: 7 * RATE]])
    assert features.cache_info().entries == 7 + 1
    features.transform([waveform])
    assert features.cache_info().entries == 7 + 1 + 1 + 1
    features.transform([waveform[: 3 * RATE]])  # all of whose windows are known
    assert features.cache_info().misses == 2
    np.testing.assert_array_equal(features.transform([waveform[: 7 * RATE]]), expected)


def test_interrupted_sounds_go_on_where_they_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_transfer._modalities.audio.tracks.BLOCK", RATE)
    waveform = make_noise(4 * RATE)
    waveform[-1] = np.nan
    features = make(WaveNet(), window=1.0, cache=str(tmp_path), batch_size=1).fit(X)
    with pytest.raises(ValueError, match="NaN, infinity .*, first at 4.000 s"):
        features.transform([waveform])
    n_known = features.cache_info().entries
    assert 0 < n_known <= 3
    features.transform([waveform[: 3 * RATE]])
    assert features.cache_info().entries == 3 + 1


@pytest.mark.parametrize("pooling", ["avg", "max", "gem"])
def test_poolings_of_frames(pooling):
    net = WaveNet()
    found = make(net, pooling=pooling).fit_transform(X[:1])
    with torch.no_grad():
        states = net(torch.from_numpy(X[0])[None])[0]
    expected = {
        "avg": states.mean(0),
        "max": states.amax(0),
        "gem": states.clamp(min=1e-6).pow(3).mean(0).pow(1 / 3),
    }[pooling]
    np.testing.assert_allclose(found[0], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_flattening_of_sounds_is_refused():
    with pytest.raises(ValueError, match="pooling='flatten' keeps every frame"):
        make(WaveNet(), pooling="flatten").fit(X)


class MaskedNet(WaveNet):
    """States of the samples themselves, of which a mask says which hold sound."""

    def forward(self, input_values, attention_mask):
        return super().forward(input_values * (attention_mask > 0))


def test_networks_with_a_mask_are_given_it():
    expected = make(WaveNet()).fit_transform(X)
    np.testing.assert_allclose(make(MaskedNet()).fit_transform(X), expected, atol=1e-6)


@pytest.mark.parametrize("layers", ["first", "shallow", 0, ["first", None]])
def test_layers_are_words_indices_and_names(layers):
    features = make(WaveNet(), layers=layers).fit(X)
    found = features.transform(X[:1])
    with torch.no_grad():
        maps = WaveNet().first(torch.from_numpy(X[0])[None, None])[0].mean(1).numpy()
    np.testing.assert_allclose(found[0, :8], maps, rtol=1e-4, atol=1e-6)
    assert len(features.get_feature_names_out()) == found.shape[1]


class ActivatedNet(WaveNet):
    """WaveNet with modules between its convolutions, whose outputs have time last."""

    def __init__(self):
        super().__init__()
        self.norm, self.relu = torch.nn.BatchNorm1d(8).eval(), torch.nn.ReLU()

    def forward(self, waveform):
        states = self.relu(self.norm(self.first(waveform[:, None])))
        return self.second(states).transpose(1, 2)


# Of 1520 samples, the first convolution makes 8 positions, as many as there are channels.
@pytest.mark.parametrize("n_samples", [RATE, 9000, 1520])
@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
@pytest.mark.parametrize("layer", ["first", "norm", "relu"])
def test_time_is_the_axis_that_differs_between_lengths(layer, n_samples, engine):
    net, waveform = ActivatedNet().eval(), make_noise(n_samples)
    found = make(net, layers=layer, engine=engine).fit_transform([waveform])
    with torch.no_grad():
        states = net.first(torch.from_numpy(waveform)[None, None])
        states = states if layer == "first" else net.norm(states)
        states = states.relu() if layer == "relu" else states
    np.testing.assert_allclose(found, states.mean(2).numpy(), rtol=1e-4, atol=1e-6)


class MapNet(ActivatedNet):
    """A module that returns its maps as convolutions make them, (n, 16, positions)."""

    def forward(self, waveform):
        return super().forward(waveform).transpose(1, 2)


@pytest.mark.parametrize("pooling", ["auto", "max"])
def test_modules_may_return_time_last(pooling):
    sounds = [*X[:3], make_noise(5440)]  # of which 16 positions are made
    expected = make(ActivatedNet().eval(), pooling=pooling).fit_transform(sounds)
    found = make(MapNet().eval(), pooling=pooling).fit_transform(sounds)
    np.testing.assert_array_equal(found, expected)


def test_sensors_through_a_module():
    net, series = SensorNet(), 50 * np.random.default_rng(0).normal(size=(5, 3, 40))
    features = PretrainedAudioFeatures(net, sampling_rate=50, cache=None)
    found = features.fit_transform(series)
    with torch.no_grad():
        expected = net(torch.from_numpy(series.astype(np.float32))).numpy()
    assert_rows(found, expected)
    ragged = [series[0], series[1][:, :17], series[2][:, :5]]
    assert_rows(features.transform(ragged)[:1], expected[:1])
    with pytest.raises(ValueError, match="row 0 .*has 2 channels, and SensorNet takes 3"):
        features.transform(series[:, :2])


def test_time_series_are_not_for_networks_of_sounds():
    match = "sampling_rate=50 is that of a time series, and WaveNet takes sounds of 16000 Hz"
    with pytest.raises(ValueError, match=match):
        make(WaveNet(), sampling_rate=50).fit(np.zeros((2, 100)))


@pytest.mark.parametrize("n_channels", [2, 3])
def test_channels_of_a_series_are_never_mixed_without_asking(image_net, n_channels):
    series = np.random.default_rng(0).normal(size=(2, n_channels, 60))
    features = make(image_net, sampling_rate=50).fit(series)
    with pytest.raises(ValueError, match=f"has {n_channels} channels, .*channels='separate'"):
        features.transform(series)
    expected = make(image_net, sampling_rate=50).fit_transform(series.mean(1))
    assert_rows(features.set_params(channels="mean").transform(series), expected)


def test_separate_channels_follow_each_other(image_net):
    series = np.random.default_rng(0).normal(size=(4, 3, 60))
    features = make(image_net, sampling_rate=50, channels="separate").fit(series)
    found = features.transform(series)
    alone = make(image_net, sampling_rate=50).fit(series[:, 0])
    expected = np.hstack([alone.transform(series[:, i]) for i in range(3)])
    assert_rows(found, expected)
    assert len(features.get_feature_names_out()) == found.shape[1]
    assert_rows(features.transform([*series[:2], series[2][:, :30]])[:2], expected[:2])


def test_separate_channels_of_files(image_net, tmp_path):
    stereo = np.stack([X[0], make_noise(RATE)])
    path = tmp_path / "stereo.flac"
    path.write_bytes(encode(stereo.T, format="WAV", subtype="FLOAT"))
    features = make(image_net, channels="separate", window=0.4)
    found = features.fit_transform([path])
    alone = make(image_net, window=0.4).fit_transform(list(stereo))
    assert_rows(found, alone.reshape(1, -1))


def test_other_numbers_of_channels_are_named(image_net):
    features = make(image_net, sampling_rate=50, channels="separate", on_error="nan")
    series = [np.ones((2, 30)), np.ones((3, 30))]
    with pytest.warns(UserWarning, match="1 of 2 .*row 1.*3 channels, expected 2"):
        found = features.fit_transform(series)
    assert np.isnan(found).all(axis=1).tolist() == [False, True]


def test_no_usable_sample_gives_rows_as_wide_as_others(image_net):
    series = np.random.default_rng(0).normal(size=(2, 3, 60))
    features = make(image_net, sampling_rate=50, channels="separate", on_error="nan")
    width = features.fit_transform(series).shape[1]
    with pytest.warns(UserWarning, match="2 of 2"):
        assert features.transform([None, "none.wav"]).shape == (2, width)


def test_numbers_of_channels_have_keys_of_their_own(image_net):
    features = make(image_net, sampling_rate=50, channels="separate", cache="memory")
    three, two = np.ones((3, 60)), np.ones((2, 60))
    features.fit_transform([three])
    with pytest.raises(ValueError, match=r"row 1 .*has 3 channels, expected 2"):
        features.fit([two]).transform([two, three])


@pytest.mark.parametrize("form", ["mapping", "list", "array", "bytes"])
def test_channels_of_every_form_are_counted(form, image_net):
    waves = np.stack([X[0], make_noise(RATE)])
    sample = {
        "mapping": {"array": waves, "sampling_rate": RATE},
        "list": (waves.tolist(), RATE),
        "array": waves,
        "bytes": encode(waves.T, subtype="FLOAT"),
    }[form]
    features = make(image_net, channels="separate")
    assert features.fit_transform([sample]).shape == (1, 10)


def test_without_fit_channels_are_counted_anew(image_net):
    features = make(image_net, sampling_rate=50, channels="separate")
    assert features.transform([np.ones((3, 60))]).shape == (1, 15)
    assert features.transform([np.ones((2, 60))]).shape == (1, 10)


def test_names_of_channels_that_nobody_counted_need_fit(image_net):
    features = make(image_net).fit(X)
    with pytest.raises(NotFittedError):
        features.set_params(channels="separate").get_feature_names_out()


def test_bad_sounds_are_named_by_row(features, tmp_path):
    path = tmp_path / "bad.wav"
    path.write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"row 1 \(.*bad.wav.*\): is no file of sound"):
        features.fit(X).transform([X[0], str(path)])


def test_bad_sounds_give_rows_of_nan(features):
    holes = make_noise(5 * RATE)
    holes[-1] = np.inf
    features.set_params(on_error="nan", window=0.5, batch_size=1).fit(X)
    samples = [X[0], None, holes, np.zeros(0, np.float32), X[1]]
    with pytest.warns(UserWarning, match="3 of 5 samples cannot be used .*row 1"):
        found = features.transform(samples)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True, False]
    assert_rows(found[[0, 4]], features.transform([X[0], X[1]]))


def test_sounds_of_a_lower_rate_are_warned_of_once(features):
    pairs = [(x, RATE) for x in X[:2]] + [(x, 8000) for x in X[:2]] + [(X[0], 11025)]
    match = "In 3 of 5 sounds, first in row 2, .*sampled at 8000 Hz or less, .*takes 16000"
    with pytest.warns(UserWarning, match=match) as caught:
        features.fit_transform(pairs)
    assert len(caught) == 1


def test_silence_and_one_sample_have_rows(features):
    samples = [np.zeros(5000, np.float32), np.array([0.3]), np.ones(200, np.float32)]
    assert np.isfinite(features.fit_transform(samples)).all()


def test_texts_are_refused(features):
    with pytest.raises(ValueError, match="X holds texts, .*PretrainedTextFeatures"):
        features.fit(["a red cat", "a green dog"])


def test_modules_that_say_nothing_are_refused():
    net = torch.nn.Linear(3, 2)
    with pytest.raises(ValueError, match="does not say what sounds it takes"):
        make(net).fit(X)


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
def test_engines_agree_on_pictures(engine):
    options = {"weights": None, "layers": "shallow"}
    expected = make("test_resnet", engine="torch", **options).fit_transform(X)
    assert_rows(make("test_resnet", engine=engine, **options).fit_transform(X), expected, 1e-4)


def test_pickles_hold_no_network():
    fitted = PretrainedAudioFeatures("test_resnet", weights=None, sampling_rate=RATE).fit(X)
    content = pickle.dumps(fitted)
    assert len(content) < 3000
    np.testing.assert_array_equal(pickle.loads(content).transform(X), fitted.transform(X))


def test_known_sounds_need_no_network_library(tmp_path):
    path, cache = tmp_path / "tone.wav", tmp_path / "cache"
    path.write_bytes(encode(X[0]))
    arguments = {"weights": None, "device": "cpu", "engine": "torch", "cache": str(cache)}
    features = PretrainedAudioFeatures("test_resnet", **arguments)
    found = features.fit_transform([str(path)])
    code = f"""
import sys
from sklearn_transfer import PretrainedAudioFeatures
features = PretrainedAudioFeatures("test_resnet", **{arguments!r})
found = features.fit_transform([{str(path)!r}])
print(float(found.sum()), "torch" in sys.modules, len(features.get_feature_names_out()))
"""
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.split() == [str(float(found.sum())), "False", str(found.shape[1])]


def test_long_files_take_little_memory(tmp_path):
    path, rate = tmp_path / "long.wav", 22050
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        for seed in range(10):
            file.write(make_noise(60 * rate, seed))
    assert path.stat().st_size > 25e6
    features = make(WaveNet(), window=10.0, batch_size=1).fit(X)
    features.transform([encode(make_noise(12 * rate), rate)])  # imports are no part of it
    tracemalloc.start()
    try:
        features.transform([path])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24e6  # the samples alone would take 53 MB


def test_search_passes_each_sound_once(image_net):
    rng = np.random.default_rng(0)
    pitches = rng.permutation([300] * 10 + [1500] * 10)
    sounds = [make_tone(p, 0.2) + make_noise(3200, i) for i, p in enumerate(pitches)]
    features = make(image_net, cache="memory").clear_cache()
    pipe = make_pipeline(features, StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipe, {"logisticregression__C": [0.1, 1.0]}, cv=2)
    search.fit(sounds, pitches == 300)
    assert search.best_score_ == 1.0
    assert features.cache_info().misses == 20


def test_sensor_windows_to_logistic_regression(image_net):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 12)
    time = np.arange(100) / 50
    phases = 2 * np.pi * rng.random((24, 1, 1))
    speeds = np.array([2.0, 9.0])[labels][:, None, None]
    series = np.sin(2 * np.pi * speeds * time + phases) + rng.normal(0, 0.1, (24, 3, 100))
    features = PretrainedAudioFeatures(image_net, sampling_rate=50, channels="separate")
    pipe = make_pipeline(features, StandardScaler(), LogisticRegression())
    assert cross_val_score(pipe, series, labels, cv=3).mean() == 1.0


def test_missing_soundfile_names_the_extra(features, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ImportError, match="sklearn-transfer.audio."):
        features.fit(X).transform([encode(X[0])])


def test_arrays_need_no_soundfile(features, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert features.fit_transform(X).shape[0] == len(X)
