import copy
import json
import pickle
import shutil

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._networks import registry
from sklearn_transfer._networks.registry import load_backbone
from tests import small_networks
from tests.small_networks import CONFIG, CountingNet, trained_net

TINY = "test_resnet"


@pytest.fixture
def tiny_state():
    torch.manual_seed(3)
    return timm.create_model(TINY).state_dict()


def features(crops, *args, **options):
    return PretrainedFeatures(*args, cache=None, **options).fit_transform(crops)


def plain_timm(state_dict, crops):
    """A hand-written timm loop: its transform, its network without classifier."""
    from PIL import Image

    module = timm.create_model(TINY)
    module.load_state_dict(state_dict)
    module.reset_classifier(0)
    config = timm.data.resolve_model_data_config(module)
    transform = timm.data.create_transform(**config, is_training=False)
    with torch.no_grad():
        return module.eval()(torch.stack([transform(Image.fromarray(c)) for c in crops]))


def test_equal_requests_share_one_network():
    assert load_backbone(TINY, None) is load_backbone(TINY, None)


def test_equal_modules_share_one_network():
    net = trained_net()
    first = load_backbone(net, "pretrained")
    assert load_backbone(copy.deepcopy(net), "pretrained") is first


def test_a_changed_module_is_another_network():
    net = trained_net()
    first = load_backbone(net, "pretrained")
    with torch.no_grad():
        net.norm.running_mean[0] += 1
    assert load_backbone(net, "pretrained").digest != first.digest


def test_registry_is_bounded_but_keeps_the_newest(monkeypatch):
    registry.clear_registry()
    monkeypatch.setattr(registry, "_REGISTRY_BYTES", 1)
    first, second = load_backbone(TINY, None), load_backbone("test_vit", None)
    assert load_backbone("test_vit", None) is second
    assert load_backbone(TINY, None) is not first


def test_module_passed_in_is_untouched(crops):
    net = trained_net().train()
    state = copy.deepcopy(net.state_dict())
    PretrainedFeatures(net, layers=["stem", None]).fit(crops).transform(crops)
    assert net.training
    assert net.norm.training
    assert all(p.requires_grad for p in net.parameters())
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_module_in_training_mode_gives_the_features_of_evaluation_mode(crops):
    net = trained_net()
    np.testing.assert_array_equal(
        features(crops, copy.deepcopy(net).train()), features(crops, net.eval())
    )


def test_shared_network_is_in_evaluation_mode_and_frozen():
    module = load_backbone(trained_net().train(), "pretrained").module
    assert not any(m.training for m in module.modules())
    assert not any(p.requires_grad for p in module.parameters())


def test_features_keep_batch_norm_statistics(crops):
    module = load_backbone(trained_net(), "pretrained").module
    before = module.norm.running_mean.clone()
    features(crops, trained_net())
    assert torch.equal(module.norm.running_mean, before)


def test_building_leaves_the_global_random_state_alone():
    registry.clear_registry()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_backbone(TINY, None)
    load_backbone(small_networks.mlp, "pretrained", n_features_in=3)
    assert torch.equal(torch.rand(3), expected)


def test_network_built_in_inference_mode_still_takes_gradients():
    registry.clear_registry()
    with torch.inference_mode():
        module = load_backbone(TINY, None).module
    assert not any(p.is_inference() for p in module.parameters())


def test_random_weights_follow_the_seed(crops):
    same = features(crops, TINY, weights=None, random_state=1)
    np.testing.assert_array_equal(features(crops, TINY, weights=None, random_state=1), same)
    assert not np.allclose(features(crops, TINY, weights=None, random_state=2), same)


def test_random_weights_do_not_depend_on_the_default_type(crops, double):
    registry.clear_registry()
    found = features(crops, TINY, weights=None, random_state=3)
    torch.set_default_dtype(torch.float32)
    registry.clear_registry()
    np.testing.assert_array_equal(features(crops, TINY, weights=None, random_state=3), found)


def test_random_weights_of_a_module_are_drawn_anew(crops):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    net.pretrained_cfg = CONFIG
    own = features(crops, net)
    drawn = features(crops, net, weights=None)
    assert not np.allclose(drawn, own)
    np.testing.assert_array_equal(features(crops, net, weights=None), drawn)


