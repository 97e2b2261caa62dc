"""Checkpoints: the state dict that a file or a mapping of weights holds."""

import argparse
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sklearn_transfer._networks.sources import note_source
from sklearn_transfer._validation import shorten, suggest_near

# Where training programs keep weights, in the order in which timm looks for them: a moving
# average before the weights as the last step left them.
_AVERAGES = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema_model",
    "model_ema_state_dict",
    "ema_model_state_dict",
    "params_ema",
    "ema",
)
_WRAPPERS = ("state_dict", "model", "model_state_dict", "params", "module")
# What compiling and data-parallel training put before every name.
_PREFIXES = ("_orig_mod.", "module.")
# Tensors that are no part of a network: counters, averages, states of optimizers.
_BYSTANDER = re.compile(
    r"n_averaged$|(model_)?ema[._]|(optimizer|optim|lr_scheduler|scheduler)[._]|"
    r"(.*\.)?total_(ops|params)$"
)
_QUANTIZED_LAYERS = (
    "torch.ao.nn.quantized",
    "torch.ao.nn.intrinsic.quantized",
    "torch.nn.quantized",
    "torch.nn.intrinsic.quantized",
)
_DEEPEST = 4  # wrappers within wrappers


class Checkpoint(NamedTuple):
    """Tensors by name, and a text for messages that says where they come from."""

    state_dict: dict
    origin: str

    def select_names(self, names, label):
        """Return the part that holds all of a network's `names`, without its common prefix.

        A moving average of weights is preferred to the weights themselves. If no part holds
        all names, the checkpoint is returned unchanged, and loading it reports what is
        missing.
        """
        names = list(names)
        found = [p for p in _find_prefixes(self.state_dict, names) if _holds(self, p, names)]
        if not found:
            return self
        prefix = _choose_prefix(found, self.origin, label)
        state_dict = {
            name[len(prefix) :]: tensor
            for name, tensor in self.state_dict.items()
            if name.startswith(prefix)
        }
        known = set(names)
        state_dict = {
            name: tensor
            for name, tensor in state_dict.items()
            if name in known or (_is_tensor(tensor) and not _BYSTANDER.match(name))
        }
        said = f" (its names under {prefix!r})" if prefix else ""
        return Checkpoint(state_dict, self.origin + said)


def read_checkpoint(weights):
    """Read a `Checkpoint` from a file (.safetensors, .pth, .pt, .bin) or from a mapping.

    Files are read without executing anything in them. Raises ValueError if there are no
    weights, or if they are those of a quantized network.
    """
    origin = describe_origin(weights)
    if isinstance(weights, Mapping):
        content = weights
    else:
        content = _read_file(os.path.expanduser(os.fspath(weights)))
    if not isinstance(content, Mapping):
        raise ValueError(
            f"weights={_describe_weights(weights)} is not a state dict: expected a mapping of"
            f" names to tensors, got {type(content).__name__}"
        )
    content, keys = _unwrap(content)
    _refuse_quantized_state(content, weights)
    content = _collect_tensors(content)
    average = next((key for key in keys if _is_average(key)), None)
    if average is not None:
        origin += f" (its moving average, {average!r})"
    if not any(_is_tensor(value) for value in content.values()):
        raise ValueError(
            f"weights={_describe_weights(weights)} is not a state dict: expected a mapping of"
            f" names to tensors, got {len(content)} entries such as"
            f" {shorten(list(content)[:3])}, none of which is a tensor"
        )
    for prefix in _PREFIXES:
        if all(str(name).startswith(prefix) for name in content):
            content = {name[len(prefix) :]: tensor for name, tensor in content.items()}
    return Checkpoint(content, origin)


def describe_origin(weights):
    """Return what messages call a value of the parameter `weights`."""
    return "given mapping" if isinstance(weights, Mapping) else os.fspath(weights)


def _describe_weights(weights):
    return "a mapping" if isinstance(weights, Mapping) else shorten(os.fspath(weights))


def _is_tensor(value):
    return hasattr(value, "detach")


def _is_average(name):
    return isinstance(name, str) and "ema" in re.split(r"[._]", name)


def _unwrap(content):
    """Return the innermost content of wrappers around a state dict, and their keys."""
    keys = []
    while len(keys) < _DEEPEST:
        averages = (*_AVERAGES, *filter(_is_average, content))
        key = next((k for k in (*averages, *_WRAPPERS) if _is_state(content.get(k))), None)
        if key is None:
            break
        keys.append(key)
        content = content[key]
    return content, keys


def _collect_tensors(content):
    """Return tensors by name.

    The tensors of a part that was saved as a mapping of its own get its name as a prefix.
    """
    flat = {name: value for name, value in content.items() if _is_tensor(value)}
    for key, part in content.items():
        if isinstance(key, str) and key not in _WRAPPERS and _is_state(part):
            flat |= {f"{key}.{name}": value for name, value in part.items()}
    return flat or dict(content)


def _is_state(value):
    """Whether a value is a mapping that holds tensors by name, or a wrapper of one."""
    return isinstance(value, Mapping) and any(
        isinstance(name, str)
        and (_is_tensor(inner) or (name in (*_AVERAGES, *_WRAPPERS) and _is_state(inner)))
        for name, inner in value.items()
    )


