"""Batch normalization folded into convolutions: where, and that it changes nothing."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import timm
import timm.layers
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from sklearn_transfer._modalities.payloads import InputFormat
from sklearn_transfer._networks.engines import torch as torch_engine
from sklearn_transfer._networks.engines.plan import Plan, to_tensors
from sklearn_transfer._networks.engines.torch import TorchEngine
from sklearn_transfer._networks.folding import Observation, fold_batch_norms
from sklearn_transfer._networks.registry import clear_registry, load_backbone
from sklearn_transfer._networks.taps import resolve_taps
from sklearn_transfer.testing._assertions import assert_same
from tests.small_networks import trained_net


def settled(module, seed=0):
    """Module in evaluation mode whose normalizations are far from the identity."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            shape = (layer.num_features,)
            layer.running_mean = torch.randn(shape, generator=generator)
            layer.running_var = torch.rand(shape, generator=generator) * 3 + 0.2
            if layer.affine:
                layer.weight.data = torch.randn(shape, generator=generator)
                layer.bias.data = torch.randn(shape, generator=generator)
    return module.eval().requires_grad_(False)


def images(n_channels=4):
    return torch.randn(3, n_channels, 12, 12, generator=torch.Generator().manual_seed(1))


def observe(module, batch):
    with torch.no_grad(), Observation(module, {"input": batch}) as seen:
        module(batch)
    return seen


def found_in(module):
    """Pairs that are seen, after the pass has told that nothing else is."""
    return observe(settled(module), images()).list_pairs()


class BatchNormCalls(TorchFunctionMode):
    """Counts normalizations."""

    count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += function is nn.functional.batch_norm
        return function(*args, **(kwargs or {}))


def n_batch_norms(function, *args):
    with torch.no_grad(), BatchNormCalls() as calls:
        function(*args)
    return calls.count


CONVOLUTIONS = {
    "plain": lambda: nn.Conv2d(4, 8, 3, bias=False),
    "with bias": lambda: nn.Conv2d(4, 8, 3),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4, bias=False),
    "grouped": lambda: nn.Conv2d(4, 8, 3, groups=2),
    "strided": lambda: nn.Conv2d(4, 8, 3, stride=2, padding=1),
    "dilated": lambda: nn.Conv2d(4, 8, 3, dilation=2),
    "reflecting": lambda: nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"),
    "same as TensorFlow": lambda: timm.layers.Conv2dSame(4, 8, 3, stride=2),
}
NORMS = {
    "plain": nn.BatchNorm2d,
    "without affine": lambda n: nn.BatchNorm2d(n, affine=False),
    "wide epsilon": lambda n: nn.BatchNorm2d(n, eps=0.1),
    "with activation": timm.layers.BatchNormAct2d,
    "with SiLU": lambda n: timm.layers.BatchNormAct2d(n, act_layer=nn.SiLU),
    "without activation": lambda n: timm.layers.BatchNormAct2d(n, apply_act=False),
}


def conv_and_norm(conv="plain", norm="plain"):
    conv = CONVOLUTIONS[conv]()
    return nn.Sequential(conv, NORMS[norm](conv.out_channels))


KINDS = [(conv, "plain") for conv in CONVOLUTIONS] + [("plain", norm) for norm in NORMS]


@pytest.mark.parametrize(("conv", "norm"), KINDS)
def test_convolution_and_normalization_are_a_pair(conv, norm):
    assert found_in(conv_and_norm(conv, norm)) == [("0", "1")]


@pytest.mark.parametrize(("conv", "norm"), KINDS)
def test_folded_pair_gives_the_same_output(conv, norm):
    net = settled(conv_and_norm(conv, norm))
    folded = fold_batch_norms(net, [("0", "1")])
    assert_same(folded(images()).flatten(1).numpy(), net(images()).flatten(1).numpy())


@pytest.mark.parametrize("norm", NORMS)
def test_folded_pair_normalizes_no_more(norm):
    net = settled(conv_and_norm(norm=norm))
    assert n_batch_norms(net, images()) == 1
    assert n_batch_norms(fold_batch_norms(net, [("0", "1")]), images()) == 0


class Branching(nn.Module):
    """One convolution and one normalization, used in a way that is passed."""

    def __init__(self, way):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.other = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.way = way

    def forward(self, x):
        return self.way(self, x)


def activation_between(net, x):
    return net.norm(net.conv(x).relu())


def activation_in_place_between(net, x):
    return net.norm(net.conv(x).relu_())


def output_used_twice(net, x):
    x = net.conv(x)
    return net.norm(x) + x


def output_used_before(net, x):
    x = net.conv(x)
    gate = x.mean((2, 3), keepdim=True)
    return gate * net.norm(x)


def output_written_into(net, x):
    x = net.conv(x)
    x[:, 0] = 1
    return net.norm(x)


