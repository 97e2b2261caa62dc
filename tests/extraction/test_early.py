"""Samples that are prepared while a network is loaded."""

import sys
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.image.reader import ImageReader
from sklearn_transfer._networks import opening
from sklearn_transfer._networks.expected import find_expected_spec
from sklearn_transfer._networks.registry import clear_registry
from sklearn_transfer.extraction import _base
from sklearn_transfer.extraction._early import get_early

MODEL = "tf_efficientnet_lite0"
NETWORKS = [
    (MODEL, None),
    ("tf_efficientnet_lite0.in1k", (96, 128)),
    ("tf_efficientnet_lite1", None),
    ("tf_efficientnet_lite2", 64),
]


@pytest.mark.parametrize(("model", "size"), NETWORKS)
def test_expected_spec_is_that_of_the_network(model, size, monkeypatch):
    features = PretrainedFeatures(model, weights=None, input_size=size)
    spec = features._load_backbone().spec
    monkeypatch.delitem(sys.modules, "timm")
    found = find_expected_spec(model, size, None)
    assert repr(found) == repr(spec)


@pytest.mark.parametrize(
    "options",
    [
        ("resnet18", None, None),
        (MODEL, None, 1),
        (Image.Image, None, None),
        ("all-MiniLM-L6-v2", None, None),
    ],
)
def test_spec_of_other_networks_is_not_known(options, monkeypatch):
    monkeypatch.delitem(sys.modules, "timm")
    assert find_expected_spec(*options) is None


def test_no_spec_is_told_where_the_network_itself_can_be_asked():
    import timm  # noqa: F401

    assert find_expected_spec(MODEL, None, None) is None


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(6):
        pixels = rng.integers(0, 256, (40, 30 + number, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return sorted(map(str, tmp_path.glob("*.png")))


@pytest.fixture
def features(monkeypatch, fresh):
    """An extractor in a process that has not loaded its network yet."""
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME", "0")
    extractor = PretrainedFeatures("test_resnet", weights=None, cache=None)
    spec = extractor._load_backbone().spec
    clear_registry()
    monkeypatch.setattr(PretrainedFeatures, "_find_expected_spec", lambda self: spec)
    monkeypatch.setattr(_base, "count_threads", lambda n_jobs: 2)
    return extractor


def compute_expected(extractor, X):
    """Features without anything that is prepared early."""
    clear_registry()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PretrainedFeatures, "_find_expected_spec", lambda self: None)
        found = extractor.transform(X)
    clear_registry()
    return found


@pytest.fixture
def while_loading(monkeypatch):
    """Sets what happens once all is prepared, before the network is there; returns calls."""
    load, prepare = opening._load, ImageReader.prepare
    actions, prepared = [], []

    def load_late(*args, **options):
        early = get_early(actions[0]) if actions else None
        for future in list(early.futures.values()) if early else ():
            future.exception()
        for action in actions[1:]:
            action()
        return load(*args, **options)

    def count(self, *args):
        prepared.append(threading.current_thread())
        return prepare(self, *args)

    monkeypatch.setattr(opening, "_load", load_late)
    monkeypatch.setattr(ImageReader, "prepare", count)
    return actions, prepared


@pytest.mark.parametrize("method", ["fit_transform", "transform"])
def test_samples_are_prepared_once(method, features, while_loading, paths):
    expected = compute_expected(features, paths)
    actions, prepared = while_loading
    actions.append(features)
    prepared.clear()
    assert np.array_equal(getattr(features, method)(paths), expected)
    assert len(prepared) == len(paths)


def test_precompute_prepares_samples_early(features, while_loading, paths):
    actions, prepared = while_loading
    features.set_params(cache="memory")
    found = []
    actions += [features, lambda: found.append(len(prepared))]
    features.precompute(paths)
    assert found == [len(paths)]


def test_fit_alone_prepares_nothing(features, while_loading, paths):
    _, prepared = while_loading
    features.fit(paths)
    assert prepared == []


def test_one_thread_has_none_to_spare(features, while_loading, paths, monkeypatch):
    monkeypatch.setattr(_base, "count_threads", lambda n_jobs: 1)
    actions, prepared = while_loading
    found = []
    actions += [features, lambda: found.append(len(prepared))]
    features.transform(paths)
    assert found == [0]


def test_file_that_changes_while_the_network_is_loaded_is_read_again(
    features, while_loading, paths
):
    def change():
        Image.new("RGB", (50, 40), "red").save(paths[2])

    actions, _ = while_loading
    actions += [features, change]
    found = features.transform(paths)
    assert np.array_equal(found, compute_expected(features, paths))


def test_network_that_takes_another_size_gives_its_own_features(
    features, while_loading, paths, monkeypatch
):
    other = PretrainedFeatures("test_resnet", weights=None, input_size=96)
    spec = other._load_backbone().spec
    expected = compute_expected(features, paths)
    monkeypatch.setattr(PretrainedFeatures, "_find_expected_spec", lambda self: spec)
    while_loading[0].append(features)
    assert np.array_equal(features.transform(paths), expected)


def test_error_of_loading_is_raised_and_no_thread_is_left(features, while_loading, paths):
    def fail():
        raise ImportError("no network library")

    actions, _ = while_loading
    actions += [features, fail]
    before = threading.active_count()
    with pytest.raises(ImportError, match="no network library"):
        features.transform(paths)
    assert threading.active_count() == before


def test_bad_sample_is_named_as_always(features, while_loading, paths):
    while_loading[0].append(features)
    with open(paths[3], "wb") as file:
        file.write(b"no image")
    with pytest.raises(ValueError, match=r"^row 3 \("):
        features.transform(paths)
    features.set_params(on_error="nan")
    clear_registry()
    with pytest.warns(UserWarning, match="1 of 6 samples cannot be used"):
        found = features.transform(paths)
    assert np.isnan(found).any(axis=1).tolist() == [False] * 3 + [True] + [False] * 2


def test_remarks_are_given_once(features, while_loading, paths):
    for number, path in enumerate(paths):
        Image.new("RGB", (50, 40), (9, 8, number)).save(path)
    while_loading[0].append(features)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        features.transform(paths)
    assert [str(entry.message)[:19] for entry in told] == ["In 6 of 6 images, f"]


def test_wrong_parameter_is_refused_as_always(features, while_loading, paths):
    while_loading[0].append(features)
    features.set_params(value_range=None)
    with pytest.raises(ValueError, match="value_range=None hands the samples' own values"):
        features.transform(paths)


def test_code_of_a_user_is_not_called_early(features, while_loading, paths):
    called, found = [], []

    def preprocess(image):
        called.append(image)
        return np.zeros((3, 32, 32), dtype=np.float32)

    features.set_params(preprocess=preprocess)
    actions, _ = while_loading
    actions += [features, lambda: found.append(len(called))]
    features.transform(paths)
    assert found == [0]
