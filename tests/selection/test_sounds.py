"""Selection, heads and weights on sounds, with a small network."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    KMM,
    ImportanceWeighted,
    PretrainedAudioFeatures,
    PrototypeClassifier,
    negative_transfer_test,
    rank_adaptations,
    rank_backbones,
    shift_report,
)
from sklearn_transfer.selection import logme
from sklearn_transfer.selection._baselines import replace_pretrained
from sklearn_transfer.selection._log_mel import LogMelFeatures
from sklearn_transfer.selection._ranked_features import holds_sounds
from tests.sound_networks import RATE, make_sounds, write_network

FOLDS = KFold(3, shuffle=True, random_state=0)
X, Y = make_sounds(24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("sounds") / "net", "whisper")


@pytest.fixture
def features(folder):
    return PretrainedAudioFeatures(folder, engine="torch")


def test_networks_of_sounds_are_ranked_beside_bands(folder, features):
    ranking = rank_backbones([folder, "log-mel"], X, Y, layers=[None, "shallow"])
    found = {(row.name, row.layer): row.score for row in ranking.candidates}
    assert len(found) == 3
    expected = logme(features.fit_transform(X), Y)
    assert found[folder, "embedding"] == pytest.approx(expected, abs=1e-6)


def test_networks_of_images_are_ranked_on_pictures_of_sounds():
    ranking = rank_backbones({"net": "tf_efficientnet_lite0", "bands": "log-mel"}, X, Y)
    kinds = {row.name: type(row.features) for row in ranking.candidates}
    assert kinds == {"net": PretrainedAudioFeatures, "bands": LogMelFeatures}
    assert [row.problem for row in ranking.candidates] == [None, None]


def test_bands_have_no_classifier():
    with pytest.raises(ValueError, match="loudness of bands comes with no classifier"):
        rank_backbones(["log-mel"], X, Y, score="leep")


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (X, True),
        (["a.wav", "b/c.FLAC"], True),
        ([b"RIFF\0\0\0\0WAVEfmt "], True),
        (["a.wav", "a text"], False),
        ([(1, 2)], False),
        (np.zeros((3, 4)), False),
        ([], False),
    ],
    ids=["pairs", "paths", "bytes", "texts", "numbers", "table", "none"],
)
def test_sounds_are_told_from_other_samples(samples, expected):
    assert holds_sounds(samples) == expected


def test_bands_are_those_of_librosa():
    librosa = pytest.importorskip("librosa")
    found = LogMelFeatures().fit_transform(X[:3])
    for row, (waveform, rate) in zip(found, X, strict=False):
        power = librosa.feature.melspectrogram(
            y=waveform, sr=rate, n_fft=400, hop_length=160, n_mels=64, pad_mode="constant"
        )
        loudness = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=80)
        loudness = loudness[:, : -(-len(waveform) // 160)]
        expected = np.concatenate([loudness.mean(1), loudness.std(1)])
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-2)


def test_bands_are_named():
    names = LogMelFeatures().fit(X[:1]).get_feature_names_out()
    assert (len(names), names[0], names[-1]) == (128, "log-mel_mean_0", "log-mel_std_63")


def test_bands_take_the_place_of_the_network(features):
    model = make_pipeline(features, StandardScaler(), LogisticRegression())
    result = negative_transfer_test(model, "log-mel", X, Y, cv=FOLDS)
    bands = make_pipeline(LogMelFeatures(), StandardScaler(), LogisticRegression())
    np.testing.assert_array_equal(
        result.scores_baseline, cross_val_score(bands, X, Y, cv=FOLDS)
    )


def test_random_weights_are_a_baseline_for_sounds(features):
    assert replace_pretrained(make_pipeline(features, LogisticRegression()))[0].weights is None


def test_pixels_of_sounds_are_refused(features):
    model = make_pipeline(features, LogisticRegression())
    with pytest.raises(ValueError, match="Give an estimator as baseline, or 'log-mel'"):
        negative_transfer_test(model, "raw", X, Y)


def test_report_of_sounds_is_that_of_their_features(features):
    target = make_sounds(20, seed=3)[0]
    found = shift_report(X, target, Y, representation=features, random_state=0)
    tables = features.fit_transform(X), features.transform(target)
    assert found.to_dict() == shift_report(*tables, Y, random_state=0).to_dict()


def test_weights_of_sounds_are_those_of_their_features(features):
    target = X[::2]
    model = make_pipeline(features, LogisticRegression())
    found = ImportanceWeighted(model, KMM(), representation=features)
    found.fit(X, Y, X_target=target)
    tables = features.fit_transform(X), features.transform(target)
    weights = KMM().fit(tables[0], X_target=tables[1]).weights_
    np.testing.assert_allclose(found.weighter_.weights_, weights)


def test_ways_to_adapt_sounds_predict_sounds(features):
    ranking = rank_adaptations(["mean"], X, Y, X[:9], representation=features, cv=None)
    assert ranking.candidates[0].estimator.predict(X).shape == (24,)


def test_prototypes_of_sounds(features):
    model = make_pipeline(features, StandardScaler(), PrototypeClassifier())
    assert model.fit(X[:12], Y[:12]).score(X[12:], Y[12:]) >= 0.75


def test_modules_of_sounds_are_ranked():
    class Levels(torch.nn.Module):
        sampling_rate = RATE

        def forward(self, waveforms):
            return waveforms.unfold(1, 100, 100).abs().mean(2)[:, :5]

    ranking = rank_backbones([Levels(), "log-mel"], X, Y)
    assert [row.problem for row in ranking.candidates] == [None, None]
