"""`model=PretrainedFeatures(...)`: the estimator brings network, weights and reading."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, PretrainedFeatures
from sklearn_transfer._store import memory
from sklearn_transfer.selection import negative_transfer_test
from sklearn_transfer.selection._baselines import (
    RawPixels,
    replace_features,
    replace_pretrained,
)
from tests import small_networks

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(40, 5)).astype(np.float32)
CLASSES = np.array(["a", "b"])[(TABLE[:, 0] > 0).astype(int)]
RUN = {"max_epochs": 1, "lr": 1e-2, "engine": "torch", "batch_size": 8}
STAGED = small_networks.staged()
OTHER = small_networks.Staged().eval().state_dict()
RESNET = {"model": "test_resnet", "weights": None, "random_state": 5}


def as_written(image):
    return small_networks.to_pixels(image)[:, :24, :24]


# Options of reading and of the network, as either estimator takes them.
OPTIONS = {
    "as it is": {},
    "size": {"input_size": 24},
    "edges": {"input_size": (24, 32)},
    "callable": {"preprocess": as_written},
    "background": {"background": "red"},
    "weights": {"weights": OTHER},
    "everything": {"input_size": 40, "background": (1, 2, 3), "weights": OTHER},
}


def direct(kind=FineTunedClassifier, freeze="early", model=STAGED, **options):
    return kind(model, freeze=freeze, **RUN, **options)


def nested(kind=FineTunedClassifier, freeze="early", model=STAGED, run=None, **options):
    return kind(PretrainedFeatures(model, **options), freeze=freeze, **{**RUN, **(run or {})})


def assert_same_network(found, expected, X):
    ours, theirs = found._network.state_dict(), expected._network.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    np.testing.assert_array_equal(found.transform(X), expected.transform(X))
    np.testing.assert_array_equal(found.predict(X), expected.predict(X))


@pytest.mark.parametrize("name", OPTIONS)
def test_networks_are_those_of_options_given_directly(name, images, labels):
    options = OPTIONS[name]
    found = nested(**options).fit(images, labels)
    assert_same_network(found, direct(**options).fit(images, labels), images)


@pytest.mark.parametrize("freeze", ["all", None])
def test_whatever_is_frozen(freeze, images, labels):
    found = nested(freeze=freeze, input_size=24).fit(images, labels)
    expected = direct(freeze=freeze, input_size=24).fit(images, labels)
    assert_same_network(found, expected, images)


def test_numbers_are_learnt_as_well(images):
    y = images.mean(axis=(1, 2, 3))
    found = nested(FineTunedRegressor, input_size=24).fit(images, y)
    expected = direct(FineTunedRegressor, input_size=24).fit(images, y)
    assert_same_network(found, expected, images)


def test_paths_are_read_as_the_model_says(images, labels, tmp_path):
    from PIL import Image

    paths = []
    for number, image in enumerate(images):
        alpha = np.full((32, 32, 1), 128, np.uint8)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(np.concatenate([image, alpha], axis=2)).save(paths[-1])
    found = nested(background="black").fit(paths, labels)
    assert_same_network(found, direct(background="black").fit(paths, labels), paths)


@pytest.mark.parametrize("as_frame", [True, False])
def test_tables_pass_by_a_model_that_takes_them(as_frame):
    X = pd.DataFrame(TABLE, columns=list("vwxyz")) if as_frame else TABLE
    options = {"model": small_networks.perceptron, "freeze": None, "preprocess": None}
    found = nested(**options).fit(X, CLASSES)
    same_seed = clone(direct(**options)).fit(X, CLASSES)
    assert found.n_features_in_ == 5
    assert found.transform(X).shape == same_seed.transform(X).shape
    if as_frame:
        assert list(found.feature_names_in_) == list("vwxyz")
        with pytest.raises(ValueError, match="feature names"):
            found.predict(X[list("zyxwv")])
    else:
        with pytest.raises(ValueError, match="4 features, but FineTunedClassifier is"):
            found.predict(X[:, :4])


def test_random_weights_are_those_that_the_model_would_draw(images, labels):
    """Features before any training are equal to those of the model itself."""
    found = nested(freeze="all", **RESNET, input_size=32).fit(images, labels)
    model = PretrainedFeatures(**RESNET, input_size=32, engine="torch", cache=None)
    np.testing.assert_allclose(found.transform(images), model.transform(images), rtol=1e-5)
    assert found.weights_sha256_ == model.fit(images).weights_sha256_
    other = nested(freeze="all", **{**RESNET, "random_state": 6}, input_size=32)
    assert other.fit(images, labels).weights_sha256_ != found.weights_sha256_


def test_a_range_of_values_reaches_the_network(labels):
    deep = RNG.integers(0, 4096, (20, 32, 32, 3)).astype(np.uint16)
    found = nested(value_range=(0, 4095)).fit(deep, labels)
    scaled = np.round(deep / 4095 * 65535).astype(np.uint16)
    expected = direct().fit(scaled, labels)
    np.testing.assert_allclose(found.transform(deep), expected.transform(scaled), atol=1e-2)


def test_channels_reach_the_network(labels):
    gray = RNG.integers(0, 255, (20, 32, 32)).astype(np.uint8)
    found = nested(**RESNET, n_channels=1, input_size=32, freeze="deep").fit(gray, labels)
    assert found._network.body.conv1[0].in_channels == 1
    assert found.predict(gray).shape == (20,)


def test_samples_are_augmented_as_the_model_reads_them(images, labels):
    run = {"augment": "standard"}
    found = nested(input_size=24, run=run, freeze=None).fit(images, labels)
    expected = direct(input_size=24, freeze=None, **run).fit(images, labels)
    assert_same_network(found, expected, images)


def test_augmentation_needs_the_models_own_preprocessing(images, labels):
    model = nested(preprocess=as_written, run={"augment": "flip"})
    with pytest.raises(ValueError, match="augment='flip' needs preprocess='auto'"):
        model.fit(images, labels)


@pytest.mark.parametrize(
    ("model", "weights", "kept"),
    [
        (STAGED, "pretrained", True),
        (STAGED, None, False),
        (small_networks.staged_net, "pretrained", False),
        (small_networks.staged_net, OTHER, True),
    ],
)
def test_statistics_stay_unless_weights_are_random(model, weights, kept, images, labels):
    found = nested(model=model, weights=weights, freeze=None).fit(images, labels)
    start = found._load_backbone()[0].module.state_dict()["early.norm.running_mean"]
    end = found._network.body.state_dict()["early.norm.running_mean"]
    assert torch.equal(start, end) == kept


def test_the_model_is_neither_fitted_nor_changed(images, labels):
    model = PretrainedFeatures(STAGED, input_size=24)
    before, weights = copy.copy(vars(model)), copy.deepcopy(STAGED.state_dict())
    fitted = FineTunedClassifier(model, freeze=None, **RUN).fit(images, labels)
    fitted.predict(images)
    assert vars(model) == before
    assert fitted.model is model
    assert all(torch.equal(t, weights[n]) for n, t in STAGED.state_dict().items())


def test_parameters_of_the_model_are_parameters_of_the_estimator():
    model = nested(input_size=24)
    assert model.get_params()["model__input_size"] == 24
    copied = clone(model).set_params(model__input_size=40)
    assert (model.model.input_size, copied.model.input_size) == (24, 40)


def test_a_search_finds_the_size_of_the_model(images, labels):
    folds = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(nested(freeze="all"), {"model__input_size": [16, 40]}, cv=folds)
    search.fit(images, labels)
    for place, size in enumerate([16, 40]):
        expected = cross_val_score(
            direct(freeze="all", input_size=size), images, labels, cv=folds
        )
        found = [search.cv_results_[f"split{k}_test_score"][place] for k in range(2)]
        np.testing.assert_array_equal(found, expected)


def test_epochs_are_added_by_partial_fit(images, labels):
    found, expected = nested(input_size=24), direct(input_size=24)
    for model in (found, expected):
        model.partial_fit(images, labels).partial_fit(images, labels)
    assert_same_network(found, expected, images)


def test_a_pickle_predicts_the_same(images, labels):
    fitted = nested(input_size=24, preprocess=as_written).fit(images, labels)
    again = pickle.loads(pickle.dumps(fitted))
    found, expected = again.predict_proba(images), fitted.predict_proba(images)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("value_range", [(0, 4095), np.array([0, 4095]), "auto"])
def test_a_folder_holds_the_model(value_range, images, labels, tmp_path):
    options = {**RESNET, "input_size": (32, 40), "background": [1, 2, 3]}
    fitted = nested(**options, value_range=value_range, freeze="deep").fit(images, labels)
    fitted.save(tmp_path)
    loaded = FineTunedClassifier.load(tmp_path)
    np.testing.assert_allclose(
        loaded.predict_proba(images), fitted.predict_proba(images), atol=1e-5
    )
    found, expected = loaded.model.get_params(), fitted.model.get_params()
    assert {**found, "value_range": None} == {**expected, "value_range": None}
    assert np.array_equal(found["value_range"], expected["value_range"])
    loaded.partial_fit(images, labels)


def test_a_folder_says_which_objects_of_the_model_it_lacks(images, labels, tmp_path):
    nested(preprocess=as_written).fit(images, labels).save(tmp_path)
    needed = (
        r"model__model and model__preprocess .*load\(folder, model__model=\.\.\., model__p"
    )
    with pytest.raises(ValueError, match=needed):
        FineTunedClassifier.load(tmp_path)


@pytest.mark.parametrize("whole", [True, False])
def test_objects_of_the_model_are_given_to_load(whole, images, labels, tmp_path):
    fitted = nested(preprocess=as_written, weights=OTHER).fit(images, labels).save(tmp_path)
    given = {"model__model": STAGED, "model__preprocess": as_written}
    if whole:
        given = {"model": PretrainedFeatures(STAGED, preprocess=as_written)}
    loaded = FineTunedClassifier.load(tmp_path, **given)
    found, expected = loaded.predict_proba(images), fitted.predict_proba(images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert loaded.model.preprocess is as_written


def test_a_bare_network_does_not_replace_a_saved_model(images, labels, tmp_path):
    nested(input_size=24).fit(images, labels).save(tmp_path)
    with pytest.raises(ValueError, match="pass model__model=... instead"):
        FineTunedClassifier.load(tmp_path, model=STAGED)


def test_folders_written_before_are_read(images, labels, tmp_path):
    fitted = direct(input_size=24).fit(images, labels).save(tmp_path)
    record = json.loads((tmp_path / "estimator.json").read_text())
    del record["features"]
    (tmp_path / "estimator.json").write_text(json.dumps(record))
    loaded = FineTunedClassifier.load(tmp_path, model=STAGED)
    found, expected = loaded.predict_proba(images), fitted.predict_proba(images)
    np.testing.assert_allclose(found, expected, atol=1e-6)


GIVEN_TWICE = {
    "weights": None,
    "input_size": 24,
    "preprocess": None,
    "background": "black",
}


@pytest.mark.parametrize("name", GIVEN_TWICE)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_the_model_says_is_not_said_twice(name, method, images, labels):
    model = nested(run={name: GIVEN_TWICE[name]})
    with pytest.raises(ValueError, match=f"{name}=.* set model__{name}={GIVEN_TWICE[name]!r}"):
        getattr(model, method)(images, labels)


def test_arrays_in_these_places_are_no_defaults(images, labels):
    model = nested(run={"background": np.array([1, 2, 3])})
    with pytest.raises(ValueError, match="leave background at 'white'"):
        model.fit(images, labels)


@pytest.mark.parametrize(
    ("options", "repair"),
    [
        ({"layers": "deep"}, "freeze names layers. Set model__layers=None"),
        ({"layers": ["middle", "deep"]}, "Set model__layers=None"),
        ({"pooling": "max"}, "Set model__pooling='auto'"),
    ],
)
def test_options_of_features_mean_nothing_here(options, repair, images, labels):
    with pytest.raises(ValueError, match=f"cannot be fine-tuned.*{repair}"):
        nested(**options).fit(images, labels)


def test_parameters_of_the_model_are_checked(images, labels):
    with pytest.raises(ValueError, match="'input_size' parameter of PretrainedFeatures"):
        nested(input_size="large").fit(images, labels)


def test_how_it_runs_is_said_by_the_fine_tuner(images, labels, tmp_path):
    folder = tmp_path / "cache"
    ignored = {"cache": folder, "n_jobs": 3, "on_error": "nan", "batch_size": 1}
    found = nested(**ignored).fit(images, labels)
    assert not folder.exists()
    assert memory.open_memory_store().info().misses == 0
    assert_same_network(found, direct().fit(images, labels), images)
    with pytest.raises(ValueError, match="row 1"):
        found.predict([images[0], b"no image"])


def test_other_estimators_are_no_models(images, labels):
    with pytest.raises(ValueError, match="'model' parameter .*PretrainedFeatures"):
        FineTunedClassifier(LogisticRegression()).fit(images, labels)


@pytest.mark.parametrize("preprocess", ["auto", None])
def test_tags_are_those_of_what_the_model_reads(preprocess):
    found = get_tags(nested(preprocess=preprocess)).input_tags
    expected = get_tags(direct(preprocess=preprocess)).input_tags
    assert found == expected


def test_the_diagram_names_the_network():
    shown = nested(**RESNET)._repr_html_()
    assert "test_resnet, random weights, freeze=" in shown
    assert (
        "CountingNet, its own weights"
        in nested(model=small_networks.CountingNet())._repr_html_()
    )


def test_scratch_draws_the_weights_of_the_model_anew(images, labels):
    model = nested(freeze="all")
    scratch = replace_pretrained(model)
    assert scratch.model.weights is None
    assert scratch.weights == model.weights == model.model.weights == "pretrained"
    folds = KFold(2, shuffle=True, random_state=0)
    found = negative_transfer_test(model, "scratch", images, labels, cv=folds)
    expected = cross_val_score(scratch, images, labels, cv=folds)
    np.testing.assert_array_equal(found.scores_baseline, expected)


def test_scratch_without_weights_to_take_away_counts_the_network_once():
    with pytest.raises(ValueError, match="and found 1, none of which"):
        replace_pretrained(nested(**RESNET))


def test_a_fine_tuner_has_no_raw_pixels():
    with pytest.raises(ValueError, match="none .a fine-tuner cannot do without its network"):
        replace_features(nested())


def test_raw_pixels_stand_beside_a_fine_tuner():
    pipe = make_pipeline(PretrainedFeatures(), nested())
    found = replace_features(pipe)
    assert type(found[0]) is RawPixels
    assert type(found[1].model) is PretrainedFeatures
