"""Engines agree with each other, leave networks alone, and are made once."""

import pickle

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.image.reader import PixelFormat
from sklearn_transfer._modalities.payloads import InputFormat, compute_signature
from sklearn_transfer._networks import onnx as onnx_export
from sklearn_transfer._networks.engines import choice
from sklearn_transfer._networks.engines.choice import make_engine
from sklearn_transfer._networks.registry import clear_registry, load_backbone
from sklearn_transfer._networks.taps import resolve_taps
from sklearn_transfer.testing._assertions import assert_same, compute_difference
from tests.small_networks import CONFIG, trained_net

COMPILED = ["openvino", "onnxruntime"]
ENGINES = ["torch", *COMPILED]
WORDS = ["shallow", "middle", "deep", None, "logits"]
TINY = [
    "test_byobnet",
    "test_convnext",
    "test_efficientnet",
    "test_mambaout",
    "test_nfnet",
    "test_resnet",
    "test_vit",
    "test_vit4",
    "test_vit_relpos",
]
SMALL = [
    ("torchvision/mobilenet_v3_small", 64),
    ("torchvision/squeezenet1_1", 64),
]
LARGE = [
    ("test_maxvit", 160),
    ("torchvision/shufflenet_v2_x0_5", 64),
    ("resnet50", 64),
    ("densenet121", 64),
    ("levit_128s", 224),
    ("swin_tiny_patch4_window7_224", 64),
    ("torchvision/alexnet", 224),
    ("torchvision/densenet121", 64),
    ("torchvision/googlenet", 64),
    ("torchvision/swin_t", 64),
    ("torchvision/vit_b_32", 224),
]


@pytest.fixture
def exports(fresh, monkeypatch):
    """Plans that are exported, in order."""
    plans, export = [], onnx_export.export_plan

    def noting(plan, path):
        plans.append(plan)
        export(plan, path)

    monkeypatch.setattr(onnx_export, "export_plan", noting)
    return plans


@pytest.fixture
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def tiny(engine="auto", **options):
    options = {"model": "test_resnet", "weights": None, "cache": None, **options}
    return PretrainedFeatures(engine=engine, **options)


def assert_engine_agrees(engine, samples, **options):
    expected = tiny("torch", **options).fit_transform(samples)
    assert_same(tiny(engine, **options).fit_transform(samples), expected, 1e-4)


def engine_of(name, backbone, layers=None, payload=None):
    """The engine that features of images come from, or of a payload that is given."""
    taps = resolve_taps(backbone, layers, "auto")
    if payload is None:
        made_of = PixelFormat(backbone.spec.mean, backbone.spec.std)
        signature = (("pixels", (*backbone.spec.size, 3), "|u1"),)
    else:
        made_of, signature = InputFormat(), compute_signature({"input": payload})
    return make_engine(name, "float32", backbone, taps, made_of, signature)


def assert_taps_agree(engine, model, size):
    # A row of several layers would hide a small activation beside a large one.
    backbone = load_backbone(model, None, input_size=size)
    made = engine_of(engine, backbone, WORDS)
    pixels = np.random.default_rng(1).integers(
        0, 256, (2, *backbone.spec.size, 3), dtype=np.uint8
    )
    found = made.run({"pixels": pixels})
    expected = engine_of("torch", backbone, WORDS).run({"pixels": pixels})
    for layer, ours, theirs in zip(WORDS, found, expected, strict=True):
        assert compute_difference(ours, theirs) <= 1e-4, layer


@pytest.mark.parametrize("model", TINY)
@pytest.mark.parametrize("engine", COMPILED)
def test_every_word_layer_agrees_with_torch(engine, model):
    assert_taps_agree(engine, model, None)


@pytest.mark.parametrize(("model", "size"), SMALL)
@pytest.mark.parametrize("engine", COMPILED)
def test_torchvision_agrees_with_torch(engine, model, size):
    assert_taps_agree(engine, model, size)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "size"), LARGE)
@pytest.mark.parametrize("engine", COMPILED)
def test_large_networks_agree_with_torch(engine, model, size):
    assert_taps_agree(engine, model, size)


