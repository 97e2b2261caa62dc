"""What training programs write: averages, prefixes, bystanders, bad and quantized numbers."""

import argparse
import copy
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures
from sklearn_transfer._networks.registry import load_backbone
from tests import small_networks

TINY = "test_resnet"


def state_of(seed, name=TINY):
    torch.manual_seed(seed)
    return timm.create_model(name).state_dict()


RAW, AVERAGE = state_of(0), state_of(1)


def under(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def loaded(weights, model=TINY, **options):
    return load_backbone(model, weights, **options)


def assert_holds(backbone, state):
    own = backbone.module.state_dict()
    assert own.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(own[name], tensor.to(own[name].dtype)), name


def saved(content, tmp_path, suffix="pth"):
    path = tmp_path / f"checkpoint.{suffix}"
    if suffix == "safetensors":
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path)
    return path


AVERAGES = ["state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema"]


@pytest.mark.parametrize("raw", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("key", AVERAGES)
def test_an_average_is_taken_before_what_it_averages(key, raw, tmp_path):
    path = saved({raw: RAW, key: AVERAGE, "epoch": 3}, tmp_path)
    backbone = loaded(path)
    assert_holds(backbone, AVERAGE)
    assert backbone.origin == f"{path} (its moving average, {key!r})"


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": RAW, "state_dict_ema": AVERAGE},
        {"model": RAW, "model_ema": under("module.", AVERAGE)},
        {"state_dict": AVERAGE, "model_ema": None, "model": RAW},
        {"state_dict_ema": AVERAGE, "model_ema": RAW, "state_dict": RAW},
        {"state_dict": under("_orig_mod.module.", AVERAGE)},
        {"state_dict": under("module._orig_mod.", AVERAGE)},
    ],
)
def test_the_choice_is_that_of_timm(content, tmp_path):
    path = saved(content, tmp_path)
    expected = timm.models.load_state_dict(str(path), use_ema=True)
    assert_holds(loaded(path), dict(expected))


def test_the_average_in_a_mapping_is_taken_too():
    backbone = loaded({"state_dict": RAW, "model_ema": AVERAGE})
    assert_holds(backbone, AVERAGE)
    assert backbone.origin == "given mapping (its moving average, 'model_ema')"


@pytest.mark.parametrize("key", ["ema_state", "net_ema", "ema_weights"])
def test_averages_under_names_of_ones_own_are_taken(key, tmp_path):
    path = saved({"model": RAW, key: AVERAGE}, tmp_path)
    backbone = loaded(path)
    assert_holds(backbone, AVERAGE)
    assert backbone.origin == f"{path} (its moving average, {key!r})"


def test_an_average_within_wrappers_is_found(tmp_path):
    content = {"model": RAW, "ema": {"decay": 0.9, "module": AVERAGE}}
    assert_holds(loaded(saved(content, tmp_path)), AVERAGE)


def test_an_empty_average_is_none(tmp_path):
    path = saved({"state_dict": RAW, "state_dict_ema": None, "ema": {}}, tmp_path)
    backbone = loaded(path)
    assert_holds(backbone, RAW)
    assert backbone.origin == str(path)


def test_timm_writes_its_arguments_beside(tmp_path):
    content = {"args": argparse.Namespace(lr=0.1), "arch": TINY, "state_dict": RAW}
    assert_holds(loaded(saved(content, tmp_path)), RAW)


def test_scores_that_are_numbers_of_numpys_may_stand_beside(tmp_path):
    scores = {"best": np.float64(0.9), "loss": np.float32(0.1), "epoch": np.int64(3)}
    path = saved({"state_dict": RAW, **scores, "done": np.bool_(True)}, tmp_path)
    assert_holds(loaded(path), RAW)


def test_a_program_of_torchscript_is_named(tmp_path):
    path = tmp_path / "traced.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch deprecates it, files remain
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), path)
    with pytest.raises(ValueError, match=r"\(it is a TorchScript archive, which holds"):
        loaded(path)


