"""Frozen means frozen: parameters, statistics, dropout and stochastic depth."""

import numpy as np
import pytest
import torch
from timm import create_model
from timm.layers import DropPath
from torch import nn

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor
from sklearn_transfer.finetuning.loop.net import Steps
from tests import small_networks

# What `freeze` keeps of `small_networks.staged()`, written by hand: beginnings of names.
KEPT = {
    "all": ("stem", "early", "late", "head"),
    "stem": ("stem",),
    "early": ("stem", "early"),
    "late": ("stem", "early", "late"),
    "shallow": ("stem",),
    "middle": ("stem", "early"),
    "early.conv": ("stem", "early.conv"),
    1: ("stem", "early"),
    None: (),
    ("stem",): ("stem",),
    ("stem", "early.*"): ("stem", "early"),
    ("*.conv",): ("early.conv", "late.conv"),
    ("late",): ("late",),
}
freezes = pytest.mark.parametrize("freeze", KEPT, ids=str)
schedules = pytest.mark.parametrize("schedule", ["constant", "lp-ft", "gradual"])


def tuner(**options):
    model = options.pop("model", None) or small_networks.staged()
    defaults = {"max_epochs": 4, "lr": 1e-2, "engine": "torch", "batch_size": 8}
    return FineTunedClassifier(model, **{**defaults, **options})


def given(freeze):
    return list(freeze) if isinstance(freeze, tuple) else freeze


def modes_in_training(monkeypatch):
    """For each training step, the modules of the body that are in training mode."""
    found = []
    forward = Steps._forward

    def spy(net, inputs):
        if net.criterion_.training:
            body = net.setting.network.body
            found.append({name for name, m in body.named_modules() if m.training})
        return forward(net, inputs)

    monkeypatch.setattr(Steps, "_forward", spy)
    return found


@freezes
@schedules
@pytest.mark.parametrize("augment", ["none", "flip"])
def test_frozen_tensors_are_bit_identical_and_others_move(
    freeze, schedule, augment, images, labels
):
    model = small_networks.staged()
    fitted = tuner(
        model=model,
        freeze=given(freeze),
        schedule=schedule,
        augment=augment,
        freeze_norm=False,
    ).fit(images, labels)
    start, end = model.state_dict(), fitted._network.body.state_dict()
    same = {name for name in start if torch.equal(start[name], end[name])}
    kept = {name for name in start if name.startswith(KEPT[freeze])}
    assert same == kept


@freezes
def test_frozen_modules_stay_in_evaluation_mode(freeze, images, labels, monkeypatch):
    modes = modes_in_training(monkeypatch)
    fitted = tuner(freeze=given(freeze), cache=None, freeze_norm=False).fit(images, labels)
    assert len(modes) == 4 * 3
    frozen = KEPT[freeze]
    kinds = (nn.BatchNorm2d, nn.Dropout, DropPath)
    members = fitted._network.body.named_modules()
    changing = {name for name, m in members if isinstance(m, kinds)}
    stages = ("early", "late")
    assert changing == {f"{s}.{name}" for s in stages for name in ("norm", "drop", "path")}
    expected = {name for name in changing if name.partition(".")[0] not in frozen}
    for mode in modes:
        assert mode & changing == expected


def test_train_of_the_network_leaves_frozen_parts_in_evaluation_mode(images, labels):
    network = tuner(freeze="early").fit(images, labels)._network
    network.train()
    assert network.training
    assert network.body.late.drop.training
    assert not network.body.early.drop.training
    assert not network.body.early.path.training
    assert not network.body.early.norm.training


@pytest.mark.parametrize("freeze_norm", [True, "auto", False])
@pytest.mark.parametrize("is_factory", [True, False])
def test_freeze_norm(freeze_norm, is_factory, images, labels):
    model = small_networks.staged_net if is_factory else small_networks.staged()
    fitted = tuner(model=model, freeze=None, freeze_norm=freeze_norm).fit(images, labels)
    start = small_networks.Staged() if is_factory else model
    before, after = start.late.norm, fitted._network.body.late.norm
    same = torch.equal(before.running_var, after.running_var)
    assert same == (freeze_norm is True or (freeze_norm == "auto" and not is_factory))
    assert not torch.equal(before.weight, after.weight)


def test_parameters_outside_of_modules_are_frozen_with_what_they_reach(images, labels):
    model = small_networks.Tokens()
    model.registers.data.fill_(1.0)
    model.cls_token.data.normal_()
    fitted = tuner(model=model, freeze="block").fit(images, labels)
    for name, tensor in fitted._network.body.named_parameters():
        assert torch.equal(tensor, model.get_parameter(name)), name


@pytest.mark.parametrize("freeze", ["logits", "embedding"])
def test_places_that_are_no_layers_are_refused(freeze, images, labels):
    with pytest.raises(ValueError, match="freeze="):
        tuner(freeze=freeze).fit(images, labels)


@pytest.mark.parametrize("freeze", ["earlyy", 9, -9])
def test_unknown_places_are_refused(freeze, images, labels):
    with pytest.raises(ValueError, match="freeze"):
        tuner(freeze=freeze).fit(images, labels)


@pytest.mark.parametrize("freeze", [["earlyy"], ["earlyy.*", "stem"], [3]])
def test_patterns_that_match_nothing_are_refused(freeze, images, labels):
    with pytest.raises(ValueError, match="freeze names"):
        tuner(freeze=freeze).fit(images, labels)


def test_a_network_without_stages_refuses_words(images):
    flat = images.reshape(20, -1)[:, :6].astype(float)
    model = FineTunedRegressor(nn.Linear(6, 3), preprocess=None, freeze="middle")
    with pytest.raises(ValueError, match="freeze="):
        model.fit(flat, np.arange(20.0))


def test_a_module_that_runs_twice_names_no_depth(images, labels):
    with pytest.raises(ValueError, match="freeze='act'.*runs 2 times"):
        tuner(model=small_networks.Shared(), freeze="act").fit(images, labels)


def test_a_module_that_never_runs_names_no_depth(images, labels):
    with pytest.raises(ValueError, match="freeze='unused'.*is never run"):
        tuner(model=small_networks.Shared(), freeze="unused").fit(images, labels)


def test_freezing_all_of_a_network_without_a_head_is_refused(images, labels):
    def identity(n_features_in, n_outputs):
        return nn.Sequential(nn.Linear(n_features_in, n_outputs), nn.ReLU())

    model = FineTunedClassifier(identity, preprocess=None, freeze="all")
    with pytest.raises(ValueError, match="no head that freeze='all'"):
        model.fit(images.reshape(20, -1)[:, :6].astype(float), labels)


@pytest.mark.parametrize("freeze", ["shallow", "middle", "deep", 0])
def test_freezing_a_timm_network_keeps_its_stages(freeze, images, labels):
    model = create_model("test_resnet", pretrained=False)
    names = [info["module"] for info in model.feature_info]
    stages = {"shallow": 2, "middle": 3, "deep": 5, 0: 1}[freeze]
    fitted = tuner(model=model, freeze=freeze, input_size=32).fit(images, labels)
    start, end = model.state_dict(), fitted._network.body.state_dict()
    moved = {name for name in end if not torch.equal(start[name], end[name])}
    inside = tuple(f"{name}." for name in names[:stages] if name.startswith("layer"))
    assert not {name for name in moved if name.startswith((*inside, "conv1", "bn1"))}
    assert bool(moved) == (freeze != "deep")
    assert all(name.startswith("layer") for name in moved)
