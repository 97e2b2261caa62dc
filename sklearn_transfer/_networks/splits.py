"""A network in two parts: up to one of its modules, and what follows from its activation."""

import weakref
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils._pytree import tree_map

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
    """Where a network is cut: the `boundary` module, whose output alone crosses the cut.

    `input_shape` and `shape` are of one sample, before the network and at the cut; `passed`
    are the outermost modules that end before the boundary begins, with what they return.
    """

    boundary: str
    input_shape: tuple
    shape: tuple
    passed: tuple


def upstream(module, run, batch, name):
    """`Upstream` of the module `name`, from one pass of `run(batch)` in `module`.

    By the gradient of its output, so that parameters which a network uses outside of any
    module count as well; those that take no gradient are left out. Raises ValueError where
    the module does not run exactly once.
    """
    events = _Events(module)
    with torch.enable_grad():
        with events:
            run(batch)
        end = events.only_call(name)[1]
        names = _reached_parameters(module, events.outputs[end])
    return Upstream(names, frozenset(events.names[: end + 1]))


def _reached_parameters(module, output):
    tensors = [t for t in _tensors(output) if t.requires_grad]
    if not tensors:
        return frozenset()
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    total = sum(t.float().sum() for t in tensors)
    found = torch.autograd.grad(total, parameters.values(), allow_unused=True)
    pairs = zip(parameters, found, strict=True)
    return frozenset(name for name, gradient in pairs if gradient is not None)


def split(module, run, batch, boundary):
    """`Split` of a network at the module `boundary`, or None where no clean cut exists.

    None where something else than the module's output is used after it, as in a branch. The
    cut is checked: the second part alone gives what the whole gives, per row to 1e-5 and for
    another number of rows too.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode. It is as it was afterwards.
    run : callable
        `run(batch)` is one pass through `module`, to a tensor (n_samples, ...).
    batch : torch.Tensor of shape (n_samples, ...)
        Input of three samples or more.
    boundary : str
        Name of the module, which runs once in a pass.
    """
    with torch.no_grad():
        events = _Events(module)
        with events:
            whole = run(batch)
        begin, end = events.only_call(boundary)
        activation = events.outputs[end]
        if not _is_rows(activation, len(batch)) or not _is_rows(whole, len(batch)):
            return None
        passed = events.passed(begin, len(batch))
        record = Split(boundary, tuple(batch.shape[1:]), tuple(activation.shape[1:]), passed)
        try:
            with Resumption(module, record) as resumed:
                fewer = resumed(run, activation[:2].clone())
                again = resumed(run, activation.clone())
        except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError):
            return None
    same = _close(again, whole) and _close(fewer, whole[:2])
    return record if same else None


@contextmanager
def alone(module):
    """Context in which no other thread goes on from a split of this network."""
    with _locks.setdefault(module, RLock()):
        yield


class Resumption:
    """Context in which a network can go on from the activation at a split.

    Modules before the cut are passed over: they give tensors without content, on which
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
        self._patch(self.split.boundary, self.injection)
        for name, outputs in self.split.passed:
            self._patch(name, _Passed(outputs, self))
        return self

    def __exit__(self, *error):
        for module in self.patched:
            del module.__dict__["forward"]
        self.lock.release()

    def __call__(self, run, activation):
        """What `run(batch)` gives where the boundary's output is `activation`."""
        self.injection.activation = activation
        self.n_rows = len(activation)
        result = run(_ghost((self.n_rows, *self.split.input_shape), activation.dtype))
        if isinstance(result, _Ghost):
            raise ValueError(f"the output does not come from {self.split.boundary!r} alone")
        return result

    def _patch(self, name, forward):
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
    """Forward of a module before the cut: tensors of the right shape, without content."""

    def __init__(self, outputs, resumption):
        self.outputs, self.resumption, self.n_calls = outputs, resumption, 0

    def __call__(self, *args, **kwargs):
        output = self.outputs[self.n_calls % len(self.outputs)]
        self.n_calls += 1
        n_rows = self.resumption.n_rows
        return tree_map(lambda item: _made(item, n_rows), output)


