import collections
import copy
import functools
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
import torch
from timm.data import create_transform
from torch import nn
from torchvision import transforms
from torchvision.transforms import v2

from sklearn_transfer import datasets
from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._store.digests import digest, digest_array, read_bytes


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, image):
        return np.asarray(image) * self.factor


class Net(nn.Module):
    """Module with a little of everything that modules can contain."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.register_buffer("offset", torch.zeros(4), persistent=False)
        self.scale, self._shift = 2.0, 1.0
        self.rest = [nn.Linear(4, 4)]

    def forward(self, x):
        x = self.act(self.norm(self.conv(x))).mean((2, 3))
        return self.rest[0](x) * self.scale + self._shift + self.offset


def make_net():
    torch.manual_seed(0)
    return Net()


PLAIN = {
    "none": None,
    "bool": True,
    "int": 1,
    "float": 1.0,
    "complex": 1 + 0j,
    "str": "1",
    "bytes": b"1",
    "tuple": (1,),
    "list": [1],
    "set": {1},
    "frozenset": frozenset([1]),
    "dict": {1: None},
    "array": np.array([1]),
    "float array": np.array([1.0]),
    "number array": np.array(1),
    "column": np.array([[1]]),
    "tensor": torch.tensor([1]),
    "float tensor": torch.tensor([1.0]),
    "numpy number": np.int64(1),
    "type": int,
    "nested tuple": ((1,),),
    "empty tuple": (),
    "empty list": [],
    "empty str": "",
    "empty array": np.zeros((0, 2)),
    "other empty array": np.zeros((0, 3)),
}

COPIED = {
    "module": make_net(),
    "recurrent module": nn.LSTM(3, 4),
    "parametrised module": nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
    "traced graph": torch.fx.symbolic_trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU())),
    "compose": transforms.Compose(
        [
            transforms.Resize(9, transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize((0.5,), (0.2,)),
        ]
    ),
    "compose v2": v2.Compose(
        [v2.Resize(9), v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.5,), (0.2,))]
    ),
    "timm transform": create_transform((3, 32, 32)),
    "object": Scale(np.arange(3)),
    "partial": functools.partial(np.clip, a_min=0, a_max=9),
    "bound method": Scale(2).__call__,
    "array of objects": np.array(["a", None], dtype=object),
    "spec": ImageSpec((9, 9), (10, 10), (0.5,), (0.1,)),
    "deep": {"a": [1, (2, {3}), {"b": b"4"}], "c": None},
}


@pytest.mark.parametrize("value", [*PLAIN.values(), *COPIED.values()], ids=[*PLAIN, *COPIED])
def test_deep_copy_is_equal(value):
    assert digest(copy.deepcopy(value)) == digest(value)


def test_no_two_kinds_of_plain_value_are_confused():
    assert len({digest(value) for value in PLAIN.values()}) == len(PLAIN)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("ab",)),
        (("a", "b"), ("b", "a")),
        (("a;str:'b'",), ("a", "b")),
        ((b"a", b"b"), (b"ab",)),
        ((b"a", b"bbytes:c"), (b"abytes:b", b"c")),
        (("a",), (b"a",)),
        ((("a",), "b"), ("a", ("b",))),
        ((("a", "b"),), ("a", "b")),
        (([1, 2],), ((1, 2),)),
        (({"a": 1, "b": 2},), ({"a": 2, "b": 1},)),
        (({"a": "b"},), (["a", "b"],)),
        ((), ((),)),
        ((None,), ()),
        ((0.0,), (-0.0,)),
        ((np.zeros(2), np.zeros(1)), (np.zeros(1), np.zeros(2))),
        ((np.zeros((2, 3)),), (np.zeros((3, 2)),)),
        ((np.zeros(2, np.float32),), (np.zeros(1, np.float64),)),
        ((np.array([1, 2]),), (np.array([1, 2], dtype=">i8"),)),
    ],
    ids=str,
)
def test_values_do_not_run_together(one, other):
    assert digest(*one) != digest(*other)


def test_order_of_a_set_does_not_count():
    # 0 and 8 share a slot, so that the one inserted first is listed first.
    assert list({0, 8}) != list({8, 0})
    assert digest({0, 8}) == digest({8, 0})


def test_equal_sets_and_frozensets_of_unlike_content_differ():
    assert len({digest(s) for s in ({1}, {2}, {1, 2}, frozenset({1}))}) == 4


def test_layout_of_an_array_does_not_count():
    array = np.arange(24).reshape(2, 3, 4)
    assert digest_array(np.asfortranarray(array)) == digest_array(array)
    assert digest_array(np.repeat(array, 2, axis=1)[:, ::2]) == digest_array(array)


def test_one_pixel_changes_the_digest_of_an_array():
    array = np.zeros((50, 50, 3), np.uint8)
    changed = array.copy()
    changed[31, 7, 2] = 1
    assert digest_array(array) != digest_array(changed)


def test_digests_have_128_bits():
    assert [len(digest(1)), len(digest_array(b"")), len(digest_array(np.ones(3)))] == [16] * 3


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int8, torch.bool, torch.complex64], ids=str
)
def test_tensor_array_holds_the_bytes_of_any_dtype(dtype):
    tensor = torch.ones(2, 3).to(dtype)
    assert read_bytes(tensor.T).nbytes == 6 * tensor.element_size()


def test_memory_order_of_a_tensor_does_not_count():
    tensor = torch.rand(1, 3, 4, 5)
    assert digest(tensor.contiguous(memory_format=torch.channels_last)) == digest(tensor)


def set_entry(tensor):
    with torch.no_grad():
        tensor.view(-1)[-1] += 1e-3


def use_other_forward(net):
    net.forward = lambda x: x


def hook(module, args, output):
    return output * 2


def pre_hook(module, args):
    return args


CHANGES = {
    "entry of a parameter": lambda net: set_entry(net.conv.weight),
    "entry of a buffer": lambda net: set_entry(net.norm.running_mean),
    "buffer that is not saved": lambda net: set_entry(net.offset),
    "tensor of an unregistered module": lambda net: set_entry(net.rest[0].weight),
    "attribute": lambda net: setattr(net, "scale", 3.0),
    "private attribute": lambda net: setattr(net, "_shift", 3.0),
    "new attribute": lambda net: setattr(net, "extra", None),
    "eps of a norm": lambda net: setattr(net.norm, "eps", 1e-3),
    "stride": lambda net: setattr(net.conv, "stride", (2, 2)),
    "hook": lambda net: net.act.register_forward_hook(hook),
    "pre-hook": lambda net: net.act.register_forward_pre_hook(pre_hook),
    "other layer": lambda net: setattr(net, "act", nn.GELU()),
    "one layer more": lambda net: setattr(net, "more", nn.Identity()),
    "dtype": lambda net: net.half(),
    "forward of the object": use_other_forward,
    "input it says to take": lambda net: setattr(net, "pretrained_cfg", {"mean": (0.5,)}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_module_differs_after_a_change_of(change):
    net = make_net()
    before = digest(net)
    change(net)
    assert digest(net) != before


def test_mode_gradients_and_a_forward_pass_in_eval_mode_do_not_count():
    net = make_net()
    before = digest(net)
    net.eval().requires_grad_(False)
    net(torch.rand(1, 3, 8, 8))
    assert digest(net) == before


def test_hook_counts_while_it_is_there():
    net = make_net()
    before = digest(net)
    net.act.register_forward_hook(hook).remove()
    assert digest(net) == before


def test_layer_used_twice_differs_from_one_used_once():
    layer = nn.Linear(3, 3)
    once, twice = nn.Sequential(layer), nn.Sequential(layer, layer)
    assert digest(once) != digest(twice)


def test_layer_used_twice_equals_two_equal_layers():
    layer = nn.Linear(3, 3)
    shared, apart = nn.Sequential(layer, layer), nn.Sequential(layer, copy.deepcopy(layer))
    assert digest(shared) == digest(apart)


def test_order_of_the_layers_counts():
    a, b = nn.ReLU(), nn.Tanh()
    assert digest(nn.Sequential(a, b)) != digest(nn.Sequential(b, a))


def test_traced_graphs_differ_by_their_operations():
    double, triple = (torch.fx.symbolic_trace(torch.nn.Softplus(beta)) for beta in (2, 3))
    assert double.code != triple.code
    assert digest(double) != digest(triple)


def test_module_that_knows_itself_ends():
    net = make_net()
    net.itself, net.act.parent = [net], weakref.ref(net)
    assert digest(net) == digest(net)


def test_transforms_differ_by_their_parameters():
    composed = [
        kind.Compose([kind.Resize(size), *more])
        for kind in (transforms, v2)
        for size in (8, 9)
        for more in ([], [kind.Grayscale()])
    ]
    assert len(set(map(digest, composed))) == 8


class Locked:
    """Object that cannot be pickled and raises its own error."""

    def __init__(self):
        self.lock = threading.Lock()

    def __reduce__(self):
        raise TypeError("cannot pickle this")


@pytest.mark.parametrize("make", [Locked, threading.Lock, lambda: (i for i in "ab")])
def test_object_that_cannot_be_pickled_equals_itself_alone(make):
    one, other = make(), make()
    assert digest(one) == digest(one)
    assert digest(one) != digest(other)


def test_object_that_was_freed_leaves_its_digest_to_no_other():
    assert len({digest(Locked()) for _ in range(50)}) == 50


def test_unpicklable_object_without_hash_is_never_the_same():
    class Unhashable(Locked):
        __hash__ = None

    value = Unhashable()
    assert digest(value) != digest(value)


def test_cycle_ends():
    cycle = ["a"]
    cycle.append({"again": cycle})
    assert digest(cycle) == digest(cycle)


def test_equal_cycles_are_equal():
    def cycle(content):
        node = Scale(content)
        node.neighbor = Scale([node])
        return node

    assert digest(cycle(1)) == digest(cycle(1))
    assert digest(cycle(1)) != digest(cycle(2))


def test_object_in_its_own_set_ends():
    node = Scale(1)
    node.peers = {node}
    assert digest(node) == digest(node)


def test_value_seen_twice_equals_two_equal_values():
    one, other = [1, 2], [1, 2]
    assert digest([one, one]) == digest([one, other])


def test_same_class_name_in_two_modules_differs():
    one, other = (type("C", (), {"__module__": module}) for module in ("a", "b"))
    assert digest(one()) != digest(other())


def test_ordered_and_plain_mappings_with_the_same_items_are_equal():
    items = {"a": torch.ones(2), "b": torch.zeros(1)}
    assert digest(collections.OrderedDict(items)) == digest(items)


def test_looking_changes_nothing():
    net, scale = make_net(), Scale([1])
    before = dict(vars(net)), dict(vars(scale))
    digest(net, scale)
    assert (dict(vars(net)), dict(vars(scale))) == before


# Runs here and in another process, in which hashes of strings differ.
PORTABLE = """
import functools, sys, threading
import numpy as np
import torch
from torch import nn
from torchvision import transforms
from sklearn_transfer import datasets
from sklearn_transfer._store.digests import digest

