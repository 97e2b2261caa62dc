"""Activations at the frozen boundary are computed once, and training is the same."""

import pickle
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_transfer import (
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedFeatures,
    TargetDomain,
)
from sklearn_transfer._store import memory
from sklearn_transfer._store.choice import choose_store
from tests import small_networks


def tuner(model=None, kind=FineTunedClassifier, **options):
    defaults = {"max_epochs": 5, "lr": 1e-2, "engine": "torch", "batch_size": 8}
    model = small_networks.staged() if model is None else model
    return kind(model, **{**defaults, "freeze": "early", **options})


def counted(**options):
    """A fine-tuner whose network input is known by its bytes."""
    return tuner(preprocess=small_networks.to_pixels, **options)


def times_seen(images):
    """How often the stem saw each image; it also sees noise, on which cuts are tried."""
    tensors = [small_networks.to_pixels(Image.fromarray(image)) for image in images]
    digests = [zlib.crc32(tensor.numpy().tobytes()) for tensor in tensors]
    assert len(set(digests)) == len(images)
    return [small_networks.Watched.seen[digest] for digest in digests]


@pytest.mark.parametrize("freeze", ["all", "stem", "early", "late"])
@pytest.mark.parametrize("schedule", ["constant", "lp-ft", "gradual"])
def test_training_without_reuse_gives_the_same_network(freeze, schedule, images, labels):
    options = {"freeze": freeze, "schedule": schedule}
    with_reuse = tuner(**options).fit(images, labels)
    without = tuner(**options, cache=None).fit(images, labels)
    assert with_reuse._prefix is not None
    assert without._prefix is None
    expected = without.predict_proba(images)
    assert np.ptp(expected[:, 0]) > 1e-3
    np.testing.assert_allclose(with_reuse.predict_proba(images), expected, atol=1e-4)


@pytest.mark.parametrize("kind", [FineTunedClassifier, FineTunedRegressor])
def test_validation_is_the_same_without_reuse(kind, images):
    y = np.arange(20) // 10
    options = {"kind": kind, "early_stopping": True, "validation_fraction": 0.3}
    with_reuse, without = (
        tuner(**options, cache=cache).fit(images, y).history_ for cache in ("memory", None)
    )
    for name in ("train_loss", "valid_loss", "valid_score"):
        found, expected = ([row[name] for row in rows] for rows in (with_reuse, without))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("freeze", "schedule", "n_passes"),
    [
        ("all", "constant", 1),
        ("all", "lp-ft", 1),
        ("early", "constant", 1),
        # One more for the embedding, on which the head is fitted.
        ("early", "lp-ft", 2),
    ],
)
def test_frozen_layers_see_each_image_once(freeze, schedule, n_passes, images, labels):
    counted(freeze=freeze, schedule=schedule, max_epochs=7).fit(images, labels)
    assert times_seen(images) == [n_passes] * 20


@pytest.mark.parametrize("freeze", ["all", "early"])
def test_frozen_layers_see_each_image_of_both_domains_once(freeze, images, labels):
    target, few = 255 - images, [*labels[:3], *[None] * 17]
    counted(freeze=freeze, adapt="mcc").fit(images, labels, X_target=target, y_target=few)
    assert times_seen([*images, *target]) == [1] * 40


def test_a_grid_search_over_objectives_runs_no_frozen_layer_again(images, labels):
    target = 255 - images
    counted(adapt="mcc").fit(images, labels, X_target=target)
    grid = {"adapt": [None, "mcc", "coral"], "freeze": ["all", "early"]}
    counted(freeze="all", adapt="mcc").fit(images, labels, X_target=target)
    small_networks.Watched.reset()
    search = GridSearchCV(counted(max_epochs=1), grid, cv=2)
    search.fit(list(images), labels, X_target=TargetDomain(target))
    assert times_seen([*images, *target]) == [0] * 40


def test_training_on_two_domains_without_reuse_gives_the_same_network(images, labels):
    outputs = [
        tuner(adapt="mmd", cache=cache)
        .fit(images, labels, X_target=255 - images)
        .predict_proba(images)
        for cache in ("memory", None)
    ]
    assert np.ptp(outputs[0][:, 0]) > 1e-3
    np.testing.assert_allclose(*outputs, atol=1e-4)


def test_gradual_unfreezing_passes_once_a_boundary(images, labels):
    model = counted(freeze="stem", schedule="gradual", max_epochs=12).fit(images, labels)
    boundaries = {row["phase"] for row in model.history_}
    assert len(boundaries) == 5
    assert times_seen(images) == [1 + 4] * 20  # the embedding, head, late, early, stem


