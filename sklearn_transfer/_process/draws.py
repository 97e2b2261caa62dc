"""Scopes in which random draws follow from a seed alone; global states are kept.

Nothing here lists the functions of torch that draw. An operation has a tag of torch's if it
draws, and its schema says whether it takes a generator; a function that torch has written in
Python draws if its code names an operation that does.

A `TorchDispatchMode` would need no names at all, since it sees every operation. But it costs
twice as much for each operation, which slows augmentation by 15 %; its first use imports
`torch._dynamo`, which takes a second; and it notes in variables of the process, which threads
overwrite, that a mode is active.
"""

import contextlib
import enum
import functools
import inspect
import random
import types

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from sklearn_transfer._process.locks import RLock

_lock = RLock()


class SeededTorch(TorchFunctionMode):
    """Context in which torch draws on the CPU from a generator of this thread's own.

    Torch's global generator is left to other threads, where a network may be training with
    dropout: if it were seeded and restored, the draws of both threads would depend on timing.
    It is used only during the call of a function that takes no generator.
    """

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        source = find_source(func)
        if source is Source.GENERATOR and kwargs.get("generator") is None:
            if _is_on_cpu(args, kwargs):
                kwargs = {**kwargs, "generator": self.generator}
        elif source is Source.GLOBAL:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.set_state(self.generator.get_state())
                result = func(*args, **kwargs)
                self.generator.set_state(torch.default_generator.get_state())
            return result
        return func(*args, **kwargs)


class Source(enum.Enum):
    """Where a function of torch draws from.

    NOTHING : it does not draw.
    GENERATOR : the one that is passed as `generator`, or else the global one.
    GLOBAL : the global generator.
    """

    NOTHING = enum.auto()
    GENERATOR = enum.auto()
    GLOBAL = enum.auto()


@functools.cache
def find_source(func):
    """Return the `Source` of a function of torch."""
    if isinstance(func, types.FunctionType):
        return Source.GLOBAL if _has_draw_name(func, set()) else Source.NOTHING
    overloads = _find_drawing_overloads(getattr(func, "__name__", ""))
    if not overloads:
        return Source.NOTHING
    names = {argument.name for overload in overloads for argument in overload.arguments}
    return Source.GENERATOR if "generator" in names else Source.GLOBAL


def _find_drawing_overloads(name):
    """Schemas of the overloads of an operation that draw."""
    packet = None if name.startswith("__") else getattr(torch.ops.aten, name, None)
    if packet is None:
        return []
    overloads = [getattr(packet, overload) for overload in packet.overloads()]
    tag = torch.Tag.nondeterministic_seeded
    return [overload._schema for overload in overloads if tag in overload.tags]


def _has_draw_name(func, seen):
    """Whether the code of a function, or of those of its module that it names, draws."""
    seen.add(func)
    if any(map(_find_drawing_overloads, func.__code__.co_names)):
        return True
    named = inspect.getclosurevars(func)
    for helper in [*named.globals.values(), *named.nonlocals.values()]:
        is_new = isinstance(helper, types.FunctionType) and helper not in seen
        if is_new and _has_draw_name(helper, seen):
            return True
    return False


def _is_on_cpu(args, kwargs):
    devices = [value.device for value in args if isinstance(value, torch.Tensor)]
    devices.append(torch.device(kwargs.get("device") or "cpu"))
    return all(device.type == "cpu" for device in devices)


@contextlib.contextmanager
def seed_draws(seed):
    """Context in which `random`, numpy and torch draw from a seed, one thread at a time."""
    with _lock:
        before = random.getstate(), np.random.get_state()  # noqa: NPY002
        rng = np.random.default_rng(seed)
        try:
            random.seed(int(rng.integers(2**63)))
            np.random.seed(rng.integers(2**32, size=4))  # noqa: NPY002
            with SeededTorch(int(rng.integers(2**63))):
                yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