@pytest.mark.parametrize("layers", [*WORDS, ["middle", None], ["deep", None], [0, "logits"]])
@pytest.mark.parametrize("engine", COMPILED)
def test_choices_of_layers_agree_with_torch(engine, layers, crops):
    assert_engine_agrees(engine, crops[:3], layers=layers)


POOLINGS = [("test_resnet", p) for p in ("avg", "max", "gem", "flatten")]
POOLINGS += [("test_vit", p) for p in ("avg", "max", "gem", "flatten", "cls")]


@pytest.mark.parametrize(("model", "pooling"), POOLINGS)
@pytest.mark.parametrize("engine", COMPILED)
def test_poolings_agree_with_torch(engine, model, pooling, crops):
    for layers in ("middle", None):
        assert_engine_agrees(engine, crops[:3], model=model, pooling=pooling, layers=layers)


@pytest.mark.parametrize("engine", COMPILED)
def test_default_network_agrees_with_torch(engine, photos):
    options = {"model": "tf_efficientnet_lite0", "weights": "pretrained"}
    assert_engine_agrees(engine, photos, **options)


@pytest.mark.parametrize("size", [48, (64, 96)])
@pytest.mark.parametrize("engine", COMPILED)
def test_input_sizes_agree_with_torch(engine, size, crops):
    assert_engine_agrees(engine, crops[:3], input_size=size)


@pytest.mark.parametrize("engine", COMPILED)
def test_two_input_sizes_do_not_answer_for_each_other(engine, crops):
    small, large = (tiny(engine, input_size=s).fit_transform(crops[:3]) for s in (48, 96))
    assert compute_difference(small, large) > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_one_network_takes_inputs_of_two_shapes(engine):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    estimator = tiny(engine, model=net, weights="pretrained", preprocess=None)
    for edge in (8, 12, 8):
        maps = np.random.default_rng(edge).normal(size=(2, 3, edge, edge)).astype("float32")
        with torch.no_grad():
            expected = net(torch.from_numpy(maps)).flatten(1).numpy()
        assert_same(estimator.fit_transform(maps), expected)


@pytest.mark.parametrize("engine", COMPILED)
def test_callable_preprocess_agrees_with_torch(engine, crops):
    def planes(image):
        return np.asarray(image.resize((48, 40)), dtype=np.float32).transpose(2, 0, 1) / 99

    assert_engine_agrees(engine, crops[:3], preprocess=planes)


@pytest.mark.parametrize("layers", [None, "0", ["0", "2"]])
@pytest.mark.parametrize("engine", COMPILED)
def test_tables_agree_with_torch(engine, layers):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 5))
    rows = np.random.default_rng(0).normal(size=(9, 4))
    options = {"weights": "pretrained", "preprocess": None, "layers": layers}
    assert_engine_agrees(engine, rows, model=net, **options)


@pytest.mark.parametrize("engine", COMPILED)
def test_a_users_module_agrees_with_torch(engine, crops):
    options = {"weights": "pretrained", "layers": ["stem", "body", None]}
    assert_engine_agrees(engine, crops[:3], model=trained_net(), **options)


@pytest.mark.parametrize("random_state", [0, 3])
@pytest.mark.parametrize("model", ["test_resnet", "test_efficientnet", "test_vit"])
def test_torch_engine_equals_a_plain_loop_of_timm(model, random_state, crops):
    net = timm.create_model(model, num_classes=0)
    weights = load_backbone(model, None, random_state=random_state).module.state_dict()
    net.load_state_dict({k: v for k, v in weights.items() if k in net.state_dict()})
    config = timm.data.resolve_data_config({}, model=net)
    transform = timm.data.create_transform(**config)
    with torch.no_grad():
        batch = torch.stack([transform(Image.fromarray(crop)) for crop in crops])
        expected = net.eval()(batch).numpy()
    found = tiny("torch", model=model, random_state=random_state).fit_transform(crops)
    assert_same(found, expected, 1e-5)


@pytest.mark.parametrize("engine", COMPILED)
def test_features_are_the_same_bits_whatever_is_beside(engine, crops, two_cores):
    whole = tiny(engine).fit_transform(crops)
    for rows in ([4], [8, 4, 0], list(range(8, -1, -1))):
        found = tiny(engine).fit_transform([crops[i] for i in rows])
        np.testing.assert_array_equal(found, whole[rows])


