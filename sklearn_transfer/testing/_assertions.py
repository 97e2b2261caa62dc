"""Assertions and small tools that the checks of all families share."""

import re
import sys
import warnings
from contextlib import contextmanager
from importlib import import_module
from unittest import SkipTest

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing


def compute_difference(a, b):
    """Largest norm-wise relative difference over rows."""
    scale = np.maximum(np.linalg.norm(b, axis=1), np.finfo(np.float32).tiny)
    return (np.linalg.norm(a - b, axis=1) / scale).max()


def assert_same(a, b, tolerance=1e-5):
    """Assert that two matrices differ by no more than rounding, row by row."""
    assert a.shape == b.shape, f"shapes differ: {a.shape} and {b.shape}"
    difference = compute_difference(a, b)
    assert difference <= tolerance, f"rows differ by {difference:.2g} of their norm"


def assert_bit_identical(a, b):
    """Assert that two mappings hold the same tensors under the same names."""
    import torch

    assert a.keys() == b.keys(), f"names differ: {sorted(a.keys() ^ b.keys())}"
    changed = [name for name in a if not torch.equal(a[name], b[name])]
    assert changed == [], f"tensors differ: {changed}"


def assert_close(a, b, tolerance):
    """Assert that two arrays differ by little, relative to the norm of the second."""
    difference, norm = np.linalg.norm(a - b), np.linalg.norm(b)
    assert difference <= tolerance * norm, f"they differ by {difference:.2g} of {norm:.2g}"


@contextmanager
def require_error(kind, match):
    """Assert that the block raises an error of a kind, whose message has a pattern."""
    text = None
    try:
        yield
    except kind as error:
        text = str(error)
    assert text is not None, f"no {kind.__name__} was raised, expected one with {match!r}"
    assert re.search(match, text), f"the message has no {match!r}: {text}"


@contextmanager
def require_warning(match):
    """Assert that the block gives a UserWarning with a pattern; others go on to the caller."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    wanted = [
        w
        for w in caught
        if issubclass(w.category, UserWarning) and re.search(match, str(w.message))
    ]
    for other in caught:
        if other not in wanted:
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    assert wanted, f"no UserWarning was given, expected one with {match!r}"


def make(estimator, **options):
    """Copy an estimator, not fitted, with those of the options that it has."""
    known = estimator.get_params()
    own = {name: value for name, value in options.items() if name in known}
    return clone(estimator).set_params(**own)


def require_parameters(estimator, *names):
    """Skip the check for an estimator without some parameters."""
    missing = [name for name in names if name not in estimator.get_params()]
    if missing:
        raise SkipTest(f"{type(estimator).__name__} has no parameter {missing[0]!r}")


def require_methods(estimator, *names):
    """Skip the check for an estimator without some methods."""
    missing = [name for name in names if not hasattr(estimator, name)]
    if missing:
        raise SkipTest(f"{type(estimator).__name__} has no method {missing[0]!r}")


def list_frame_types():
    """List the types of data frames whose libraries are installed; skip without any."""
    types = []
    for library in ("pandas", "polars"):
        try:
            types.append(import_module(library).DataFrame)
        except ImportError:
            continue
    if not types:
        raise SkipTest("Neither pandas nor polars is installed")
    return types


def import_or_skip(library):
    """Import a library, or skip the check where it is not installed."""
    try:
        return import_module(library)
    except ImportError as error:
        raise SkipTest(f"{library} is not installed") from error


def take_rows(samples, rows):
    """Samples of some rows, in a container like that of all."""
    return _safe_indexing(samples, list(rows))


def is_module(model):
    """Whether a model is a network of torch, which need not be loaded for the answer."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def record_module(model):
    """Record the tensors of a network, and the flags of its modules and parameters."""
    return (
        {name: tensor.clone() for name, tensor in model.state_dict().items()},
        {name: module.training for name, module in model.named_modules()},
        {name: parameter.requires_grad for name, parameter in model.named_parameters()},
    )


def assert_module_untouched(model, before):
    """Assert that a network is what it was when it was recorded, and has no gradients."""
    tensors, modes, needs_gradient = record_module(model)
    assert_bit_identical(before[0], tensors)
    assert modes == before[1], "modules changed between training and evaluation mode"
    assert needs_gradient == before[2], "parameters changed whether they need gradients"
    assert all(p.grad is None for p in model.parameters()), "parameters hold gradients"


def record_parameters(estimator):
    """Identity of the value of each parameter."""
    return {name: id(value) for name, value in estimator.get_params().items()}