def output_returned_too(net, x):
    x = net.conv(x)
    return net.norm(x), x.sum()


def convolution_runs_twice(net, x):
    return net.norm(net.conv(net.conv(x)))


def convolution_runs_again_for_the_caller(net, x):
    return net.norm(net.conv(x)), net.conv(x)


def normalization_runs_twice(net, x):
    return net.norm(net.conv(net.norm(x)))


def normalized_twice(net, x):
    x = net.conv(x)
    return net.norm(x) + net.norm(x)


def normalization_before(net, x):
    return net.conv(net.norm(x))


def other_weight(net, x):
    return net.norm(nn.functional.conv2d(x, net.other))


def weight_made_anew(net, x):
    weight = net.conv.weight - net.conv.weight.mean()
    return net.norm(nn.functional.conv2d(x, weight, net.conv.bias))


def transposed(net, x):
    return net.norm(nn.functional.conv_transpose2d(x, net.conv.weight))


UNSAFE = [
    activation_between,
    activation_in_place_between,
    output_used_twice,
    output_used_before,
    output_written_into,
    output_returned_too,
    convolution_runs_twice,
    convolution_runs_again_for_the_caller,
    normalization_runs_twice,
    normalized_twice,
    normalization_before,
    other_weight,
    weight_made_anew,
    transposed,
]


@pytest.mark.parametrize("way", UNSAFE, ids=lambda way: way.__name__)
def test_nothing_is_folded_where_more_hangs_on_it(way):
    assert found_in(Branching(way)) == []


def test_shapes_that_are_asked_for_are_no_use():
    def way(net, x):
        x = net.conv(x)
        assert x.shape[1] == x.size(1) == 4
        assert x.dim() == x.ndim == 4
        return net.norm(x)

    assert found_in(Branching(way)) == [("conv", "norm")]


def test_one_convolution_under_two_names_runs_twice():
    conv = nn.Conv2d(4, 4, 3)
    assert found_in(nn.Sequential(conv, nn.BatchNorm2d(4), conv, nn.BatchNorm2d(4))) == []


def test_weight_of_two_convolutions_is_not_folded():
    first, second = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
    second.weight = first.weight
    assert found_in(nn.Sequential(first, nn.BatchNorm2d(4), second, nn.BatchNorm2d(4))) == []


class OwnNorm(nn.BatchNorm2d):
    """A class of a user, which may compute something else."""


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(8, track_running_stats=False),
        OwnNorm(8),
        nn.InstanceNorm2d(8, track_running_stats=True),
        nn.GroupNorm(2, 8),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_other_normalizations_are_left(norm):
    assert found_in(nn.Sequential(nn.Conv2d(4, 8, 3), norm)) == []


@pytest.mark.parametrize("conv", [nn.Conv1d(4, 8, 3), nn.Conv3d(4, 8, 3)])
def test_other_convolutions_are_left(conv):
    norm = nn.BatchNorm1d(8) if isinstance(conv, nn.Conv1d) else nn.BatchNorm3d(8)
    batch = torch.randn(2, 4, *(5,) * (conv.weight.ndim - 2))
    assert observe(nn.Sequential(conv, norm).eval(), batch).list_pairs() == []


def test_all_pairs_of_a_network_are_found():
    net = settled(nn.Sequential(*conv_and_norm(), nn.ReLU(), nn.Conv2d(8, 4, 1)))
    net.append(nn.BatchNorm2d(4))
    assert found_in(net) == [("0", "1"), ("3", "4")]


def test_parameters_that_are_not_folded_are_shared():
    net = settled(nn.Sequential(*conv_and_norm(), nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4)))
    net.register_buffer("offset", torch.zeros(3))
    folded = fold_batch_norms(net, [("0", "1")])
    before, after = net.state_dict(), folded.state_dict()
    assert set(after) - {"0.bias"} == {n for n in before if not n.startswith("1.")}
    shared = [n for n in after if n in before and after[n].data_ptr() == before[n].data_ptr()]
    assert shared == [n for n in after if not n.startswith("0.")]


def test_the_original_stays_as_it_was():
    net = settled(conv_and_norm())
    before = copy.deepcopy(net)
    folded = fold_batch_norms(net, [("0", "1")])
    assert folded is not net
    assert [type(layer) for layer in net] == [nn.Conv2d, nn.BatchNorm2d]
    assert net[0].bias is None
    for name, tensor in before.state_dict().items():
        assert torch.equal(net.state_dict()[name], tensor), name


def test_no_parameter_of_the_copy_learns():
    folded = fold_batch_norms(settled(conv_and_norm()), [("0", "1")])
    assert not any(p.requires_grad for p in folded.parameters())


