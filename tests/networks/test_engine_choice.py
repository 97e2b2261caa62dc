"""Which engine runs a network, what happens where one cannot, and what it changes."""

import ctypes
import gc
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from sklearn.base import clone
from torch import nn

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.image.reader import PixelFormat
from sklearn_transfer._modalities.payloads import InputFormat
from sklearn_transfer._networks import onnx as onnx_export
from sklearn_transfer._networks import registry
from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.engines import choice
from sklearn_transfer._networks.engines import torch as torch_engine
from sklearn_transfer._networks.engines.choice import resolve_engine
from sklearn_transfer._networks.engines.plan import Plan, to_tensors
from sklearn_transfer._networks.layout import Layout
from sklearn_transfer._networks.registry import load_backbone
from sklearn_transfer._networks.taps import resolve_taps
from sklearn_transfer._process import allocator
from tests.small_networks import CONFIG, Shared, trained_net

COMPILED = ["openvino", "onnxruntime"]
ENGINES = ["torch", *COMPILED]
ROOT = Path(__file__).parents[2]
EXTRAS = [("openvino", "cpu"), ("onnxruntime", "onnx")]
SIGNATURE = (("input", (3, 32, 32), "<f4"),)


@pytest.fixture
def hide(monkeypatch):
    """Function after which a package seems not to be installed."""
    choice._is_installed.cache_clear()

    def hide(*packages):
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    yield hide
    choice._is_installed.cache_clear()


def network(device="cpu", stateful=False):
    description = Description(Layout("net"), None, "own weights", stateful)
    return Backbone(description, nn.Identity(), torch.device(device))


def tiny(engine="auto", **options):
    options = {"model": "test_resnet", "weights": None, "cache": None, **options}
    return PretrainedFeatures(engine=engine, **options)


class Centred(nn.Module):
    """Rows that depend on the rows beside them."""

    def __init__(self):
        super().__init__()
        self.pretrained_cfg = CONFIG
        self.conv = nn.Conv2d(3, 4, 3, 2)

    def forward(self, x):
        x = self.conv(x).mean((2, 3))
        return x - x.mean(0)


class Spectrum(nn.Module):
    """A Fourier transform, an operator that the exporter does not know."""

    def __init__(self):
        super().__init__()
        self.pretrained_cfg = CONFIG
        self.conv = nn.Conv2d(3, 4, 3, 2)

    def forward(self, x):
        return torch.fft.rfft2(self.conv(x)).abs().mean((2, 3))


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [
        ([], "openvino"),
        (["openvino"], "onnxruntime"),
        (["onnxruntime"], "openvino"),
        (["openvino", "onnxruntime"], "torch"),
        (["onnx"], "torch"),
    ],
)
def test_auto_is_the_fastest_one_installed(hidden, expected, hide):
    hide(*hidden)
    assert resolve_engine("auto", "float32", network()) == expected


@pytest.mark.parametrize(("hidden", "expected"), [([], "openvino"), (["openvino"], "torch")])
def test_auto_is_one_that_has_the_precision(hidden, expected, hide):
    hide(*hidden)
    assert resolve_engine("auto", "bfloat16", network()) == expected


def test_auto_is_torch_on_another_device():
    assert resolve_engine("auto", "float32", network("meta")) == "torch"