sys.path.insert(0, {folder!r})
import userland

torch.manual_seed(0)
values = [
    "a", (1, 2.5, None, True, b"x"), {{"a", "b", "c"}}, frozenset("abc"), np.arange(5.0),
    datasets._relight, np.flipud, np.clip, functools.partial(np.clip, a_min=0),
    userland.resize, userland.Prepare(3), userland.Prepare(3).__call__, userland.Net(),
    nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
    transforms.Compose([transforms.Resize(9), transforms.ToTensor()]),
    threading.Lock(),
]
found = [digest(value).hex() for value in values]
"""

USERLAND = """
from torch import nn

def resize(image):
    return image.resize((8, 8)) if image.mode in {"L", "RGB", "CMYK", "P"} else image

class Prepare:
    modes = {"L", "RGB", "CMYK", "P"}

    def __init__(self, size):
        self.size = size

    def __call__(self, image):
        return super().__call__(image)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x) * 2
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Return the digests of the portable values in this process and in another one."""
    folder = tmp_path_factory.mktemp("userland")
    (folder / "userland.py").write_text(USERLAND)
    program = PORTABLE.format(folder=str(folder))
    printed = subprocess.run(
        [sys.executable, "-c", program + "\nprint(*found)"],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    namespace, path = {}, list(sys.path)
    exec(program, namespace)
    sys.path[:] = path
    del sys.modules["userland"]
    return namespace["found"], printed.stdout.split()


def test_digests_are_equal_in_another_process(elsewhere):
    here, there = elsewhere
    assert there[:-1] == here[:-1]


def test_object_that_cannot_be_pickled_has_no_equal_in_another_process(elsewhere):
    here, there = elsewhere
    assert there[-1] != here[-1]


def test_values_of_the_other_process_differ_among_themselves(elsewhere):
    assert len(set(elsewhere[1])) == 16


def test_importable_functions_differ():
    assert digest(datasets._relight) != digest(datasets._crop)
