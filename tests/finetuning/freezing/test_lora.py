"""Trainable matrices beside frozen ones in a transformer."""

import pickle
import sys

import numpy as np
import pytest
import torch
from timm import create_model

from sklearn_transfer import FineTunedClassifier
from tests import small_networks

pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return create_model("test_vit", img_size=32).eval()


def tuner(model, **options):
    defaults = {"lora_rank": 2, "max_epochs": 3, "lr": 1e-2, "batch_size": 10}
    return FineTunedClassifier(model, **{**defaults, "input_size": 32, **options})


@pytest.mark.parametrize("schedule", ["constant", "lp-ft", "gradual"])
def test_base_weights_stay_and_adapters_move(schedule, vit, images, labels):
    fitted = tuner(vit, schedule=schedule).fit(images, labels)
    after = {
        name.replace(".base_layer", ""): tensor
        for name, tensor in fitted._network.body.state_dict().items()
    }
    for name, tensor in vit.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(after[name], tensor), name
    adapters = {name: t for name, t in after.items() if ".lora_B." in name}
    assert len(adapters) == 4 * len(vit.blocks)
    assert all(tensor.any() for tensor in adapters.values())
    trained = {n for n, p in fitted._network.named_parameters() if p.requires_grad}
    assert all(".lora_" in name or name.startswith("head.") for name in trained)


def test_adapters_have_the_rank_that_was_asked_for(vit, images, labels):
    fitted = tuner(vit, lora_rank=3, max_epochs=1).fit(images, labels)
    state = fitted._network.body.state_dict()
    assert {t.shape[0] for name, t in state.items() if ".lora_A." in name} == {3}


def test_the_same_seed_gives_the_same_adapters(vit, images, labels):
    first, second = (tuner(vit).fit(images, labels).predict_proba(images) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_network_of_the_user_gets_no_adapters(vit, images, labels):
    before = {name: t.clone() for name, t in vit.state_dict().items()}
    tuner(vit).fit(images, labels)
    assert before.keys() == vit.state_dict().keys()
    assert all(torch.equal(before[name], t) for name, t in vit.state_dict().items())
    assert all(p.requires_grad for p in vit.parameters())


@pytest.mark.parametrize("round_trip", ["pickle", "save"])
def test_copies_predict_and_train_on(round_trip, vit, images, labels, tmp_path):
    fitted = tuner(vit).fit(images, labels)
    if round_trip == "pickle":
        other = pickle.loads(pickle.dumps(fitted))
    else:
        other = FineTunedClassifier.load(fitted.save(tmp_path) and tmp_path, model=vit)
    np.testing.assert_allclose(
        other.predict_proba(images), fitted.predict_proba(images), atol=1e-5
    )
    other.partial_fit(images, labels)
    after = other._network.body.state_dict()
    for name, tensor in fitted._network.body.state_dict().items():
        assert torch.equal(after[name], tensor) == (".lora_" not in name), name


def test_networks_without_linear_layers_are_refused(images, labels):
    model = small_networks.ByPassed()
    model.head = torch.nn.Identity()
    with pytest.raises(ValueError, match="ByPassed has no linear layers inside"):
        tuner(model).fit(images, labels)


def test_a_missing_extra_is_named(vit, images, labels, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"sklearn-transfer\[lora\]"):
        tuner(vit).fit(images, labels)