def engine_of(model, layers=None, size=32):
    """PyTorch's engine for images that are ready, and its network's record."""
    clear_registry()
    backbone = load_backbone(model, None if isinstance(model, str) else "pretrained")
    settled(backbone.module)
    taps = resolve_taps(backbone, layers, "auto")
    shape = (3, size, size) if np.isscalar(size) else size
    signature = (("input", shape, "<f4"),)
    return TorchEngine(Plan(backbone, taps, InputFormat(), "float32", signature))


@pytest.fixture(autouse=True)
def _no_networks_of_others():
    """Statistics are overwritten here, on records of this module's own."""
    yield
    clear_registry()


def assert_equals_the_network(engine):
    batch = engine.plan.example(3)
    expected = engine.plan.forward(to_tensors(batch))
    for ours, theirs in zip(engine.run(batch), expected, strict=True):
        assert_same(ours, theirs.numpy())


@pytest.mark.parametrize("model", ["test_resnet", "test_efficientnet", "test_byobnet"])
def test_engine_folds_all_of_a_named_network(model):
    engine = engine_of(model)
    batch = engine.plan.example(1)
    assert n_batch_norms(engine.plan.forward, to_tensors(batch)) > 5
    assert n_batch_norms(engine.run, batch) == 0


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        ("test_resnet", ["shallow", "middle", "deep", None, "logits"]),
        ("test_efficientnet", ["shallow", "middle", "deep", None, "logits"]),
        ("test_byobnet", ["shallow", "middle", "deep", None, "logits"]),
        ("test_vit", None),
        ("torchvision/mobilenet_v3_small", ["shallow", "deep", None]),
    ],
)
def test_engine_equals_the_network(model, layers):
    assert_equals_the_network(engine_of(model, layers, 160))


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["resnet50", "densenet121", "levit_128s", "torchvision/googlenet"]
)
def test_engine_equals_a_large_network(model):
    assert_equals_the_network(engine_of(model, None, 224))


@pytest.mark.parametrize(
    ("layers", "n_norms"),
    # The convolution at which a tap sits stays as it is, and so its normalization.
    [("conv_stem", 0), (["conv_stem", None], 1), (["bn1", None], 0), (["bn1.act", None], 0)],
)
def test_tap_beside_a_folded_pair_gives_what_the_network_gives(layers, n_norms):
    engine = engine_of("test_efficientnet", layers)
    assert_equals_the_network(engine)
    assert n_batch_norms(engine.run, engine.plan.example(1)) == n_norms


def test_container_that_ends_with_a_convolution_gives_its_activation():
    stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    net = nn.Sequential(OrderedDict(stem=stem, norm=nn.BatchNorm2d(4), act=nn.ReLU()))
    engine = engine_of(net, ["stem", "act"])
    assert not engine.backbone.stateful
    assert_equals_the_network(engine)
    assert n_batch_norms(engine.run, engine.plan.example(1)) == 1


def test_a_users_own_module_is_not_folded():
    engine = engine_of(trained_net())
    assert engine.backbone is engine.plan.backbone
    assert n_batch_norms(engine.run, engine.plan.example(1)) == 2


def test_a_fold_that_changes_features_is_dropped(monkeypatch):
    def wrong(module, pairs):
        folded = fold_batch_norms(module, pairs)
        folded.get_submodule(pairs[0][0]).bias.data += 1
        return folded

    monkeypatch.setattr(torch_engine, "fold_batch_norms", wrong)
    engine = engine_of("test_resnet")
    assert engine.backbone is engine.plan.backbone
    assert_equals_the_network(engine)


def test_the_network_of_an_engine_stays_as_it_was():
    engine = engine_of("test_resnet")
    fresh = settled(timm.create_model("test_resnet"))
    kept = engine.plan.backbone.module
    assert engine.backbone.module is not kept
    assert [type(m) for m in kept.modules()] == [type(m) for m in fresh.modules()]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in engine.backbone.module.modules()) == 0


def test_largest_activation_of_one_image():
    net = nn.Sequential(nn.Conv2d(4, 8, 3), nn.MaxPool2d(2), nn.Flatten())
    assert observe(net, images()[:1]).largest == 8 * 10 * 10


@pytest.mark.parametrize(
    ("edge", "rows"),
    # Eight maps of edge**2 elements each, of which 2**22 fit.
    [(16, 64), (96, 56), (256, 8), (512, 2), (1024, 1)],
)
def test_batches_are_small_where_activations_are_large(edge, rows):
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert engine_of(net, None, edge).rows == rows


def test_large_weights_are_no_activation():
    # Networks that standardize their weights return them from a function.
    conv = timm.layers.StdConv2d(3, 2**11, 32, padding=0)
    net = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert engine_of(net, None, 32).rows == 64


def test_batches_of_a_users_own_module_go_by_its_input():
    assert engine_of(trained_net(), None, 224).rows == 4
    assert engine_of(trained_net(), None, 448).rows == 1
