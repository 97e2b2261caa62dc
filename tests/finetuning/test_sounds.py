"""Fine-tuning of networks of sounds."""

import pickle

import numpy as np
import pytest
import skops.io
import torch
from sklearn.model_selection import GridSearchCV

from sklearn_transfer import (
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedAudioFeatures,
)
from sklearn_transfer._store.choice import choose_store
from tests.sound_networks import RATE, make_sounds, write_network

RUN = {"max_epochs": 2, "lr": 1e-2, "engine": "torch", "batch_size": 8}
SOUNDS, CLASSES = make_sounds(16)
NUMBERS = np.array([len(waveform) / RATE for waveform, _ in SOUNDS])
# Whatever is frozen, and however it is trained.
WAYS = {
    "head alone": {"freeze": "all"},
    "middle": {"freeze": "middle"},
    "nothing": {"freeze": None},
    "lp-ft": {"freeze": "middle", "schedule": "lp-ft"},
    "gradual": {"freeze": "shallow", "schedule": "gradual", "max_epochs": 4},
    "low rank": {"lora_rank": 2},
    "stopping": {"freeze": "deep", "early_stopping": 1, "validation_fraction": 0.3},
}
CASES = [(kind, way) for kind in ("whisper", "wav2vec2") for way in WAYS]
CASES += [("wav2vec2-layer-norm", "middle"), ("ast", "middle"), ("clap", "nothing")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("networks")
    found = {}

    def get_folder(kind):
        if kind not in found:
            found[kind] = write_network(base / kind, kind)
        return found[kind]

    return get_folder


@pytest.fixture(scope="module")
def whisper(folders):
    return folders("whisper")


def fit(folder, y=CLASSES, kind=FineTunedClassifier, **options):
    return kind(folder, **{**RUN, **options}).fit(SOUNDS, y)


@pytest.mark.filterwarnings("ignore:.*sounds were sampled at:UserWarning")
@pytest.mark.parametrize(("kind", "way"), CASES)
def test_outputs_depend_on_no_other_sound(kind, way, folders):
    model = fit(folders(kind), **WAYS[way])
    together = model.predict_proba(SOUNDS)
    alone = np.concatenate([model.predict_proba([sound]) for sound in SOUNDS[:6]])
    np.testing.assert_allclose(alone, together[:6], atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*sounds were sampled at:UserWarning")
def test_a_network_whose_weights_were_normalized_is_pickled(folders):
    model = fit(folders("wav2vec2"), freeze="middle", max_epochs=1)
    found = pickle.loads(pickle.dumps(model)).predict_proba(SOUNDS)
    np.testing.assert_allclose(found, model.predict_proba(SOUNDS), atol=1e-5)


@pytest.mark.parametrize("way", ["head alone", "middle", "nothing", "low rank"])
def test_pickles_and_folders_predict_alike(way, whisper, tmp_path):
    model = fit(whisper, **WAYS[way])
    expected = model.predict_proba(SOUNDS)
    found = pickle.loads(pickle.dumps(model)).predict_proba(SOUNDS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    model.save(tmp_path)
    found = FineTunedClassifier.load(tmp_path).predict_proba(SOUNDS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *(("whisper", way) for way in ("head alone", "middle", "lp-ft", "gradual")),
        ("wav2vec2-layer-norm", "middle"),
        ("ast", "middle"),
    ],
)
def test_a_frozen_prefix_changes_nothing(kind, way, folders):
    found, expected = (fit(folders(kind), cache=c, **WAYS[way]) for c in ("memory", None))
    np.testing.assert_allclose(found.transform(SOUNDS), expected.transform(SOUNDS), atol=1e-3)


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2", "ast"])
def test_lower_layers_run_once_for_each_sound(kind, folders):
    model = fit(folders(kind), freeze="middle", max_epochs=3)
    info = choose_store("memory", activations=True).info()
    assert (info.hits, info.misses) == (0, len(SOUNDS))
    model.predict(SOUNDS)
    assert choose_store("memory", activations=True).info().misses == len(SOUNDS)


def test_training_learns_what_is_heard(whisper):
    X, y = make_sounds(40, seed=1)
    model = FineTunedClassifier(whisper, freeze=None, **{**RUN, "max_epochs": 6})
    model.fit(X[:24], y[:24])
    assert model.score(X[24:], y[24:]) >= 0.8


def test_an_estimator_of_features_brings_its_options(whisper):
    arrays = [waveform for waveform, _ in SOUNDS]
    model = PretrainedAudioFeatures(whisper, sampling_rate=RATE)
    found = FineTunedClassifier(model, **RUN).fit(arrays, CLASSES)
    expected = fit(whisper)
    np.testing.assert_allclose(
        found.predict_proba(arrays), expected.predict_proba(SOUNDS), atol=1e-6
    )


def test_networks_of_images_are_trained_on_pictures():
    model = PretrainedAudioFeatures("tf_efficientnet_lite0")
    found = FineTunedClassifier(model, freeze="all", **RUN).fit(SOUNDS[:6], CLASSES[:6])
    assert found.predict(SOUNDS[:3]).shape == (3,)


def test_options_of_reading_are_searched(whisper):
    arrays = [waveform for waveform, _ in SOUNDS]
    model = FineTunedClassifier(PretrainedAudioFeatures(whisper), freeze="all", **RUN)
    grid = {"model__sampling_rate": [8000, RATE]}
    with pytest.warns(UserWarning, match="sounds were sampled at 8000 Hz"):
        search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(arrays, CLASSES)
    assert search.best_params_["model__sampling_rate"] in (8000, RATE)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"channels": "separate"}, r"channels='separate'\) cannot be fine-tuned.*auto"),
        ({"layers": "middle"}, "freeze names layers"),
    ],
)
def test_options_without_meaning_are_refused(options, match, whisper):
    model = FineTunedClassifier(PretrainedAudioFeatures(whisper, **options), **RUN)
    with pytest.raises(ValueError, match=match):
        model.fit(SOUNDS, CLASSES)


