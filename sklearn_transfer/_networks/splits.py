"""Splits of networks at a module: the rest needs nothing but the activation there."""

import copy
import weakref
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch.utils._pytree import tree_map

from sklearn_transfer._networks.inputs import get_first_tensor, map_tensors
from sklearn_transfer._process.locks import RLock

_TOLERANCE = 1e-5
_locks = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Upstream:
    """What the output of a module depends on, and what has run when it is known.

    `parameters` and `modules` are names; `modules` holds those that have ended, the module
    itself and what is in it included.
    """

    parameters: frozenset
    modules: frozenset


@dataclass(frozen=True)
class Split:
    """Where a network is split: all that follows depends on the output of `boundary` alone.

    `inputs` is the network's input with a `_Shape` for each tensor, and `shape` that of one
    sample's activation at the split; `passed` are the outermost modules that end before the
    boundary begins, with what they return.
    """

    boundary: str
    inputs: object
    shape: tuple
    passed: tuple

    def resume(self, module):
        """Context in which a network goes on from here."""
        return Resumption(module, self)


def find_upstream(module, run, inputs, name):
    """`Upstream` of the module `name`, from one pass of `run(inputs)` in `module`.

    The gradient of its output shows them, so that parameters which a network uses outside of
    any module count as well; those that take no gradient are left out. Raises ValueError where
    the module does not run exactly once.
    """
    events = Events(module)
    with torch.enable_grad():
        with events:
            run(inputs)
        end = events.find_only_call(name)[1]
        names = _find_parameters(module, events.outputs[end])
    return Upstream(names, frozenset(events.names[: end + 1]))


def _find_parameters(module, output):
    tensors = [t for t in _list_tensors(output) if t.requires_grad]
    if not tensors:
        return frozenset()
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    total = sum(t.float().sum() for t in tensors)
    found = torch.autograd.grad(total, parameters.values(), allow_unused=True)
    pairs = zip(parameters, found, strict=True)
    return frozenset(name for name, gradient in pairs if gradient is not None)


def split(module, run, inputs, boundary):
    """`Split` of a network at the module `boundary`, or None where it cannot be split there.

    It cannot if something other than the module's output is used after it, as in a branch.
    The split is checked: the rest alone gives what the whole network gives, per row to 1e-5,
    for another number of rows too.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode. It is unchanged afterwards.
    run : callable
        `run(inputs)` is one pass through `module`, to a tensor (n_samples, ...).
    inputs : torch.Tensor of shape (n_samples, ...), or dict of them
        Input of three samples or more.
    boundary : str
        Name of the module, which runs once in a pass.
    """
    with torch.no_grad():
        events = Events(module)
        with events:
            whole = run(inputs)
        n_rows = len(get_first_tensor(inputs))
        begin, end = events.find_only_call(boundary)
        activation = events.outputs[end]
        if not _has_rows(activation, n_rows) or not _has_rows(whole, n_rows):
            return None
        describe = partial(_describe_tensor, n_rows=n_rows)
        passed = tuple(
            (name, tuple(tree_map(describe, output) for output in outputs))
            for name, outputs in events.list_passed(begin).items()
        )
        shapes = map_tensors(describe, inputs)
        record = Split(boundary, shapes, tuple(activation.shape[1:]), passed)
        try:
            with Resumption(module, record) as resumed:
                fewer = resumed(run, activation[:2].clone())
                again = resumed(run, activation.clone())
        except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError):
            return None
    same = is_close(again, whole) and is_close(fewer, whole[:2])
    return record if same else None


@contextmanager
def exclude_others(module):
    """Context in which no other thread resumes this network from a split."""
    with _locks.setdefault(module, RLock()):
        yield


def copy_resumed(network):
    """Copy of a network in the middle of a training, where it may go on from a split."""
    # What is resumed belongs to the training, and may hold a batch.
    replaced = [vars(module).get("forward") for module in network.modules()]
    replaced = [f for f in replaced if isinstance(f, (_Injection, _Passed))]
    kept = [f for f in (network.entry, *replaced) if f is not None]
    with exclude_others(network):
        copied = copy.deepcopy(network, {id(f): f for f in kept})
    copied.entry = None
    for module in copied.modules():
        if isinstance(vars(module).get("forward"), (_Injection, _Passed)):
            del module.__dict__["forward"]
    return copied


class Resumption:
    """Context in which a network can go on from the activation at a split.

    Modules before the split are skipped: they return tensors without content, on which
    whatever the network does between modules costs next to nothing. Parameters, modules and
    their names are untouched. One thread at a time for each network.
    """

    def __init__(self, module, split):
        self.module, self.split = module, split
        self.injection = _Injection()

    def __enter__(self):
        self.lock = _locks.setdefault(self.module, RLock()).current
        self.lock.acquire()
        self.patched = []
        try:
            self._replace_forward(self.split.boundary, self.injection)
            for name, outputs in self.split.passed:
                self._replace_forward(name, _Passed(outputs, self))
        except BaseException:  # `with` calls `__exit__` only for what has been entered
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for module in self.patched:
            del module.__dict__["forward"]
        self.lock.release()

    def __call__(self, run, activation):
        """Result of `run(inputs)` where the boundary's output is `activation`."""
        self.injection.activation = activation
        self.n_rows = len(activation)
        result = run(self.make_ghosts(self.split.inputs))
        if isinstance(result, _Ghost):
            raise ValueError(f"The output does not come from {self.split.boundary!r} alone")
        return result

    def make_ghosts(self, output):
        """What a module before the split returned, as tensors without content."""
        return tree_map(lambda item: _make_ghosts(item, self.n_rows), output)

    def _replace_forward(self, name, forward):
        module = self.module.get_submodule(name)
        if "forward" in vars(module):
            raise ValueError(f"module {name!r} has a forward of its own already")
        module.forward = forward
        self.patched.append(module)


