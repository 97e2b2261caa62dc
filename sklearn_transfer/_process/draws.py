"""Scopes in which random draws follow from a seed alone; nothing global is moved."""

import contextlib
import random

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from sklearn_transfer._process.locks import RLock

_TAKE_GENERATOR = {
    *("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"),
    *("binomial", "uniform_", "normal_", "random_", "bernoulli_", "exponential_", "cauchy_"),
    *("geometric_", "log_normal_", "_standard_gamma", "_sample_dirichlet"),
}
_TAKE_NONE = {
    *("rand_like", "randn_like", "randint_like", "gumbel_softmax", "rrelu", "rrelu_"),
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "dropout_"),
    *("feature_dropout", "feature_alpha_dropout", "alpha_dropout_"),
}
_lock = RLock()


class SeededTorch(TorchFunctionMode):
    """Context in which torch draws on the CPU from a generator of this thread's own.

    Torch's global generator stays to other threads, where a network may be training with
    dropout: seeded and put back, it would give both sides draws that depend on chance.
    """

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", None)
        if name in _TAKE_GENERATOR and kwargs.get("generator") is None:
            if _on_cpu(args, kwargs):
                kwargs = {**kwargs, "generator": self.generator}
        elif name in _TAKE_NONE:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.set_state(self.generator.get_state())
                result = func(*args, **kwargs)
                self.generator.set_state(torch.default_generator.get_state())
            return result
        return func(*args, **kwargs)


def _on_cpu(args, kwargs):
    devices = [value.device for value in args if isinstance(value, torch.Tensor)]
    devices.append(torch.device(kwargs.get("device") or "cpu"))
    return all(device.type == "cpu" for device in devices)


@contextlib.contextmanager
def seeded(seed):
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