def test_auto_does_not_import_what_it_looks_for(hide, monkeypatch):
    for package in ("openvino", "onnxruntime", "onnx"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    resolve_engine("auto", "float32", network())
    assert "openvino" not in sys.modules
    assert "onnx" not in sys.modules


def test_auto_is_torch_for_a_users_class():
    assert tiny()._resolve_engine(load_backbone(trained_net(), "pretrained")) == "torch"


def test_auto_is_compiled_for_a_module_of_library_layers():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert tiny()._resolve_engine(load_backbone(net, "pretrained")) == "openvino"


def test_auto_is_torch_for_a_module_with_a_hook():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    net[0].register_forward_hook(lambda module, args, output: output + 1)
    assert tiny()._resolve_engine(load_backbone(net, "pretrained")) == "torch"


def test_auto_is_torch_for_a_module_with_a_hook_before_it():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    net[1].register_forward_pre_hook(lambda module, args: args)
    assert tiny()._resolve_engine(load_backbone(net, "pretrained")) == "torch"


def double(x):
    return 2 * x


def test_auto_is_torch_for_a_module_with_a_forward_of_its_own():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    net[1].forward = double
    assert tiny()._resolve_engine(load_backbone(net, "pretrained")) == "torch"


@pytest.mark.parametrize(("engine", "extra"), EXTRAS)
@pytest.mark.parametrize("missing", ["engine", "onnx"])
def test_missing_package_names_its_extra(engine, extra, missing, hide, crops):
    package = engine if missing == "engine" else missing
    hide(package)
    message = rf"engine='{engine}' needs {package}: .*sklearn-transfer\[{extra}\]"
    with pytest.raises(ImportError, match=message):
        tiny(engine).fit(crops)


@pytest.mark.parametrize("engine", COMPILED)
def test_compiled_engines_are_refused_on_another_device(engine):
    with pytest.raises(ValueError, match=f"'{engine}' runs on the CPU, but device='meta'"):
        resolve_engine(engine, "float32", network("meta"))


def test_onnxruntime_is_refused_in_bfloat16(crops):
    with pytest.raises(ValueError, match="'onnxruntime' has no precision='bfloat16'"):
        tiny("onnxruntime", precision="bfloat16").fit(crops)


def test_unknown_engine_is_refused(crops):
    with pytest.raises(ValueError, match="'engine' parameter .* must be a str among"):
        tiny("tensorrt").fit(crops)


def test_unknown_precision_is_refused(crops):
    with pytest.raises(ValueError, match="'precision' parameter .* must be a str among"):
        tiny(precision="float16").fit(crops)


def raising(plan, path):
    raise RuntimeError("no operator of that name\nand much more that nobody reads")


def export_other(plan, path, export=onnx_export.export_plan, **changes):
    setting = {name: getattr(plan, name) for name in inspect.signature(Plan).parameters}
    export(Plan(**{**setting, **changes}), path)


def brighter(plan, path):
    """Export a network that is given pixels of another mean."""
    export_other(plan, path, format=PixelFormat((0.0, 0.0, 0.0), plan.format.std))


def narrower(plan, path):
    """Export a shallower layer, of another width."""
    export_other(plan, path, taps=resolve_taps(plan.backbone, "shallow", "auto"))


FAULTS = [
    (raising, "RuntimeError: no operator of that name"),
    (brighter, "ArithmeticError: embedding differs from PyTorch by [0-9.]+e.[0-9]+"),
    (narrower, "ArithmeticError: embedding differs from PyTorch by inf"),
]


def fallback(estimator, samples):
    """Features, and the text of the one warning that comes with them."""
    with pytest.warns(UserWarning, match="cannot run") as caught:
        features = estimator.fit_transform(samples)
    (warning,) = caught
    return features, str(warning.message)


@pytest.mark.parametrize("fault", [fault for fault, _ in FAULTS])
@pytest.mark.parametrize("engine", COMPILED)
def test_fallback_gives_the_features_of_torch(engine, fault, fresh, monkeypatch, crops):
    monkeypatch.setattr(onnx_export, "export_plan", fault)
    features, _ = fallback(tiny(engine), crops)
    np.testing.assert_array_equal(features, tiny("torch").fit_transform(crops))


@pytest.mark.parametrize(("fault", "reason"), FAULTS)
@pytest.mark.parametrize("engine", COMPILED)
def test_fallback_names_engine_network_and_reason_in_one_line(
    engine, fault, reason, fresh, monkeypatch, crops
):
    monkeypatch.setattr(onnx_export, "export_plan", fault)
    _, message = fallback(tiny(engine), crops)
    assert re.fullmatch(rf"{engine} cannot run test_resnet \({reason}\); .*'torch'.*", message)


def test_fallback_warns_once_for_all_clones(fresh, monkeypatch, crops):
    monkeypatch.setattr(onnx_export, "export_plan", raising)
    first = tiny("openvino")
    features, _ = fallback(first, crops)
    np.testing.assert_array_equal(clone(first).fit_transform(crops), features)


def test_fallback_of_auto_says_which_engine(fresh, monkeypatch, crops):
    monkeypatch.setattr(onnx_export, "export_plan", raising)
    _, message = fallback(tiny("auto"), crops)
    assert message.startswith("openvino cannot run test_resnet")


def test_fallback_keeps_the_precision(fresh, monkeypatch, crops):
    monkeypatch.setattr(onnx_export, "export_plan", raising)
    options = {"precision": "bfloat16"}
    features, _ = fallback(tiny("openvino", **options), crops)
    np.testing.assert_array_equal(features, tiny("torch", **options).fit_transform(crops))


@pytest.mark.parametrize(("precision", "entries"), [("float32", 9), ("bfloat16", 0)])
def test_fallback_answers_for_the_engine_only_where_they_agree(
    precision, entries, fresh, monkeypatch, crops
):
    monkeypatch.setattr(onnx_export, "export_plan", raising)
    estimator = tiny("openvino", precision=precision, cache="memory")
    fallback(estimator, crops)
    assert estimator.cache_info().entries == entries


def test_engine_that_gives_nan_is_noticed(crops):
    backbone = load_backbone("test_resnet", None)
    taps = resolve_taps(backbone, None, "auto")
    plan = Plan(backbone, taps, InputFormat(), "float32", SIGNATURE)
    expected = [tensor.numpy() for tensor in plan.forward(to_tensors(plan.example(2)))]
    plan.check(expected, expected)
    with pytest.raises(ArithmeticError, match="embedding differs from PyTorch by nan"):
        plan.check([np.full_like(expected[0], np.nan)], expected)


@pytest.mark.parametrize("engine", COMPILED)
def test_a_network_that_onnx_cannot_say_falls_back(engine, fresh, crops):
    options = {"model": Spectrum(), "weights": "pretrained"}
    features, message = fallback(tiny(engine, **options), crops)
    assert message.startswith(f"{engine} cannot run Spectrum (UnsupportedOperatorError: ")
    np.testing.assert_array_equal(features, tiny("torch", **options).fit_transform(crops))


def test_a_network_that_differs_from_row_to_row_falls_back(fresh, crops):
    options = {"model": Centred(), "weights": "pretrained"}
    _, message = fallback(tiny("openvino", **options), crops)
    assert "ArithmeticError" in message


def test_fallback_prints_nothing(fresh, capfd, crops):
    fallback(tiny("openvino", model=Spectrum(), weights="pretrained"), crops)
    ctypes.CDLL(None).fflush(None)  # the exporter writes past Python
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("act", "'act' of Shared runs 2 times in one pass"),
        ("unused", "'unused' of Shared is never run in one pass"),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_layers_that_name_no_one_layer_are_refused(engine, layers, message, crops):
    options = {"model": Shared(), "weights": "pretrained", "layers": layers}
    estimator = tiny(engine, **options).fit(crops)
    with pytest.raises(ValueError, match=message):
        estimator.transform(crops)


@pytest.mark.parametrize("engine", ENGINES)
def test_output_that_is_a_list_is_that_of_its_modules(engine, crops):
    net = timm.create_model("test_resnet", features_only=True)
    options = {"model": net, "weights": "pretrained"}
    found = tiny(engine, **options).fit_transform(crops)
    names = [info["module"] for info in net.feature_info.get_dicts()]
    apart = tiny("torch", layers=names, **options).fit_transform(crops)
    np.testing.assert_allclose(found, apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_errors_of_a_network_are_its_own(engine):
    options = {"model": nn.Sequential(nn.Linear(4, 2)), "weights": "pretrained"}
    estimator = tiny(engine, preprocess=None, **options)
    rows = np.ones((3, 5), dtype=np.float32)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        estimator.fit_transform(rows)


class Library:
    """A C library whose calls are noted."""

    calls = []

    def __init__(self, name):
        assert name is None
        self.mallopt = lambda *args: self.calls.append(args)
        self.malloc_trim = lambda pad: self.calls.append(pad)


@pytest.fixture
def calls_of_mallopt(monkeypatch):
    Library.calls = []
    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.delenv("SKLEARN_TRANSFER_KEEP_MEMORY", raising=False)
    allocator.keep_memory.cache_clear()
    yield Library.calls
    allocator.keep_memory.cache_clear()


def make_torch_engine(model="test_resnet"):
    backbone = load_backbone(model, None if isinstance(model, str) else "pretrained")
    taps = resolve_taps(backbone, None, "auto")
    plan = Plan(backbone, taps, InputFormat(), "float32", SIGNATURE)
    return torch_engine.TorchEngine(plan)


def test_memory_is_kept_once_a_process(calls_of_mallopt):
    make_torch_engine()
    make_torch_engine()
    # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc's malloc.h.
    assert calls_of_mallopt == [(-3, 32 * 2**20), (-1, 2**30)]


def test_memory_is_kept_for_named_networks_alone(calls_of_mallopt):
    make_torch_engine(trained_net())
    assert calls_of_mallopt == []


@pytest.mark.parametrize("module", [torch_engine, allocator])
def test_import_and_fit_leave_the_allocator_alone(module, calls_of_mallopt, crops):
    spec = importlib.util.spec_from_file_location("another_import", module.__file__)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    tiny("torch").fit(crops)
    assert calls_of_mallopt == []


def test_an_environment_variable_leaves_the_allocator_alone(
    calls_of_mallopt, monkeypatch, crops
):
    monkeypatch.setenv("SKLEARN_TRANSFER_KEEP_MEMORY", "0")
    registry.clear_registry()
    tiny("torch").fit_transform(crops)
    assert calls_of_mallopt == []


def test_memory_is_returned_when_an_engine_was_made(calls_of_mallopt, crops):
    registry.clear_registry()
    estimator = tiny("onnxruntime").fit(crops)
    assert calls_of_mallopt == []
    for _ in range(2):
        clone(estimator).fit_transform(crops)
    assert calls_of_mallopt == [0]


@pytest.mark.parametrize(
    ("engine", "copies"), [("torch", 1), *zip(COMPILED, (2, 1), strict=True)]
)
def test_copies_in_engines_count_for_the_registry(engine, copies, crops, monkeypatch):
    registry.clear_registry()
    first, second = (load_backbone(name, None) for name in ("test_resnet", "test_vit"))
    alone = [backbone.n_bytes for backbone in (first, second)]
    monkeypatch.setattr(registry, "_REGISTRY_BYTES", sum(alone) + copies * alone[1] - 1)
    assert load_backbone("test_resnet", None) is first
    model = {"model": "test_vit", "weights": None, "cache": None}
    PretrainedFeatures(engine=engine, **model).fit_transform(crops)
    assert second.n_bytes == (1 + copies) * alone[1]
    assert load_backbone("test_vit", None) is second
    assert load_backbone("test_resnet", None) is not first


@pytest.mark.parametrize("engine", ENGINES)
def test_networks_that_are_forgotten_go_at_once(engine, crops, monkeypatch):
    """Not at the next collection, before which many more may come."""
    registry.clear_registry()
    options = {"weights": None, "cache": None, "engine": engine}
    PretrainedFeatures("test_resnet", **options).fit_transform(crops)
    backbone = load_backbone("test_resnet", None)
    (made,) = backbone.engines.values()
    left = [weakref.ref(backbone.module), weakref.ref(made)]
    del backbone, made
    monkeypatch.setattr(registry, "_REGISTRY_BYTES", 1)
    gc.disable()
    try:
        PretrainedFeatures("test_vit", **options).fit_transform(crops)
        assert [reference() for reference in left] == [None, None]
    finally:
        gc.enable()


LARGE = """
import numpy as np
from sklearn_transfer import PretrainedFeatures

def used():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if "RssAnon" in line)

images = np.zeros((2, 32, 32, 3), np.uint8)
options = {"weights": None, "cache": None, "engine": "ENGINE"}
PretrainedFeatures("test_vit", **options).fit_transform(images)
before = used()
large = PretrainedFeatures("vit_base_patch32_clip_224", input_size=32, **options)
large.fit_transform(images)
print((used() - before) / (87e6 * 4))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is told by Linux")
@pytest.mark.parametrize(
    ("engine", "copies"), [("torch", 0), *zip(COMPILED, (2, 1), strict=True)]
)
def test_memory_of_an_engine_is_that_of_its_copies(engine, copies):
    """Of a network without batch norms, whose torch engine has nothing to fold."""
    command = [sys.executable, "-c", LARGE.replace("ENGINE", engine)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert 0.9 + copies < float(found.stdout) < 1.3 + copies


def refuse(error):
    def library(name):
        raise error

    return library


@pytest.mark.parametrize(
    "library",
    [refuse(OSError("no library")), refuse(TypeError("no name")), lambda name: object()],
    ids=["none", "windows", "another"],
)
def test_without_glibc_nothing_happens(library, calls_of_mallopt, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", library)
    assert make_torch_engine().rows >= 1