class _Injection:
    """Forward of the boundary: the activation that is given."""

    activation = None

    def __call__(self, *args, **kwargs):
        return self.activation


class _Passed:
    """Forward of a module before the split: tensors of the right shape, without content."""

    def __init__(self, outputs, resumption):
        self.outputs, self.resumption, self.n_calls = outputs, resumption, 0

    def __call__(self, *args, **kwargs):
        output = self.outputs[self.n_calls % len(self.outputs)]
        self.n_calls += 1
        return self.resumption.make_ghosts(output)


@dataclass(frozen=True)
class _Shape:
    """Shape of a tensor that a module returned: rows per sample, the other axes, the type."""

    rows: int
    rest: tuple
    dtype: torch.dtype


def _make_ghosts(item, n_rows):
    if isinstance(item, _Shape):
        return _make_ghost((item.rows * n_rows, *item.rest), item.dtype)
    return item


class _Ghost(torch.Tensor):
    """Tensor without content; every operation on it returns another one."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        args, kwargs = tree_map(_to_meta, (args, kwargs or {}))
        with torch._C.DisableTorchFunctionSubclass():
            return tree_map(_to_ghost, func(*args, **kwargs))


def _make_ghost(shape, dtype):
    return torch.empty(shape, dtype=dtype, device="meta").as_subclass(_Ghost)


def _to_meta(item):
    if isinstance(item, torch.Tensor) and not isinstance(item, _Ghost):
        return item.detach().to("meta")
    return item


def _to_ghost(item):
    if isinstance(item, torch.Tensor) and item.device.type == "meta":
        return item.as_subclass(_Ghost)
    return item


class Events:
    """Hooks that note which modules begin and end in a pass, and what they return."""

    def __init__(self, module):
        self.module = module
        self.names, self.begins, self.outputs, self.open = [], [], [], []

    def __enter__(self):
        self.handles = []
        for name, inner in self.module.named_modules():
            if name:
                self.handles.append(inner.register_forward_pre_hook(self._note_begin))
                self.handles.append(inner.register_forward_hook(self._make_end_hook(name)))
        return self

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()

    def _note_begin(self, module, args):
        self.open.append(len(self.names))

    def _make_end_hook(self, name):
        def hook(module, args, output):
            self.begins.append(self.open.pop())
            self.names.append(name)
            # Cloned, since a later operation may overwrite it; its graph is needed.
            self.outputs.append(tree_map(_copy_tensor, output))

        return hook

    def find_only_call(self, name):
        """Number of events when the module began, and the number of its end."""
        calls = [i for i, ended in enumerate(self.names) if ended == name]
        if len(calls) != 1:
            times = "is never run" if not calls else f"runs {len(calls)} times"
            raise ValueError(
                f"module {name!r} {times} in one pass, so it does not name a single depth;"
                " choose a module that runs once, such as a stage"
            )
        return self.begins[calls[0]], calls[0]

    def list_passed(self, begin):
        """Outermost modules that ended in the first `begin` events, with their outputs."""
        calls = Counter(self.names)
        before = Counter(self.names[:begin])
        whole = {name for name, count in before.items() if count == calls[name]}
        outer = {name for name in whole if not _is_inside(name, whole)}
        outputs = {}
        for name, output in zip(self.names[:begin], self.outputs[:begin], strict=True):
            if name in outer:
                outputs.setdefault(name, []).append(output)
        return outputs


def _is_inside(name, names):
    parts = name.split(".")
    return any(".".join(parts[:i]) in names for i in range(1, len(parts)))


def _copy_tensor(item):
    return item.clone() if isinstance(item, torch.Tensor) else item


def _describe_tensor(item, n_rows):
    if not isinstance(item, torch.Tensor):
        return item
    rows = item.shape[0] / n_rows if item.ndim else 0
    return _Shape(int(rows), tuple(item.shape[1:]), item.dtype)


def _list_tensors(output):
    found = []
    tree_map(
        lambda item: found.append(item) if isinstance(item, torch.Tensor) else None, output
    )
    return found


def _has_rows(output, n_rows):
    return isinstance(output, torch.Tensor) and output.ndim > 0 and len(output) == n_rows


def is_close(found, expected):
    """Whether outputs agree per row, relative to their norm."""
    if found.shape != expected.shape:
        return False
    found, expected = found.flatten(1), expected.flatten(1)
    scale = expected.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    return bool(((found - expected).norm(dim=1) / scale <= _TOLERANCE).all())