def test_a_second_fit_and_predict_run_no_frozen_layer(images, labels):
    counted().fit(images, labels)
    small_networks.Watched.reset()
    again = counted(lr=1e-3, max_epochs=2).fit(images[::-1], labels[::-1])
    again.predict(images)
    again.predict_proba(images[3:5])
    assert times_seen(images) == [0] * 20


def test_a_grid_search_after_a_fit_runs_no_frozen_layer(images, labels):
    counted().fit(images, labels)
    small_networks.Watched.reset()
    grid = {"lr": [1e-3, 1e-2], "max_epochs": [1, 2]}
    search = GridSearchCV(counted(), grid, cv=2).fit(list(images), labels)
    assert search.best_estimator_.predict(images).shape == (20,)
    assert times_seen(images) == [0] * 20


def test_without_a_cache_every_epoch_runs_the_frozen_part(images, labels):
    counted(max_epochs=3, cache=None).fit(images, labels)
    assert times_seen(images) == [1 + 3] * 20


def test_activations_in_a_folder_are_known_later(images, labels, tmp_path):
    first = counted(cache=str(tmp_path)).fit(images, labels)
    expected = first.predict_proba(images)
    small_networks.Watched.reset()
    second = counted(cache=str(tmp_path)).fit(images, labels)
    np.testing.assert_array_equal(second.predict_proba(images), expected)
    assert times_seen(images) == [0] * 20


def test_activations_beyond_the_bound_are_in_a_file(images, labels, monkeypatch, tmp_path):
    expected = tuner().fit(images, labels).predict_proba(images)
    monkeypatch.setenv("SKLEARN_TRANSFER_TRAINING_BYTES", "1000")
    found = tuner(cache=str(tmp_path)).fit(images, labels).predict_proba(images)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_images_beyond_the_bound_are_in_a_file(augment, images, labels, monkeypatch):
    options = {"augment": augment, "freeze": None, "cache": None, "max_epochs": 2}
    expected = tuner(**options).fit(images, labels).predict_proba(images)
    monkeypatch.setenv("SKLEARN_TRANSFER_TRAINING_BYTES", "1000")
    found = tuner(**options).fit(images, labels).predict_proba(images)
    np.testing.assert_array_equal(found, expected)


def test_activations_beyond_what_the_store_holds_train_the_same(images, labels, monkeypatch):
    expected = tuner().fit(images, labels).predict_proba(images)
    monkeypatch.delitem(memory._stores, memory.ActivationStore)
    monkeypatch.setenv("SKLEARN_TRANSFER_ACTIVATION_BYTES", "100")
    found = tuner().fit(images, labels).predict_proba(images)
    np.testing.assert_array_equal(found, expected)


def test_a_network_that_cannot_be_cut_says_so_and_trains_the_same(images, labels):
    torch.manual_seed(0)
    model = small_networks.ByPassed()
    with pytest.warns(UserWarning, match="cannot be split after 'middle'"):
        fitted = tuner(model, freeze="middle").fit(images, labels)
    without = tuner(model, freeze="middle", cache=None).fit(images, labels)
    np.testing.assert_array_equal(fitted.predict_proba(images), without.predict_proba(images))
    assert torch.equal(fitted._network.body.middle.weight, model.middle.weight)
    assert torch.equal(fitted._network.body.stem.weight, model.stem.weight)
    assert not torch.equal(fitted._network.body.late.weight, model.late.weight)


def test_other_weights_never_get_known_activations(images, labels):
    model = small_networks.staged()
    tuner(model).fit(images, labels)
    with torch.no_grad():
        model.stem.weight.mul_(-1)
    after = tuner(model).fit(images, labels).predict_proba(images)
    choose_store("memory", activations=True).clear()
    expected = tuner(model).fit(images, labels).predict_proba(images)
    np.testing.assert_array_equal(after, expected)


def test_activations_and_embeddings_do_not_share_a_store(images, labels):
    model = small_networks.staged()
    features = PretrainedFeatures(model, layers="early", engine="torch").fit(images)
    features.transform(images)
    misses = features.cache_info().misses
    tuner(model).fit(images, labels)
    assert features.cache_info().misses == misses


@pytest.mark.parametrize("layers_frozen", ["all", "early", "late"])
def test_a_copy_without_activations_predicts_the_same(layers_frozen, images, labels):
    fitted = tuner(freeze=layers_frozen).fit(images, labels)
    other = pickle.loads(pickle.dumps(fitted))
    assert other._prefix is None
    np.testing.assert_allclose(
        other.predict_proba(images), fitted.predict_proba(images), atol=1e-6
    )