@pytest.mark.parametrize("batch_size", [1, 2, 7, 9])
@pytest.mark.parametrize("engine", COMPILED)
def test_features_are_the_same_bits_for_any_batch_size(engine, batch_size, crops):
    expected = tiny(engine).fit_transform(crops)
    found = tiny(engine, batch_size=batch_size).fit_transform(crops)
    np.testing.assert_array_equal(found, expected)


def test_rows_that_depend_on_each_other_pass_alone(crops):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    net.pretrained_cfg = CONFIG
    options = {"model": net, "weights": "pretrained", "pooling": "max"}
    whole = tiny("torch", batch_size=9, **options).fit_transform(crops)
    for i, crop in enumerate(crops):
        assert_same(tiny("torch", **options).fit_transform([crop]), whole[[i]])


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize(("engine", "most"), [("torch", 100), ("openvino", 2)])
def test_batch_size_bounds_the_rows_of_a_batch(engine, most, batch_size):
    made = engine_of(engine, load_backbone("test_resnet", None))
    assert made.choose_batch_size(batch_size) == min(batch_size, most)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_pass_that_fails_leaves_no_request_running(bad, crops):
    made = engine_of("openvino", load_backbone("test_resnet", None))
    good = made.task.example(3)
    expected = made.run(good)
    inputs = [[row[None]] for row in good["pixels"]]
    inputs[bad] = [good["pixels"][bad][None, :-1]]
    before = {id(request) for request in made.idle}
    with pytest.raises(RuntimeError):
        made.infer(inputs)
    assert len(before & {id(request) for request in made.idle}) == 0
    np.testing.assert_array_equal(made.run(good)[0], expected[0])


class Failing:
    """Request that notes whether it was waited for, and fails."""

    def __init__(self):
        self.waited = False

    def start_async(self, inputs, share_inputs):
        pass

    def wait(self):
        self.waited = True
        raise ValueError("inference failed")


def test_all_requests_are_waited_for_also_where_one_fails():
    made = engine_of("openvino", load_backbone("test_resnet", None))
    requests = made.idle[:] = [Failing(), Failing()]
    with pytest.raises(ValueError, match="inference failed"):
        made.run(made.task.example(2))
    assert all(request.waited for request in requests)
    assert made.idle == []