PREFIXES = [
    "model.",
    "module.",
    "_orig_mod.",
    "net.",
    "backbone.",
    "model.model.",
    "model._orig_mod.",
    "module.encoder.",
    "model.net.module.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("wrapped", [True, False])
def test_prefixes_are_removed(prefix, wrapped, tmp_path):
    content = under(prefix, RAW)
    if wrapped:
        content = {"state_dict": {**content, "loss.weight": torch.ones(3)}, "epoch": 1}
    assert_holds(loaded(saved(content, tmp_path)), RAW)


def test_a_removed_prefix_is_told(tmp_path):
    path = saved({"state_dict": under("net.", RAW)}, tmp_path)
    assert loaded(path).origin == f"{path} (its names under 'net.')"


def test_safetensors_have_prefixes_as_well(tmp_path):
    assert_holds(loaded(saved(under("model.", RAW), tmp_path, "safetensors")), RAW)


def test_an_average_under_another_prefix_is_taken(tmp_path):
    content = {"state_dict": {**under("model.", RAW), **under("ema_model.module.", AVERAGE)}}
    path = saved(content, tmp_path)
    backbone = loaded(path)
    assert_holds(backbone, AVERAGE)
    assert backbone.origin == f"{path} (its names under 'ema_model.module.')"


def test_two_networks_in_one_file_are_asked_about(tmp_path):
    both = {**under("student.", RAW), **under("teacher.", AVERAGE)}
    path = saved({"state_dict": both}, tmp_path)
    with pytest.raises(ValueError, match=r"2 times, under \['student.', 'teacher.'\]: pass a"):
        loaded(path)


def test_parts_that_were_saved_apart_are_found(tmp_path):
    content = {"backbone": RAW, "head": {"weight": torch.ones(2, 2)}, "epoch": 2}
    assert_holds(loaded(saved(content, tmp_path)), RAW)


def averaged_by_torch():
    net = timm.create_model(TINY)
    net.load_state_dict(AVERAGE)
    return AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9)).state_dict()


BYSTANDERS = {
    "torch's average": averaged_by_torch(),
    "counter": {**AVERAGE, "n_averaged": torch.tensor(3)},
    "numbers": {**AVERAGE, "epoch": 3, "lr": 0.1, "name": "mine"},
    "optimizer": {**AVERAGE, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
    "flat optimizer": {**AVERAGE, "optimizer.step": torch.tensor(1.0)},
    "thop": {**AVERAGE, "conv1.total_ops": torch.zeros(1), "total_params": torch.zeros(1)},
    "decay": {**AVERAGE, "ema_decay": torch.tensor(0.9)},
}


@pytest.mark.parametrize("kind", BYSTANDERS)
def test_what_is_no_part_of_a_network_is_left_out(kind, tmp_path):
    assert_holds(loaded(saved(BYSTANDERS[kind], tmp_path)), AVERAGE)


def test_unknown_layers_are_no_bystanders(tmp_path):
    path = saved({**RAW, "layer9.conv.weight": torch.ones(2)}, tmp_path)
    with pytest.raises(ValueError, match=r"do not fit .*Unexpected .*layer9\.conv\.weight"):
        loaded(path)


def test_what_is_missing_and_what_is_there_are_named(tmp_path):
    part = {f"model.{name}": t for name, t in RAW.items() if not name.startswith("conv1")}
    with pytest.raises(ValueError, match=r'Missing .*"conv1.*Unexpected .*"model\.bn1'):
        loaded(saved(part, tmp_path))


def test_other_classes_are_counted_under_a_prefix(tmp_path):
    state = {**RAW, "fc.weight": RAW["fc.weight"][:7], "fc.bias": RAW["fc.bias"][:7]}
    assert_holds(loaded(saved({"state_dict": under("model.", state)}, tmp_path)), state)


def test_a_network_without_classifier_is_found_under_a_prefix(tmp_path):
    state = {name: t for name, t in RAW.items() if not name.startswith("fc.")}
    assert_holds(loaded(saved(under("backbone.", state), tmp_path)), state)


def test_names_that_timm_translates_stay_as_they_are(tmp_path):
    """Another library's names for a vision transformer, which timm's own filter knows."""
    state = state_of(0, "test_vit")
    old = {name.replace("norm.", "norm.", 1): tensor for name, tensor in state.items()}
    path = saved({"model": old}, tmp_path)
    assert_holds(loaded(path, "test_vit"), state)


def loading_paths(tmp_path):
    """A model of each kind, the state that it is to get, and a wrong one beside."""
    net = small_networks.trained_net().state_dict()
    other = small_networks.CountingNet().state_dict()
    alex = load_backbone("torchvision/squeezenet1_1", None).module.state_dict()
    wrong = {name: torch.zeros_like(tensor) for name, tensor in alex.items()}
    return {
        "timm": (TINY, AVERAGE, RAW),
        "torchvision": ("torchvision/squeezenet1_1", alex, wrong),
        "module": (small_networks.CountingNet(), net, other),
        "callable": (small_networks.counting_net, net, other),
    }


@pytest.mark.parametrize("kind", ["timm", "torchvision", "module", "callable"])
def test_every_kind_of_model_reads_checkpoints(kind, tmp_path):
    model, state, other = loading_paths(tmp_path)[kind]
    content = {
        "state_dict": under("model.module.", other),
        "model_ema": {**under("_orig_mod.", state), "n_averaged": torch.tensor(1)},
    }
    backbone = loaded(saved(content, tmp_path), model)
    assert_holds(backbone, state)
    assert "its moving average, 'model_ema'" in backbone.origin


def test_the_hub_reads_checkpoints(offline, tmp_path):
    from tests.networks.test_backbones import write_hub_cache

    write_hub_cache(tmp_path / "hub", "someone/tiny", RAW)
    path = saved({"state_dict": RAW, "state_dict_ema": under("model.", AVERAGE)}, tmp_path)
    assert_holds(loaded(path, "hf-hub:someone/tiny"), AVERAGE)


def test_torchvision_counts_other_classes_under_a_prefix(tmp_path):
    state = dict(load_backbone("torchvision/mobilenet_v3_small", None).module.state_dict())
    state["classifier.3.weight"] = state["classifier.3.weight"][:4]
    state["classifier.3.bias"] = state["classifier.3.bias"][:4]
    path = saved({"state_dict": under("model.", state)}, tmp_path)
    assert_holds(loaded(path, "torchvision/mobilenet_v3_small"), state)


def test_fine_tuning_starts_from_the_average(crops, tmp_path):
    path = saved({"state_dict": RAW, "state_dict_ema": under("net.", AVERAGE)}, tmp_path)
    y = np.arange(9) % 2
    options = {"freeze": "all", "max_epochs": 1, "engine": "torch", "input_size": 32}
    found, expected = (
        FineTunedClassifier(TINY, weights=weights, **options).fit(crops, y).transform(crops)
        for weights in (path, AVERAGE)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_checkpoints_of_other_types_are_brought_to_float32(dtype, tmp_path):
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in RAW.items()}
    backbone = loaded(saved({"state_dict": under("model.", state)}, tmp_path))
    assert_holds(backbone, state)
    assert all(p.dtype == torch.float32 for p in backbone.module.parameters())


def spoilt(state, name, value):
    state = {n: t.clone() for n, t in state.items()}
    flat = state[name].flatten()
    flat[:2] = value
    state[name] = flat.reshape(state[name].shape)
    return state


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["layer1.0.conv1.weight", "bn1.running_var"])
def test_bad_weights_are_blamed_when_they_are_loaded(name, value, tmp_path):
    path = saved(spoilt(RAW, name, value), tmp_path)
    expected = (
        rf"test_resnet .*checkpoint.pth\) has weights that are NaN or infinite: 2 of .*{name}"
    )
    with pytest.raises(ValueError, match=expected):
        loaded(path)