@pytest.mark.parametrize("freeze", ["all", "early"])
@pytest.mark.parametrize("round_trip", ["pickle", "save"])
def test_training_goes_on_alike_after_a_round_trip(
    freeze, round_trip, images, labels, tmp_path
):
    model = small_networks.staged(drop=0.0)
    options = {"optimizer": torch.optim.SGD}  # without a state of its own
    fitted = tuner(model, freeze=freeze, net_params=options).partial_fit(images, labels)
    if round_trip == "pickle":
        other = pickle.loads(pickle.dumps(fitted))
    else:
        fitted.save(tmp_path)
        other = FineTunedClassifier.load(tmp_path, model=model, net_params=options)
    choose_store("memory", activations=True).clear()
    for estimator in (other, fitted):
        estimator.partial_fit(images[:8], labels[:8])  # a batch, so that order does not matter
    found, expected = other.predict_proba(images), fitted.predict_proba(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("round_trip", ["pickle", "save", "twice"])
def test_l2_sp_pulls_to_the_same_start_after_a_round_trip(
    round_trip, images, labels, tmp_path
):
    model = small_networks.staged(drop=0.0)
    options = {"optimizer": torch.optim.SGD}  # without a state of its own
    fitted = tuner(model, l2_sp=5.0, net_params=options).fit(images, labels)
    if round_trip == "save":
        fitted.save(tmp_path)
        other = FineTunedClassifier.load(tmp_path, model=model, net_params=options)
    else:
        other = pickle.loads(pickle.dumps(fitted))
    if round_trip == "twice":
        other = pickle.loads(pickle.dumps(other))
    assert {name.partition(".")[0] for name in other._start} == {"late", "head"}
    for estimator in (other, fitted):
        estimator.set_params(lr=0.1).partial_fit(images[:8], labels[:8])
    moved = other._network.state_dict()
    for name, tensor in fitted._network.state_dict().items():
        torch.testing.assert_close(moved[name], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("freeze", ["all", "middle"])
def test_a_loaded_network_never_gets_activations_of_another(freeze, images, labels, tmp_path):
    """It is built with random weights, whose activations may be known."""
    options = {"input_size": 32, "freeze": freeze, "batch_size": 20}
    drawn = tuner("test_resnet", weights=None, **options, random_state=1).fit(images, labels)
    state = drawn._network.body.state_dict()
    trained = tuner("test_resnet", weights=dict(state), **options).fit(images, labels)
    trained.save(tmp_path)
    tuner("test_resnet", weights=None, **options).fit(images, labels)
    loaded = FineTunedClassifier.load(tmp_path)
    for model in (trained, loaded):  # the loss of one batch is that before the step
        model.partial_fit(images, labels)
    losses = [model.history_[-1]["train_loss"] for model in (trained, loaded)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert trained.history_[-2]["train_loss"] != losses[0]


def test_in_a_pipeline_rows_are_known_by_their_content(images, labels):
    copy = FunctionTransformer(np.array)
    make_pipeline(copy, counted()).fit(images, labels)
    small_networks.Watched.reset()
    make_pipeline(copy, counted()).fit(images, labels).predict(images)
    assert times_seen(images) == [0] * 20


@pytest.mark.parametrize("n_views", [1, 3])
def test_kept_views_pass_the_frozen_layers_once(n_views, images, labels):
    counts = []
    for max_epochs in (6, 12):
        small_networks.Watched.reset()
        choose_store("memory", activations=True).clear()
        tuner(augment="standard", n_views=n_views, max_epochs=max_epochs).fit(images, labels)
        counts.append(sum(small_networks.Watched.seen.values()))
    small_networks.Watched.reset()
    choose_store("memory", activations=True).clear()
    tuner(max_epochs=6).fit(images, labels)
    without_views = sum(small_networks.Watched.seen.values())
    assert counts == [without_views + 20 * (n_views - 1)] * 2


def test_augmentation_added_later_drops_the_cut(images, labels):
    fitted = tuner().fit(images, labels)
    start = fitted._network.body.early.conv.weight.clone()
    fitted.set_params(augment="flip").partial_fit(images, labels)
    assert fitted._prefix is None
    assert torch.equal(fitted._network.body.early.conv.weight, start)
    assert np.isfinite(fitted.predict_proba(images)).all()


def test_own_code_may_ask_for_a_view(images, labels):
    model = small_networks.Viewing()
    for options in ({"freeze": None}, {"freeze": "stem"}, {"freeze": "stem", "cache": None}):
        fitted = tuner(model, **options).fit(images, labels)
        assert fitted.predict(images).shape == (20,)