def bits(module):
    """All that a network is: tensors and how they lie, modes, hooks, attributes."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return (
        [(n, t.numpy().tobytes(), t.stride(), t.data_ptr()) for n, t in tensors],
        [n for n, p in module.named_parameters() if p.requires_grad],
        [n for n, m in module.named_modules() if m.training],
        [n for n, m in module.named_modules() if m._forward_hooks or m._forward_pre_hooks],
        [(n, type(m), sorted(vars(m))) for n, m in module.named_modules()],
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_networks_stay_untouched(engine, fresh, crops):
    before = bits(load_backbone("test_efficientnet", None).module)
    assert before[1:4] == ([], [], [])
    estimator = tiny(engine, model="test_efficientnet", layers=["conv_stem", "middle", None])
    estimator.fit_transform(crops[:2])
    assert bits(load_backbone("test_efficientnet", None).module) == before


def fail_after_export(plan, path, export=onnx_export.export_plan):
    export(plan, path)
    raise RuntimeError("no compiler")


def fail_while_tracing(module, args, *rest, **options):
    module(*args)
    raise RuntimeError("no exporter")


@pytest.mark.parametrize(
    ("place", "name", "fault"),
    [
        (onnx_export, "export_plan", fail_after_export),
        (torch.onnx, "export", fail_while_tracing),
    ],
    ids=["after", "while"],
)
def test_networks_stay_untouched_where_an_engine_fails(
    place, name, fault, fresh, monkeypatch, crops
):
    before = bits(load_backbone("test_efficientnet", None).module)
    monkeypatch.setattr(place, name, fault)
    estimator = tiny("openvino", model="test_efficientnet", layers=["middle", None])
    with pytest.warns(UserWarning, match="openvino cannot run test_efficientnet"):
        estimator.fit_transform(crops[:2])
    assert bits(load_backbone("test_efficientnet", None).module) == before


@pytest.mark.parametrize("enabled", [True, False])
def test_settings_of_the_process_are_as_before(enabled, fresh, monkeypatch, crops):
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    monkeypatch.setattr(torch.onnx, "export", fail_while_tracing)
    try:
        with pytest.warns(UserWarning, match="cannot run"):
            tiny("openvino").fit_transform(crops[:1])
        assert torch.backends.mha.get_fastpath_enabled() == enabled
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@pytest.mark.parametrize("layers", [None, "deep"])
def test_compiled_once_for_clones_and_calls(layers, exports, crops):
    first = tiny("openvino", layers=layers).fit(crops)
    for estimator in (first, first, clone(first), tiny("openvino", layers=layers)):
        estimator.fit(crops).transform(crops)
    assert len(exports) == 1


def test_compiled_once_for_folds(exports, crops):
    pipeline = make_pipeline(tiny("openvino"), LogisticRegression())
    cross_val_predict(pipeline, crops, np.arange(9) % 2, cv=3)
    assert len(exports) == 1


def test_compiled_anew_for_another_layer(exports, crops):
    for layers in ("middle", "deep", "middle"):
        tiny("openvino", layers=layers).fit_transform(crops[:1])
    assert [[tap.label for tap in plan.taps] for plan in exports] == [["middle"], ["deep"]]


@pytest.mark.parametrize(
    "options",
    [{"pooling": "max"}, {"input_size": 64}, {"random_state": 1}, {"engine": "onnxruntime"}],
    ids=lambda options: next(iter(options)),
)
def test_compiled_anew_for_another_setting(options, exports, crops):
    tiny("openvino").fit_transform(crops[:1])
    tiny(**{"engine": "openvino", **options}).fit_transform(crops[:1])
    assert len(exports) == 2


def test_nothing_is_compiled_for_what_is_cached(exports, crops):
    first = tiny("openvino", cache="memory").fit_transform(crops)
    clear_registry()
    found = tiny("openvino", cache="memory").fit_transform(crops)
    np.testing.assert_array_equal(found, first)
    assert len(exports) == 1


def test_only_few_engines_are_kept(fresh, monkeypatch, crops):
    monkeypatch.setattr(choice, "_ENGINES_KEPT", 2)
    for layers in ("shallow", "middle", "deep"):
        tiny("torch", layers=layers).fit_transform(crops[:1])
    kept = load_backbone("test_resnet", None).engines
    assert [key[2][0].label for key in kept] == ["middle", "deep"]


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_bfloat16_is_near_float32_and_not_it(engine, crops):
    exact = tiny(engine).fit_transform(crops)
    found = tiny(engine, precision="bfloat16").fit_transform(crops)
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(found, axis=1)
    assert ((exact * found).sum(axis=1) / norms).min() > 0.99
    assert found.dtype == np.float32
    if engine == "torch":  # OpenVINO heeds it where the processor has it
        assert compute_difference(found, exact) > 1e-4


def test_cached_float32_does_not_answer_for_bfloat16(crops):
    exact = tiny("torch", cache="memory").fit_transform(crops)
    found = tiny("torch", cache="memory", precision="bfloat16").fit_transform(crops)
    assert compute_difference(found, exact) > 1e-4


def test_engines_do_not_answer_for_each_other_in_the_cache(crops):
    tiny("torch", cache="memory").fit_transform(crops)
    found = tiny("openvino", cache="memory").fit_transform(crops)
    np.testing.assert_array_equal(found, tiny("openvino").fit_transform(crops))


@pytest.mark.parametrize("engine", ENGINES)
def test_one_worker_for_each_thread_of_torch(engine, two_cores):
    assert engine_of(engine, load_backbone("test_resnet", None)).n_workers == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_other_number_of_threads_other_engine(engine, two_cores):
    backbone = load_backbone("test_resnet", None)
    first = engine_of(engine, backbone)
    torch.set_num_threads(1)
    assert engine_of(engine, backbone).n_workers == 1
    assert engine_of(engine, backbone) is not first


def test_a_users_module_runs_in_one_worker(two_cores):
    backbone = load_backbone(trained_net(), "pretrained")
    assert engine_of("torch", backbone).n_workers == 1


def test_pickles_hold_no_engine(crops):
    estimator = tiny().fit(crops)
    before = pickle.dumps(estimator)
    estimator.transform(crops)
    assert pickle.dumps(estimator) == before
    assert len(before) < 2000
