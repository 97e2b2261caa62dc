"""Looking at an extractor loads nothing."""

import pickle
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._networks import registry, widths
from tests.small_networks import CountingNet, trained_net


def test_display_in_a_fresh_process_loads_no_network_library():
    code = (
        "import sys\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.compose import make_column_transformer\n"
        "from sklearn_transfer import PretrainedFeatures\n"
        "features = PretrainedFeatures('resnet50')\n"
        "for estimator in (features, make_pipeline(features),\n"
        "                  make_column_transformer((features, ['path']))):\n"
        "    estimator._repr_html_()\n"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert not loaded & {"torch", "timm", "torchvision", "huggingface_hub"}


@pytest.mark.parametrize("name", ["resnet50", "torchvision/alexnet", "hf-hub:timm/resnet18"])
def test_display_contacts_nobody(monkeypatch, name):
    """Also where torch and other networks are loaded already."""

    built = []  # scikit-learn's display would swallow an exception
    monkeypatch.setattr(registry, "_build", lambda *args: built.append(args))
    PretrainedFeatures(name)._repr_html_()
    make_pipeline(PretrainedFeatures(name), StandardScaler())._repr_html_()
    assert built == []


def test_names_before_fit_are_refused_where_a_network_would_be_loaded():
    with pytest.raises(NotFittedError, match="PretrainedFeatures instance is not fitted yet"):
        PretrainedFeatures("resnet50").get_feature_names_out()


def test_names_before_fit_are_known_once_the_network_is():
    net = trained_net()
    registry.clear_registry()
    with pytest.raises(NotFittedError):
        PretrainedFeatures(net).get_feature_names_out()
    expected = PretrainedFeatures(net).fit(["a.png"]).get_feature_names_out()
    assert list(PretrainedFeatures(net).get_feature_names_out()) == list(expected)


@pytest.fixture
def paths(tmp_path, crops):
    """Three small images in files."""
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for crop, path in zip(crops, paths, strict=False):
        Image.fromarray(crop).save(path)
    return paths


CHANGES = {"layers": "deep", "pooling": "max", "input_size": 64, "model": "test_efficientnet"}
FITTED = {
    "alone": lambda features: features,
    "in a pipeline": lambda features: make_pipeline(features, StandardScaler()),
    "in a column transformer": lambda features: make_column_transformer(
        (features, ["path"]), verbose_feature_names_out=False
    ),
}


@pytest.fixture
def built(monkeypatch):
    """Networks that are built from now on; a display would swallow an exception."""
    built = []
    monkeypatch.setattr(registry, "_build", lambda *args: built.append(args))
    return built


@pytest.mark.parametrize("place", FITTED)
@pytest.mark.parametrize("name", ["test_resnet", "torchvision/squeezenet1_1"])
def test_display_of_a_fitted_extractor_needs_no_network(place, name, paths, request):
    features = PretrainedFeatures(name, weights=None, input_size=32, layers=["middle", None])
    estimator = FITTED[place](features).fit(pd.DataFrame({"path": paths}))
    registry.clear_registry()
    built = request.getfixturevalue("built")
    shown = estimator._repr_html_()
    assert built == []
    assert "middle_0" in shown


def test_display_of_an_unpickled_extractor_loads_no_network_library(paths):
    features = PretrainedFeatures("test_resnet", weights=None, input_size=32).fit(paths)
    code = (
        "import pickle, sys\n"
        f"features = pickle.loads({pickle.dumps(features)!r})\n"
        "names = features.get_feature_names_out()\n"
        "assert names[-1] in features._repr_html_()\n"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert not loaded & {"torch", "timm", "torchvision", "huggingface_hub"}


def test_recorded_names_are_those_of_the_network(paths):
    features = PretrainedFeatures("test_resnet", weights=None, input_size=32).fit(paths)
    features.set_params(layers="middle").fit(paths).set_params(layers=None, cache=None)
    assert len(features.get_feature_names_out()) == features.transform(paths).shape[1]


@pytest.mark.parametrize("name", CHANGES)
def test_names_are_not_stale_after_a_parameter_has_changed(name, paths, request):
    features = PretrainedFeatures("test_resnet", weights=None, input_size=32).fit(paths)
    features.set_params(**{name: CHANGES[name]})
    registry.clear_registry()
    built = request.getfixturevalue("built")
    features._repr_html_()
    assert built == []
    with pytest.raises(
        NotFittedError, match="no names of features for its present parameters: call fit, or"
    ):
        features.get_feature_names_out()


def test_names_are_known_again_once_the_network_is(paths):
    features = PretrainedFeatures("test_resnet", weights=None, input_size=32).fit(paths)
    found = features.set_params(layers="deep").transform(paths)
    assert list(features.get_feature_names_out()) == [
        f"deep_{i}" for i in range(found.shape[1])
    ]


def test_fit_makes_no_pass_through_a_users_own_network(crops):
    CountingNet.reset()
    PretrainedFeatures(trained_net(), cache=None).fit(crops)
    assert CountingNet.images_seen == 0


def test_recorded_names_leave_a_pickle_small(paths):
    features = PretrainedFeatures("test_resnet", weights=None, input_size=32).fit(paths)
    assert len(pickle.dumps(features)) < 1000


def test_an_error_about_names_blames_no_change_where_none_was_made(paths, monkeypatch):
    def refuse(*args):
        raise RuntimeError("needs content")

    monkeypatch.setattr(widths, "infer_widths", refuse)
    features = PretrainedFeatures("test_resnet", weights=None, input_size=32).fit(paths)
    registry.clear_registry()
    with pytest.raises(NotFittedError, match="not in memory, and fit recorded no names"):
        features.get_feature_names_out()
    assert len(features.transform(paths)[0]) == len(features.get_feature_names_out())
