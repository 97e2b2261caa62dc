"""Looking at an extractor loads nothing."""

import subprocess
import sys

import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._networks import registry
from tests.small_networks import trained_net


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