@dataclass(frozen=True)
class _Shape:
    """Of a tensor that a module returned: rows a sample, the other axes, the type."""

    rows: int
    rest: tuple
    dtype: torch.dtype


def _made(item, n_rows):
    if isinstance(item, _Shape):
        return _ghost((item.rows * n_rows, *item.rest), item.dtype)
    return item


class _Ghost(torch.Tensor):
    """Tensor without content; whatever touches it gives another one."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        args, kwargs = tree_map(_to_meta, (args, kwargs or {}))
        with torch._C.DisableTorchFunctionSubclass():
            return tree_map(_to_ghost, func(*args, **kwargs))


def _ghost(shape, dtype):
    return torch.empty(shape, dtype=dtype, device="meta").as_subclass(_Ghost)


def _to_meta(item):
    if isinstance(item, torch.Tensor) and not isinstance(item, _Ghost):
        return item.detach().to("meta")
    return item


def _to_ghost(item):
    if isinstance(item, torch.Tensor) and item.device.type == "meta":
        return item.as_subclass(_Ghost)
    return item


class _Events:
    """Hooks that note which modules begin and end in a pass, and what they return."""

    def __init__(self, module):
        self.module = module
        self.names, self.begins, self.outputs, self.open = [], [], [], []

    def __enter__(self):
        self.handles = []
        for name, inner in self.module.named_modules():
            if name:
                self.handles.append(inner.register_forward_pre_hook(self._began))
                self.handles.append(inner.register_forward_hook(self._ended(name)))
        return self

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()

    def _began(self, module, args):
        self.open.append(len(self.names))

    def _ended(self, name):
        def hook(module, args, output):
            self.begins.append(self.open.pop())
            self.names.append(name)
            # A later operation may overwrite it, and its graph is of use.
            self.outputs.append(tree_map(_kept, output))

        return hook

    def only_call(self, name):
        """Number of events when the module began, and the number of its end."""
        calls = [i for i, ended in enumerate(self.names) if ended == name]
        if len(calls) != 1:
            times = "is never run" if not calls else f"runs {len(calls)} times"
            raise ValueError(
                f"module {name!r} {times} in one pass, so it names no one depth; choose a"
                " module that runs once, such as a stage"
            )
        return self.begins[calls[0]], calls[0]

    def passed(self, begin, n_rows):
        """Outermost modules that ended in the first `begin` events, with their outputs."""
        calls = Counter(self.names)
        before = Counter(self.names[:begin])
        whole = {name for name, count in before.items() if count == calls[name]}
        outer = {name for name in whole if not _inside(name, whole)}
        outputs = {}
        for name, output in zip(self.names[:begin], self.outputs[:begin], strict=True):
            if name in outer:
                shapes = tree_map(lambda item: _shape_of(item, n_rows), output)
                outputs.setdefault(name, []).append(shapes)
        return tuple((name, tuple(shapes)) for name, shapes in outputs.items())


def _inside(name, names):
    parts = name.split(".")
    return any(".".join(parts[:i]) in names for i in range(1, len(parts)))


def _kept(item):
    return item.clone() if isinstance(item, torch.Tensor) else item


def _shape_of(item, n_rows):
    if not isinstance(item, torch.Tensor):
        return item
    rows = item.shape[0] / n_rows if item.ndim else 0
    return _Shape(int(rows), tuple(item.shape[1:]), item.dtype)


def _tensors(output):
    found = []
    tree_map(
        lambda item: found.append(item) if isinstance(item, torch.Tensor) else None, output
    )
    return found


def _is_rows(output, n_rows):
    return isinstance(output, torch.Tensor) and output.ndim > 0 and len(output) == n_rows


def _close(found, expected):
    if found.shape != expected.shape:
        return False
    found, expected = found.flatten(1), expected.flatten(1)
    scale = expected.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    return bool(((found - expected).norm(dim=1) / scale <= _TOLERANCE).all())