@pytest.mark.parametrize("kind", ["module", "callable", "torchvision"])
def test_bad_weights_are_blamed_whatever_the_model(kind, tmp_path):
    model, state, _ = loading_paths(tmp_path)[kind]
    name = next(name for name, tensor in state.items() if tensor.ndim == 4)
    with pytest.raises(ValueError, match=f"has weights that are NaN .*{name}"):
        loaded(spoilt(state, name, np.nan), model)


def test_a_module_with_bad_weights_of_its_own_is_refused(crops):
    net = small_networks.trained_net()
    nn.init.constant_(net.body[1].weight, np.inf)
    extractor = PretrainedFeatures(net)
    with pytest.raises(ValueError, match=r"CountingNet \(own weights\) .*'body.1.weight'"):
        extractor.fit(crops)


def test_infinite_masks_are_no_bad_weights(crops):
    net = small_networks.trained_net()
    net.register_buffer("mask", torch.full((2, 2), -torch.inf))
    assert PretrainedFeatures(net).fit_transform(crops).shape == (9, 5)


def test_fine_tuning_blames_bad_weights(crops, tmp_path):
    path = saved(spoilt(RAW, "conv1.0.weight", np.nan), tmp_path)
    tuner = FineTunedClassifier(TINY, weights=path)
    with pytest.raises(ValueError, match="has weights that are NaN or infinite"):
        tuner.fit(crops, np.arange(9) % 2)


def test_a_saved_network_with_bad_weights_is_refused(crops, tmp_path):
    options = {"freeze": "all", "max_epochs": 1, "engine": "torch"}
    tuned = FineTunedClassifier(small_networks.trained_net(), **options)
    tuned.fit(crops, np.arange(9) % 2).save(tmp_path)
    path = tmp_path / "weights.safetensors"
    state = safetensors.torch.load_file(path)
    safetensors.torch.save_file(spoilt(state, "head.linear.weight", np.nan), path)
    with pytest.raises(ValueError, match=r"its saved weights.*'head.linear.weight'"):
        FineTunedClassifier.load(tmp_path, model=small_networks.trained_net())


def quantized_dynamically():
    net = copy.deepcopy(small_networks.trained_net()).eval()
    return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)


