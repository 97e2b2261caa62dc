"""From what a user calls a network to a record that the later stages work with."""

import copy
import inspect
import os
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral

import torch

from sklearn_transfer._networks import timm as timm_networks
from sklearn_transfer._networks import torchvision as torchvision_networks
from sklearn_transfer._networks.backbone import Backbone, children
from sklearn_transfer._networks.checkpoints import (
    read_checkpoint,
    refuse_bad_numbers,
    refuse_quantized,
)
from sklearn_transfer._networks.weights import load_strictly, state_dict_digest
from sklearn_transfer._process.locks import RLock
from sklearn_transfer._process.threads import limit_to_one_core
from sklearn_transfer._store.digests import digest
from sklearn_transfer._validation import shortened

# Networks kept for later fits, in bytes of weights; the newest always stays.
_REGISTRY_BYTES = 2 << 30
_LIBRARIES = ("torch.nn.", "torchvision.", "timm.")
_registry = OrderedDict()
_registry_lock = RLock()


def load_backbone(
    model,
    weights,
    *,
    input_size=None,
    random_state=0,
    device="auto",
    n_channels=None,
    n_features_in=3,
    n_outputs=None,
):
    """Record of the network that the parameters of an extractor describe.

    Built once a process for equal parameters and content; `n_channels` is the number of
    channels of images, where it is not the network's own; `n_features_in` reaches a
    factory, and `n_outputs` one that takes it (`takes_outputs`). Raises ValueError for
    unknown names and weights that do not fit, and FileNotFoundError where weights cannot
    be had.
    """
    if isinstance(model, torch.nn.Module):
        refuse_quantized(model, type(model).__name__)
    size = _checked_size(input_size)
    place = resolve_device(device)
    sizes = (n_features_in, n_outputs) if takes_outputs(model) else (n_features_in,)
    key = _registry_key(model, weights, size, random_state, place, n_channels, sizes)
    with _registry_lock:
        is_new = key not in _registry
        if is_new:
            with limit_to_one_core(), _seeded(random_state), torch.inference_mode(False):
                backbone = _build(model, weights, size, n_channels, sizes)
                _registry[key] = _finish(backbone, model, place)
        _registry.move_to_end(key)
        backbone = _registry[key]
    if is_new:
        trim_registry()
    return backbone


def is_loaded(model, weights, *, input_size, random_state, device, n_channels, n_features_in):
    """Whether `load_backbone` has the network of these parameters at hand."""
    settings = (_checked_size(input_size), random_state, resolve_device(device), n_channels)
    key = _registry_key(model, weights, *settings, (n_features_in,))
    return key in _registry


def _registry_key(model, weights, size, random_state, place, n_channels, sizes):
    settings = (size, n_channels, random_state, str(place))
    return (_model_key(model, sizes), _weights_key(weights), *settings)


def clear_registry():
    """Forget all networks; those in use stay with their users."""
    with _registry_lock:
        forgotten = list(_registry.values())
        _registry.clear()
    _free(forgotten)


def trim_registry():
    """Forget the networks used longest ago, so that all, with their engines, fit."""
    forgotten = []
    with _registry_lock:
        total = sum(backbone.n_bytes for backbone in _registry.values())
        while total > _REGISTRY_BYTES and len(_registry) > 1:
            forgotten.append(_registry.popitem(last=False)[1])
            total -= forgotten[-1].n_bytes
    _free(forgotten)


def _free(forgotten):
    """Part networks from their engines, which know them: else only a collection frees both."""
    for backbone in forgotten:
        with backbone.engines_lock:
            backbone.engines.clear()


def takes_outputs(model):
    """Whether a model is a factory `(n_features_in, n_outputs)`."""
    if isinstance(model, (str, torch.nn.Module)):
        return False
    try:
        parameters = inspect.signature(model).parameters.values()
    except (TypeError, ValueError):  # some builtins do not say
        return False
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) > 1


def _model_key(model, sizes):
    if isinstance(model, str):
        return model
    if isinstance(model, torch.nn.Module):
        return digest(model)
    return (digest(model), *sizes)


