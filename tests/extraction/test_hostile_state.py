"""Features are right whatever an earlier process has left, with at most one warning."""

import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_transfer import PretrainedFeatures, PretrainedTextFeatures
from sklearn_transfer._networks import devices, questions
from sklearn_transfer._networks.engines import choice
from sklearn_transfer._networks.registry import clear_registry
from tests.ready import compute
from tests.small_texts import write_bert

ROOT = Path(__file__).parents[2]


def make_net(n_outputs=4):
    import timm

    return timm.create_model("test_resnet", num_classes=n_outputs)


def make_weights(seed):
    torch.manual_seed(seed)
    return make_net(1000).state_dict()


def make_expected(crops, **options):
    """Features by PyTorch, of which nothing is kept."""
    clear_registry()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKLEARN_TRANSFER_HOME", "0")
        options = {"weights": None, "model": "test_resnet", **options}
        return PretrainedFeatures(**options, cache=None, engine="torch").fit_transform(crops)


def assert_close(found, expected):
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-3)


# Weights and networks that no name stands for


def test_weights_in_a_dict_that_change_are_noticed(home, crops, tmp_path):
    weights = make_weights(0)
    compute(crops, weights=weights, cache=tmp_path / "cache")
    for tensor in weights.values():
        if tensor.is_floating_point():
            tensor.mul_(1.1)
    expected = make_expected(crops, weights=weights)
    for start_anew in (False, True):
        options = {"cache": tmp_path / "cache", "start_anew": start_anew}
        assert_close(compute(crops, weights=weights, **options), expected)
    assert not home.exists()


def test_callable_networks_are_told_apart(home, crops, tmp_path):
    def make_first(n_channels):
        torch.manual_seed(0)
        return make_net()

    def make_second(n_channels):
        torch.manual_seed(1)
        return make_net()

    for make in (make_first, make_second, make_first):
        options = {"model": make, "weights": "pretrained"}
        found = compute(crops, cache=tmp_path / "cache", **options)
        assert_close(found, make_expected(crops, **options))
    assert not home.exists()


# Files that change between two processes


def test_tokenizer_that_is_edited_is_noticed(home, loads, tmp_path):
    folder = tmp_path / "net"
    write_bert(folder)
    features = PretrainedTextFeatures(str(folder), cache=tmp_path / "cache")
    texts = ["red cat", "blue fish is"]
    first = features.fit_transform(texts)
    path = folder / "tokenizer.json"
    stated = json.loads(path.read_text())
    words = stated["model"]["vocab"]
    words["red"], words["blue"] = words["blue"], words["red"]
    path.write_text(json.dumps(stated))
    clear_registry()
    loads.clear()
    found = features.fit_transform(texts)
    assert loads
    assert not np.array_equal(found, first)
    exchanged = features.transform(["blue cat", "red fish is"])
    assert np.allclose(exchanged, first, rtol=1e-4, atol=1e-5)


def test_fitted_text_extractor_refuses_an_edited_tokenizer(home, tmp_path):
    folder = tmp_path / "net"
    write_bert(folder)
    features = PretrainedTextFeatures(str(folder), cache=None).fit(["red cat"])
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"red"', '"RED"'))
    clear_registry()
    with pytest.raises(ValueError, match="reads samples in another way"):
        features.transform(["red cat"])


# Engines that come and go


@pytest.fixture
def engines(monkeypatch):
    """Function that hides packages of engines from now on, as in another process."""

    def forget():
        choice._is_installed.cache_clear()
        questions.list_engine_versions.cache_clear()
        clear_registry()

    def hide(*names):
        for name in ("openvino", "onnxruntime"):
            monkeypatch.setitem(sys.modules, name, None if name in names else known[name])
        forget()

    known = {name: __import__(name) for name in ("openvino", "onnxruntime")}
    yield hide
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize("missing", [["openvino"], ["openvino", "onnxruntime"]])
def test_engine_that_is_missing_and_comes_back(missing, home, crops, tmp_path, engines):
    expected = make_expected(crops)
    cache = tmp_path / "cache" if len(missing) == 1 else None
    engines()
    first = compute(crops, cache=cache)
    engines(*missing)
    assert_close(compute(crops, cache=cache), expected)
    engines()
    assert np.array_equal(compute(crops, cache=cache), first)
    assert_close(first, expected)


def test_engine_that_no_longer_runs_is_replaced_with_one_warning(
    home, crops, monkeypatch, engines
):
    engines()
    compute(crops, cache=None)

    def fail(self, graph, precision):
        raise OSError("libopenvino.so: cannot open shared object file")

    with monkeypatch.context() as patch:
        patch.setattr(choice.OpenVINOEngine, "compile", fail)
        with pytest.warns(UserWarning, match=r"openvino cannot run .*libopenvino") as told:
            found = compute(crops, cache=None)
    assert len(told) == 1
    assert_close(found, make_expected(crops))


