"""Networks as arrays and builtins, which skops writes and builds without trusting anything."""

import sys
from collections.abc import Mapping

import numpy as np

# Entry of a state that holds arrays and builtins in place of a network.
PLAIN = "_plain"


def to_arrays(tensors):
    """Arrays by name, and types that arrays do not have: their bits are kept as integers."""
    arrays, types = {}, {}
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        try:
            arrays[name] = tensor.numpy()
        except TypeError:
            arrays[name], types[name] = _view_bits(tensor), str(tensor.dtype).split(".")[1]
    return {"arrays": arrays, "types": types}


def _view_bits(tensor):
    import torch

    return tensor.view({1: torch.uint8, 2: torch.int16}[tensor.element_size()]).numpy()


def to_tensors(written):
    """The tensors that `to_arrays` was given, in memory of their own."""
    import torch

    tensors = {n: torch.from_numpy(np.array(array)) for n, array in written["arrays"].items()}
    for name, kind in written["types"].items():
        tensors[name] = tensors[name].view(getattr(torch, kind))
    return tensors


def check_is_plain(estimator, source):
    """Raise TypeError where a network, or its first weights, are objects of torch's.

    `source` is the estimator whose parameters describe the network.
    """
    torch, owner = sys.modules.get("torch"), type(estimator).__name__
    if torch is None:
        return
    if isinstance(source.model, torch.nn.Module):
        raise TypeError(
            f"Skops writes no modules, and this {owner} was fitted with an object of the class"
            f" {type(source.model).__name__} as model: give a name, or a function or class"
            f" that makes the network, as model; or use pickle, or {owner}.save"
        )
    weights = source.weights
    if isinstance(weights, Mapping) and any(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        raise TypeError(
            f"Skops writes no tensors, and this {owner} was fitted with a mapping of them as"
            f" weights: give the path of a file as weights; or use pickle, or {owner}.save"
        )


def find_device(device):
    """Device that is meant; the CPU where a pickle names one that this machine lacks."""
    from sklearn_transfer._networks.devices import resolve_device

    try:
        return str(resolve_device(device))
    except ValueError:
        return "cpu"