def _weights_key(weights):
    if weights is None or weights == "pretrained":
        return weights
    if isinstance(weights, Mapping):
        return digest(read_checkpoint(weights).state_dict)
    path = os.path.realpath(os.path.expanduser(os.fspath(weights)))
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # the latter of a path with a null character
        return path
    return (path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@contextmanager
def _seeded(seed):
    with torch.random.fork_rng(devices=[]), single_precision():
        torch.manual_seed(seed)
        yield


@contextmanager
def single_precision():
    """Context in which networks are made in float32, and draw the same weights as ever."""
    before = torch.get_default_dtype()
    if before == torch.float32:
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _checked_size(input_size):
    if input_size is None:
        return None
    pair = (input_size,) * 2 if isinstance(input_size, Integral) else tuple(input_size)
    if len(pair) != 2 or not all(isinstance(v, Integral) and v > 0 for v in pair):
        raise ValueError(
            f"input_size={shortened(input_size)}: expected pixels as an int or (height, width)"
        )
    return (int(pair[0]), int(pair[1]))


def resolve_device(device):
    """Device that a value of the parameter `device` means; ValueError if it is not here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={shortened(device)} is not available"
            f" ({shortened(str(error).splitlines()[0])});"
            " use 'auto', 'cpu' or 'cuda'"
        ) from error
    return place


def _build(model, weights, size, n_channels, sizes):
    if not isinstance(model, str):
        backbone = _build_from_object(model, weights, size, sizes)
        _require_channels(backbone, n_channels)
        return backbone
    given = (weights, size, n_channels)
    if model.startswith("torchvision/"):
        return torchvision_networks.build(model.removeprefix("torchvision/"), *given)
    if model.startswith(("hf-hub:", "hf_hub:")):
        return timm_networks.build_from_hub(model, *given)
    return timm_networks.build(model, *given)


def _require_channels(backbone, n_channels):
    """Raise ValueError where a network that was given takes another number of channels."""
    spec = backbone.spec
    if spec is not None and n_channels not in (None, spec.channels):
        raise ValueError(
            f"n_channels={n_channels}, but {backbone.label} takes {spec.channels}; n_channels"
            " adapts the first layer of networks by name alone. Leave it at None, or give a"
            " module whose first layer takes that many"
        )


def _finish(backbone, model, place):
    """Private copy in its final state: evaluation mode, float32, in place, digested."""
    parameters = backbone.module.named_parameters()
    untrained = frozenset(name for name, p in parameters if not p.requires_grad)
    module = backbone.module.float().eval().requires_grad_(False)
    refuse_bad_numbers(module, backbone.label, backbone.origin)
    sha256 = state_dict_digest(module.state_dict())
    named = isinstance(model, str)
    structure = model if named else digest(module)
    module = module.to(device=place)
    stateful = not named and not _is_library_code(module)
    # A user's own code may ask for `view`, and 3-D convolutions refuse the order.
    if not stateful and all(p.ndim != 5 for p in module.parameters()):
        module = module.to(memory_format=torch.channels_last)
    state = {"stateful": stateful, "weights_sha256": sha256, "device": place}
    state["untrained"] = untrained
    return replace(backbone, module=module, digest=digest(structure, sha256), **state)


def _is_library_code(module):
    """Whether a module is made of layers of torch, torchvision and timm alone."""
    return all(
        type(layer).__module__.startswith(_LIBRARIES)
        and "forward" not in vars(layer)
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        for layer in module.modules()
    )


def _build_from_object(model, weights, size, sizes):
    if isinstance(model, torch.nn.Module):
        module, label = copy.deepcopy(model), type(model).__name__
    else:
        label = getattr(model, "__qualname__", type(model).__qualname__)
        module = model(*(given for given in sizes if given is not None))
        if not isinstance(module, torch.nn.Module):
            raise ValueError(
                f"model={label} returned {type(module).__name__}, expected a callable that"
                " takes the number of input features and returns a torch.nn.Module"
            )
        refuse_quantized(module, label)
    origin = "own weights"
    if weights is None and isinstance(model, torch.nn.Module):
        origin = "random weights"
        _draw_anew(module, label)
    elif weights is not None and weights != "pretrained":
        origin = load_strictly(module, weights, label)
    return _object_record(module, label, origin, size)


def _object_record(module, label, origin, size):
    config = getattr(module, "pretrained_cfg", None)
    if config and hasattr(module, "forward_features") and hasattr(module, "forward_head"):
        return timm_networks.record(module, label, origin, size)
    if type(module).__module__.startswith("torchvision.models."):
        return torchvision_networks.record_of_module(module, label, origin, size)
    output = ("", "output")
    return Backbone(
        label,
        origin,
        module,
        stages=children(module),
        spec=timm_networks.spec_of(module, size),
        embedding=output,
        final_map=output,
        logits=output,
    )


def _draw_anew(module, label):
    """Random weights for a module by the initialisation of its own layers."""
    covered = set()
    for layer in module.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
            covered.update(map(id, layer.parameters(recurse=False)))
    rest = [name for name, p in module.named_parameters() if id(p) not in covered]
    if rest:
        raise ValueError(
            f"weights=None cannot draw {rest[:3]} of {label} anew: no layer with"
            " reset_parameters() owns them; pass a factory that builds the module"
        )