@pytest.mark.parametrize("option", [{"mixup": 0.2}, {"cutmix": 1.0}])
def test_mixing_is_refused(option, whisper):
    with pytest.raises(ValueError, match="a sound has any number of them: set both to 0"):
        fit(whisper, **option)


@pytest.mark.parametrize("option", [{"input_size": 64}, {"background": "red"}])
def test_parameters_of_images_are_refused(option, whisper):
    match = (
        r"is for images, and .* takes sounds: leave .*model=PretrainedAudioFeatures\(\.\.\.\)"
    )
    with pytest.raises(ValueError, match=match):
        fit(whisper, **option)


@pytest.mark.parametrize("freeze", ["middle", None])
def test_long_sounds_are_refused(freeze, whisper):
    sounds = [*SOUNDS[:3], (np.ones(6 * RATE, dtype=np.float32), RATE)]
    model = FineTunedClassifier(whisper, freeze=freeze, **RUN)
    with pytest.raises(ValueError, match=r"row 3.*takes several passes.*cut it into parts"):
        model.fit(sounds, CLASSES[:4])


def test_long_sounds_are_averaged_where_the_head_is_trained_alone(whisper):
    sounds = [*SOUNDS[:3], (np.ones(6 * RATE, dtype=np.float32), RATE)]
    model = FineTunedClassifier(whisper, freeze="all", **RUN).fit(sounds, CLASSES[:4])
    assert model.predict(sounds).shape == (4,)


@pytest.mark.parametrize("freeze", ["all", "middle", None])
def test_a_missing_sound_is_named_by_its_row(freeze, whisper):
    model = FineTunedClassifier(whisper, freeze=freeze, **RUN)
    with pytest.raises(ValueError, match=r"row 5.*missing"):
        model.fit([*SOUNDS[:5], None, *SOUNDS[6:]], CLASSES)


def test_files_of_skops_hold_the_network(whisper):
    model = FineTunedClassifier(PretrainedAudioFeatures(whisper), freeze="middle", **RUN)
    model.fit(SOUNDS, CLASSES)
    content = skops.io.dumps(model)
    trusted = skops.io.get_untrusted_types(data=content)
    found = skops.io.loads(content, trusted=trusted)
    np.testing.assert_allclose(found.transform(SOUNDS), model.transform(SOUNDS), atol=1e-5)


@pytest.mark.parametrize("freeze", ["all", "middle"])
@pytest.mark.parametrize("adapt", ["mcc", "coral"])
def test_networks_adapt_to_sounds_of_another_domain(adapt, freeze, whisper):
    target = make_sounds(8, seed=5)[0]
    model = FineTunedClassifier(whisper, freeze=freeze, adapt=adapt, **RUN)
    model.fit(SOUNDS, CLASSES, X_target=target)
    assert model.adapt_report_.n_steps == 4


def test_a_number_is_predicted_for_each_sound(whisper):
    assert fit(whisper, NUMBERS, FineTunedRegressor).predict(SOUNDS[:3]).shape == (3,)


def test_training_depends_on_the_seed_alone(folders):
    def train(seed):
        np.random.seed(seed)  # noqa: NPY002 - the global state must not count
        torch.manual_seed(seed)
        return fit(folders("wav2vec2"), freeze=None).transform(SOUNDS[:3])

    np.testing.assert_array_equal(train(0), train(1))


@pytest.mark.parametrize("n_views", [None, 2])
@pytest.mark.parametrize("freeze", ["all", "middle", None])
def test_views_are_trained_on(freeze, n_views, whisper):
    options = {"freeze": freeze, "augment": "standard", "n_views": n_views, "max_epochs": 3}
    found, again = (fit(whisper, **options).predict_proba(SOUNDS[:4]) for _ in range(2))
    np.testing.assert_array_equal(found, again)
    plain = fit(whisper, freeze=freeze, max_epochs=3).predict_proba(SOUNDS[:4])
    assert not np.allclose(found, plain, atol=1e-4)


def test_other_augmentations_are_refused(whisper, folders):
    with pytest.raises(ValueError, match="augment='flip' is unknown for sounds"):
        fit(whisper, augment="flip")
    with pytest.raises(ValueError, match="hides parts of spectrograms, and this network"):
        fit(folders("wav2vec2"), augment="spec-augment")