def quantized_statically():
    engines = torch.backends.quantized.supported_engines
    torch.backends.quantized.engine = "fbgemm" if "fbgemm" in engines else "qnnpack"
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.qconfig = torch.ao.quantization.get_default_qconfig(torch.backends.quantized.engine)
    prepared = torch.ao.quantization.prepare(net.eval())
    prepared(torch.randn(2, 3, 32, 32))
    return torch.ao.quantization.convert(prepared)


def with_small_weights():
    net = small_networks.trained_net()
    net.head.weight = nn.Parameter(torch.ones(5, 6, dtype=torch.int8), requires_grad=False)
    return net


QUANTIZED = [quantized_dynamically, quantized_statically, with_small_weights]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [PretrainedFeatures, FineTunedClassifier])
@pytest.mark.parametrize("make", QUANTIZED)
def test_a_quantized_module_is_refused_in_a_sentence(make, kind, crops):
    estimator = kind(make())
    with pytest.raises(ValueError, match="is quantized: .* Give the network as it was before"):
        estimator.fit(crops, np.arange(9) % 2)


def quantized_net(n_features_in):
    return quantized_dynamically()


@pytest.mark.filterwarnings("ignore")
def test_a_callable_that_returns_a_quantized_module_is_refused(crops):
    extractor = PretrainedFeatures(quantized_net)
    with pytest.raises(ValueError, match="model=quantized_net is quantized"):
        extractor.fit(crops)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", QUANTIZED)
@pytest.mark.parametrize("as_file", [False, True])
def test_weights_of_a_quantized_network_are_refused(make, as_file, tmp_path):
    state = make().state_dict()
    weights = saved(state, tmp_path) if as_file else state
    with pytest.raises(ValueError, match="quantized network"):
        load_backbone(small_networks.counting_net, weights)


def test_objects_that_would_execute_code_are_named(tmp_path):
    class Mine:
        pass

    globals()["Mine"] = Mine
    Mine.__qualname__ = "Mine"
    path = saved({"state_dict": RAW, "hyper_parameters": Mine()}, tmp_path)
    with pytest.raises(ValueError, match=r"beside tensors it holds .*Mine, which are not"):
        loaded(path)


def test_a_path_may_start_in_the_home_folder(crops, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(RAW, tmp_path / "w.pth")
    estimator = PretrainedFeatures(TINY, weights="~/w.pth")
    found = estimator.fit_transform(crops)
    np.testing.assert_array_equal(
        found, PretrainedFeatures(TINY, weights=RAW).transform(crops)
    )
    assert estimator.weights == "~/w.pth"
    torch.save(AVERAGE, tmp_path / "w.pth")
    again = PretrainedFeatures(TINY, weights="~/w.pth").transform(crops)
    assert not np.array_equal(again, found)


@pytest.mark.parametrize("path", ["~/a.png", Path("~/a.png")])
def test_samples_in_the_home_folder_are_told_how_to_be_found(path):
    with pytest.raises(ValueError, match=r"no such file; '~' .* use os.path.expanduser"):
        PretrainedFeatures(TINY, weights=RAW).transform([path])


@pytest.mark.parametrize("kind", ["features", "fine-tuning"])
def test_a_cache_may_lie_in_the_home_folder(kind, crops, tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(elsewhere)
    net = small_networks.trained_net()
    if kind == "features":
        estimator = PretrainedFeatures(net, cache="~/kept").fit(crops)
        estimator.transform(crops)
    else:
        options = {"freeze": "stem", "max_epochs": 1, "augment": "flip", "n_views": 2}
        estimator = FineTunedClassifier(net, cache="~/kept", **options)
        estimator.fit(crops, np.arange(9) % 2)
    assert estimator.cache == "~/kept"
    assert os.listdir(elsewhere) == []
    assert os.listdir(home) == ["kept"]
    assert os.listdir(home / "kept")


def test_networks_are_saved_in_the_home_folder(crops, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    net = small_networks.trained_net()
    options = {"freeze": "all", "max_epochs": 1, "engine": "torch"}
    tuned = FineTunedClassifier(net, **options).fit(crops, np.arange(9) % 2).save("~/model")
    assert (tmp_path / "model" / "weights.safetensors").exists()
    again = FineTunedClassifier.load("~/model", model=net)
    np.testing.assert_allclose(
        again.predict_proba(crops), tuned.predict_proba(crops), atol=1e-6
    )


@pytest.mark.parametrize("cache", ["Memory", "memory "])
def test_a_misspelt_cache_of_a_fine_tuner_is_told(cache, crops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tuner = FineTunedClassifier(small_networks.trained_net(), freeze="all", cache=cache)
    with pytest.raises(ValueError, match="Did you mean 'memory'"):
        tuner.fit(crops, np.arange(9) % 2)