def test_module_with_parameters_that_cannot_be_drawn_anew_is_refused(crops):
    with pytest.raises(ValueError, match="cannot draw .*'cls_token'.* pass a factory"):
        features(crops, small_networks.Tokens(), weights=None)


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt"])
def test_weights_from_a_file_equal_a_hand_written_loop(suffix, crops, tiny_state, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        safetensors.torch.save_file(tiny_state, path)
    else:
        torch.save(tiny_state, path)
    expected = plain_timm(tiny_state, crops)
    for weights in (path, str(path)):
        found = features(crops, TINY, weights=weights)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_weights_from_a_mapping_equal_a_hand_written_loop(crops, tiny_state):
    found = features(crops, TINY, weights=tiny_state)
    np.testing.assert_allclose(found, plain_timm(tiny_state, crops), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_training_checkpoints_are_unwrapped(key, crops, tiny_state, tmp_path):
    torch.save(
        {key: {f"module.{k}": v for k, v in tiny_state.items()}, "epoch": 3},
        tmp_path / "c.pth",
    )
    found = features(crops, TINY, weights=tmp_path / "c.pth")
    np.testing.assert_array_equal(found, features(crops, TINY, weights=tiny_state))


def test_checkpoint_with_other_classes_keeps_its_classifier(crops, tiny_state):
    tiny_state = dict(tiny_state)
    tiny_state["fc.weight"] = tiny_state["fc.weight"][:7].clone()
    tiny_state["fc.bias"] = tiny_state["fc.bias"][:7].clone()
    assert features(crops, TINY, weights=tiny_state, layers="logits").shape == (9, 7)


def test_checkpoint_without_classifier_has_no_logits(crops, tiny_state):
    headless = {k: v for k, v in tiny_state.items() if not k.startswith("fc.")}
    np.testing.assert_array_equal(
        features(crops, TINY, weights=headless), features(crops, TINY, weights=tiny_state)
    )
    with pytest.raises(ValueError, match="has no classifier"):
        features(crops, TINY, weights=headless, layers="logits")


def test_weights_of_another_network_are_refused(crops, tiny_state):
    with pytest.raises(ValueError, match="do not fit 'test_vit': .*Missing key"):
        features(crops, "test_vit", weights=tiny_state)


def test_weights_of_another_shape_are_refused(crops, tiny_state):
    tiny_state = {**tiny_state, "conv1.0.weight": torch.zeros(3, 3, 3, 3)}
    with pytest.raises(ValueError, match="do not fit .*conv1.0.weight"):
        features(crops, TINY, weights=tiny_state)


def test_file_that_executes_code_is_refused_and_not_run(crops, tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    with open(tmp_path / "evil.pth", "wb") as file:
        pickle.dump(Payload(), file)
    with pytest.raises(ValueError, match="cannot be read as a state dict"):
        features(crops, TINY, weights=tmp_path / "evil.pth")
    assert not (tmp_path / "was_run").exists()


def test_file_that_holds_a_list_is_refused(crops, tmp_path):
    torch.save([1, 2], tmp_path / "c.pth")
    with pytest.raises(ValueError, match="not a state dict: .* names to tensors, got list"):
        features(crops, TINY, weights=tmp_path / "c.pth")


def test_misspelt_pretrained_names_the_word(crops):
    with pytest.raises(FileNotFoundError, match="Did you mean 'pretrained'"):
        features(crops, TINY, weights="pretraind")


def test_prefix_of_a_compiled_module_is_removed(crops, tiny_state):
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in tiny_state.items()}
    np.testing.assert_array_equal(
        features(crops, TINY, weights=compiled), features(crops, TINY, weights=tiny_state)
    )


def test_missing_weights_file_is_named(crops, tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.pth': no such file"):
        features(crops, TINY, weights=tmp_path / "gone.pth")


def test_file_without_a_state_dict_is_refused(crops, tmp_path):
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match="not a state dict: .*'epoch'"):
        features(crops, TINY, weights=tmp_path / "c.pth")


def test_replaced_weights_file_is_read_again(crops, tiny_state, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(tiny_state, path)
    before = features(crops, TINY, weights=path)
    torch.save({k: v * 2 if v.is_floating_point() else v for k, v in tiny_state.items()}, path)
    assert not np.allclose(features(crops, TINY, weights=path), before)


def test_factory_takes_weights_too(crops):
    net = trained_net()
    found = features(crops, small_networks.counting_net, weights=net.state_dict())
    np.testing.assert_array_equal(found, features(crops, net))


def test_factory_is_built_in_a_seeded_scope():
    rows = np.eye(4, dtype=np.float32)
    options = {"preprocess": None, "cache": None}
    first = PretrainedFeatures(small_networks.mlp, **options).fit_transform(rows)
    torch.manual_seed(99)
    registry.clear_registry()
    again = PretrainedFeatures(small_networks.mlp, **options).fit_transform(rows)
    other = PretrainedFeatures(small_networks.mlp, random_state=1, **options).fit_transform(
        rows
    )
    np.testing.assert_array_equal(again, first)
    assert not np.allclose(other, first)


def test_factory_that_returns_no_module_is_refused():
    estimator = PretrainedFeatures(lambda n_features_in: "net", preprocess=None)
    with pytest.raises(ValueError, match="returned str, expected a callable that takes"):
        estimator.fit(np.eye(3))


def test_double_precision_module_gives_float32(crops):
    net = trained_net()
    found = features(crops, copy.deepcopy(net).double())
    np.testing.assert_array_equal(found, features(crops, net))


def test_torchvision_module_is_recognized(crops):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    found = features(crops, resnet18(weights=None), input_size=64)
    assert found.shape == (9, 512)


def test_timm_module_is_recognized(crops):
    module = timm.create_model(TINY)
    found = features(crops, module)
    named = features(crops, TINY, weights=module.state_dict())
    np.testing.assert_allclose(found, named, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "attribute", "width"),
    [
        ("convnext_tiny", "classifier", 768),
        ("vit_b_32", "heads", 768),
        ("swin_t", "head", 768),
        ("densenet121", "classifier", 1024),
        ("resnet18", "fc", 512),
    ],
)
def test_torchvision_module_with_its_head_cut_off_is_taken_at_its_output(
    name, attribute, width, crops
):
    import torchvision

    torch.manual_seed(0)
    options = {"image_size": 64} if "vit" in name else {}
    module = torchvision.models.get_model(name, weights=None, **options).eval()
    setattr(module, attribute, nn.Identity())
    images = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).flatten(1).numpy()
    assert expected.shape == (2, width)
    found = PretrainedFeatures(module, preprocess=None, cache=None).fit_transform(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_torchvision_module_without_any_head_is_taken_at_its_output():
    from torchvision.models import resnet18
    from torchvision.models._utils import IntermediateLayerGetter

    class Trunk(IntermediateLayerGetter):
        def forward(self, x):
            return super().forward(x)["out"]

    Trunk.__module__ = IntermediateLayerGetter.__module__
    torch.manual_seed(0)
    trunk = Trunk(resnet18(weights=None), {"layer2": "out"}).eval()
    images = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = trunk(torch.from_numpy(images)).mean((2, 3))
    found = PretrainedFeatures(trunk, preprocess=None, cache=None).fit_transform(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_torchvision_average_is_the_embedding_of_a_network_that_averages():
    images = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    options = {"weights": None, "preprocess": None, "cache": None}
    name = "torchvision/densenet121"
    average = PretrainedFeatures(name, pooling="avg", **options).fit_transform(images)
    own = PretrainedFeatures(name, **options).fit_transform(images)
    np.testing.assert_allclose(average, own, rtol=1e-4, atol=1e-6)


class Keeping(nn.Module):
    """Keeps an activation on itself between two layers, as people do."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3)

    def forward(self, x):
        self.kept = self.first(x)
        out = self.second(self.kept)
        return (self.kept[:, :, 1:-1, 1:-1] + out).mean((2, 3))


def test_a_module_that_keeps_state_runs_one_pass_at_a_time():
    images = np.random.default_rng(0).normal(size=(200, 3, 24, 24)).astype(np.float32)
    module = Keeping()
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        estimator = PretrainedFeatures(module, preprocess=None, batch_size=2, cache=None)
        found = estimator.fit_transform(images)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_batches_side_by_side_give_the_features_of_one_thread(crops):
    expected = features(crops * 5, TINY, weights=None)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        found = features(crops * 5, TINY, weights=None, batch_size=2)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_module_that_asks_for_a_view_works(crops):
    class View(nn.Module):
        def __init__(self):
            super().__init__()
            self.pretrained_cfg, self.conv = CONFIG, nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).view(len(x), -1)

    assert features(crops, View()).shape == (9, 4 * 30 * 30)


def test_volumes_work():
    net = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU())
    volumes = np.random.default_rng(0).normal(size=(3, 1, 6, 6, 6)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(volumes)).mean((2, 3, 4))
    found = PretrainedFeatures(net, preprocess=None).fit_transform(volumes)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_module_without_data_configuration_says_what_to_pass(crops):
    with pytest.raises(
        ValueError, match="pass a callable .* preprocess=None .*pretrained_cfg"
    ):
        features(crops, nn.Conv2d(3, 4, 3))


def test_unknown_model_lists_near_matches(crops):
    with pytest.raises(ValueError, match="no network that timm or torchvision .*'resnet50'"):
        features(crops, "resnt50")


def test_unknown_torchvision_model_lists_near_matches(crops):
    with pytest.raises(ValueError, match="Did you mean 'torchvision/alexnet'"):
        features(crops, "torchvision/alexnett")


def test_unknown_tag_lists_near_matches(crops):
    with pytest.raises(ValueError, match="no weights of that tag.*'resnet50.a1_in1k'"):
        features(crops, "resnet50.a1_in1kk", weights=None)


def test_input_size_reaches_networks_of_fixed_size(crops):
    backbone = load_backbone("test_vit", None, input_size=(48, 64))
    assert backbone.spec.size == (48, 64)
    found = features(crops, "test_vit", weights=None, input_size=(48, 64), layers="deep")
    assert np.isfinite(found).all()


@pytest.mark.parametrize("size", [(3, 4, 5), (32.0, 32), "large"])
def test_wrong_input_size_is_refused(size, crops):
    with pytest.raises(ValueError, match="input_size"):
        features(crops, TINY, weights=None, input_size=size)


def test_unknown_device_is_refused(crops):
    with pytest.raises(ValueError, match="device='gpu' is not available"):
        features(crops, TINY, weights=None, device="gpu")


def test_clone_of_a_module_estimator_shares_cache_and_network(crops):
    from sklearn.base import clone

    CountingNet.reset()
    estimator = PretrainedFeatures(trained_net())
    estimator.fit_transform(crops)
    clone(estimator).fit_transform(crops)
    assert CountingNet.images_seen == len(crops)


def test_hub_model_is_loaded_from_a_local_cache_folder(offline, crops, tiny_state, tmp_path):
    write_hub_cache(tmp_path / "hub", "someone/tiny", tiny_state)
    found = features(crops, "hf-hub:someone/tiny")
    np.testing.assert_array_equal(found, features(crops, TINY, weights=tiny_state))


def test_hub_model_takes_random_weights_from_its_configuration(
    offline, crops, tiny_state, tmp_path
):
    write_hub_cache(tmp_path / "hub", "someone/tiny", tiny_state)
    found = features(crops, "hf-hub:someone/tiny", weights=None)
    assert not np.allclose(found, features(crops, "hf-hub:someone/tiny"))


def test_changed_preprocessing_is_refused_after_fit(offline, crops, tiny_state, tmp_path):
    write_hub_cache(tmp_path / "hub", "someone/tiny", tiny_state)
    estimator = PretrainedFeatures("hf-hub:someone/tiny").fit(crops)
    estimator.transform(crops)
    [old] = tmp_path.glob("hub/*/snapshots/*")
    new = shutil.copytree(old, old.with_name("1" * 40))
    config = json.loads((new / "config.json").read_text())
    config["pretrained_cfg"]["mean"] = [0.1, 0.2, 0.3]
    (new / "config.json").write_text(json.dumps(config))
    (old.parents[1] / "refs" / "main").write_text(new.name)
    registry.clear_registry()  # a process stays with the revision that it has loaded
    with pytest.raises(ValueError, match="its tokenizer, prompts or preprocessing"):
        estimator.transform(crops)
    estimator.fit(crops).transform(crops)


def test_named_model_is_loaded_from_a_local_cache_folder(offline, crops, tiny_state, tmp_path):
    repo = timm.models.get_pretrained_cfg(TINY).hf_hub_id
    write_hub_cache(tmp_path / "hub", repo, tiny_state)
    found = features(crops, TINY)
    np.testing.assert_array_equal(found, features(crops, TINY, weights=tiny_state))


def test_torchvision_weights_are_loaded_from_a_local_cache_folder(
    offline, crops, tmp_path, monkeypatch
):
    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    torch.manual_seed(0)
    state = squeezenet1_1(weights=None).state_dict()
    folder = tmp_path / "torch" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2])
    name = "torchvision/squeezenet1_1"
    found = features(crops, name, input_size=64)
    np.testing.assert_array_equal(found, features(crops, name, weights=state, input_size=64))


def test_input_size_reaches_hub_models_of_fixed_size(offline, crops, tmp_path):
    state = timm.create_model("test_vit").state_dict()
    write_hub_cache(tmp_path / "hub", "someone/vit", state, "test_vit")
    assert features(crops, "hf-hub:someone/vit", input_size=96).shape == (9, 64)


def write_hub_cache(folder, repo, state_dict, arch=TINY):
    """What a download of `repo` leaves behind, as huggingface_hub lays it out."""
    root = folder / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("0" * 40)
    safetensors.torch.save_file(state_dict, snapshot / "model.safetensors")
    config = timm.models.get_pretrained_cfg(arch).to_dict()
    config = {k: v for k, v in config.items() if k not in ("hf_hub_id", "url", "architecture")}
    (snapshot / "config.json").write_text(
        json.dumps({"architecture": arch, "num_classes": 1000, "pretrained_cfg": config})
    )