# Pickles


@pytest.mark.parametrize("is_recorded", [True, False])
def test_pickle_without_what_fit_records_today_gives_the_same_features(
    is_recorded, home, crops, tmp_path
):
    options = {"weights": None, "cache": tmp_path / "cache", "layers": "middle"}
    features = PretrainedFeatures("test_resnet", **options).fit(crops)
    expected, names = features.transform(crops), features.get_feature_names_out()
    for name in ("_reading", "_widths", "_signature"):
        del features.__dict__[name]
    pickled = pickle.dumps(features)
    clear_registry()
    if not is_recorded:
        for path in [*home.iterdir(), *(tmp_path / "cache" / "networks").iterdir()]:
            path.unlink()
    found = pickle.loads(pickled)
    assert np.array_equal(found.transform(crops), expected)
    assert found.get_feature_names_out().tolist() == names.tolist()


def test_pickle_of_other_weights_is_refused(home, crops, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(make_weights(0), path)
    pickled = pickle.dumps(
        PretrainedFeatures("test_resnet", weights=path, cache=None).fit(crops)
    )
    torch.save(make_weights(1), path)
    clear_registry()
    with pytest.raises(ValueError, match="was fitted with"):
        pickle.loads(pickled).transform(crops)


# Folders that another user owns

PROGRAM = """
import json, os, sys, warnings
import numpy as np
from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._networks.registry import clear_registry
folder = sys.argv[1]
images = list(np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8))
if os.getuid() == 0:  # who may write everywhere
    os.environ["SKLEARN_TRANSFER_HOME"] = "0"
    options = {"weights": None, "cache": folder + "/other"}  # imports what others cannot read
    PretrainedFeatures("test_resnet", **options).fit_transform(images)
    clear_registry()
    os.setgid(65534)
    os.setuid(65534)
for home, cache in ((folder + "/home", None), ("0", folder + "/cache")):
    os.environ["SKLEARN_TRANSFER_HOME"] = home
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        features = PretrainedFeatures("test_resnet", weights=None, cache=cache)
        found = features.fit(images).transform(images)
        assert np.array_equal(found, features.transform(images))
    print(json.dumps([found.tolist(), [str(entry.message) for entry in told]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions.")
def test_folders_that_can_only_be_read_give_one_warning_each():
    with tempfile.TemporaryDirectory() as folder:  # those of pytest are closed to others
        os.chmod(folder, 0o755)
        for name in ("home", "cache"):
            os.mkdir(f"{folder}/{name}")
            os.chmod(f"{folder}/{name}", 0o555)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, folder],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        left = os.listdir(f"{folder}/home") + os.listdir(f"{folder}/cache")
    assert done.returncode == 0, done.stderr
    assert left == []
    images = list(np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8))
    expected = make_expected(images)
    for line, said in zip(
        done.stdout.splitlines(), ["cannot be", "neither read"], strict=True
    ):
        found, told = json.loads(line)
        assert_close(np.float32(found), expected)
        assert len(told) == 1
        assert said in told[0]


# Devices


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """A machine on which there seems to be a driver of an accelerator."""
    monkeypatch.setattr(devices, "_TRACES", (str(tmp_path),))
    monkeypatch.setattr(devices, "_told", set())


def test_driver_without_a_device_leaves_the_cpu(driver, home, loads, crops, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    first = compute(crops, cache=None)
    loads.clear()
    assert np.array_equal(compute(crops, cache=None), first)
    assert loads == []


def test_device_that_cannot_be_used_is_replaced_with_one_warning(
    driver, home, crops, tmp_path, monkeypatch
):
    expected = compute(crops, cache=None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    make_empty = torch.empty

    def fail(*args, device=None, **options):
        if torch.device("cpu" if device is None else device).type == "cuda":
            raise RuntimeError("CUDA error: out of memory")
        return make_empty(*args, device=device, **options)

    monkeypatch.setattr(torch, "empty", fail)
    with pytest.warns(UserWarning, match="device='auto'.*out of memory.*CPU computes") as told:
        found = compute(crops, cache=tmp_path / "cache")
    assert len(told) == 1
    assert np.array_equal(found, expected)
    found = compute(crops, cache=tmp_path / "cache")  # without another warning
    assert np.array_equal(found, expected)
    with pytest.raises(ValueError, match="device='cuda' is not available"):
        compute(crops, cache=None, device="cuda")