def _find_prefixes(state_dict, names):
    """Return the prefixes under which a state dict may hold the names, shortest first.

    They are what precedes the longest of the names wherever a key ends with it.
    """
    if not names:
        return []
    probe = max(names, key=len)
    ends = [name for name in state_dict if f".{name}".endswith(f".{probe}")]
    found = {name[: len(name) - len(probe)] for name in ends}
    return sorted(found, key=lambda prefix: (len(prefix), prefix))


def _holds(checkpoint, prefix, names):
    return all(prefix + name in checkpoint.state_dict for name in names)


def _choose_prefix(prefixes, origin, label):
    averages = [p for p in prefixes if _is_average(p)]
    found = averages or [p for p in prefixes if not p] or prefixes
    if len(found) > 1:
        raise ValueError(
            f"The weights from {origin} hold {label!r} {len(found)} times, under"
            f" {shorten(found)}: pass a mapping with the tensors of one of them"
        )
    return found[0]


def _read_file(path):
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"weights={shorten(path)}: no such file; expected 'pretrained', None, a mapping"
            " or a .safetensors, .pth or .pt file with a state dict."
            f"{suggest_near(path, ['pretrained'])}"
        )
    note_source(path)
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(path)
        return load_torch(path)
    except Exception as error:  # each format has errors of its own
        raise ValueError(
            f"weights={shorten(path)} cannot be read as a state dict"
            f" ({_explain_failure(path, error)}); save one with"
            " torch.save(module.state_dict(), path) or as safetensors"
        ) from error


def load_torch(path):
    """Load a file of torch, building only tensors and plain values."""
    import torch

    with torch.serialization.safe_globals(_list_plain_types()):
        return torch.load(path, map_location="cpu", weights_only=True)


def _list_plain_types():
    """Return types that training programs save beside weights: arguments and NumPy scalars."""
    import torch

    scalar = np.float64(0).__reduce__()[0]
    numbers = [type(np.dtype(code)) for code in "?bhilqBHILQefd"]
    plain = [argparse.Namespace, scalar, np.dtype, *dict.fromkeys(numbers)]
    if hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
        # NumPy 2 renamed the module of its scalars. Since torch 2.6, types can be allowed by
        # name, so that files written under either version of NumPy can be read.
        plain += [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return plain


def _explain_failure(path, error):
    import torch

    try:
        with torch.serialization.safe_globals(_list_plain_types()):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # not a file of that kind
        names = []
    if any(name.startswith("torch.ao.nn.quantized") for name in names):
        return "it holds a quantized network; take the weights from before quantization"
    if names:
        return f"beside tensors it holds {', '.join(names[:3])}, which are not built"
    if "TorchScript" in str(error):
        return "it is a TorchScript archive, which holds a program beside its weights"
    return shorten(str(error).splitlines()[0] if str(error) else type(error).__name__)


def refuse_quantized(module, label):
    """Raise ValueError for a module that computes with quantized weights."""
    layers = [(n, type(m)) for n, m in module.named_modules() if _is_quantized(m)]
    if layers:
        name, kind = layers[0]
        raise ValueError(
            f"model={label} is quantized: {name or 'itself'!r} is"
            f" {kind.__module__}.{kind.__name__}. Give the network as it was before"
            " quantization, in float32; engine and precision say how it is run."
        )


def _is_quantized(module):
    if type(module).__module__.startswith(_QUANTIZED_LAYERS):
        return True
    return any(_is_small(p) for p in module.parameters(recurse=False))


def _is_small(tensor):
    return tensor.is_quantized or str(tensor.dtype) in ("torch.int8", "torch.uint8")


def _refuse_quantized_state(state_dict, weights):
    for name, value in state_dict.items():
        if "_packed_params" in str(name) or _holds_quantized(str(name), value):
            raise ValueError(
                f"weights={_describe_weights(weights)} are those of a quantized network"
                f" ({name!r} says so): pass the weights from before quantization, in float32,"
                " bfloat16 or float16"
            )


def _holds_quantized(name, value):
    if not _is_tensor(value):
        return False
    return value.is_quantized or (_is_small(value) and name.endswith("weight"))


def refuse_bad_numbers(module, label, origin):
    """Raise ValueError if weights or running statistics of a module are NaN or infinite."""
    import torch

    statistics = [
        (name, buffer)
        for name, buffer in module.named_buffers()
        if name.rpartition(".")[2] in ("running_mean", "running_var")
    ]
    named = [*module.named_parameters(), *statistics]
    bad = [name for name, tensor in named if not bool(torch.isfinite(tensor).all())]
    if bad:
        tensors = dict(named)
        n_bad = int((~torch.isfinite(tensors[bad[0]])).sum())
        raise ValueError(
            f"{label} ({origin}) has weights that are NaN or infinite: {n_bad} of"
            f" {tensors[bad[0]].numel()} in {bad[0]!r}"
            f"{f', and others in {shorten(bad[1:3])}' if bad[1:] else ''}; {len(bad)} of"
            f" {len(named)} tensors are affected. The training that made them diverged, or"
            " they were saved in too narrow a type: take an earlier checkpoint."
        )
