"""Registry of backbones, each of which is built once per process."""

import json
import os
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sklearn_transfer._networks.backbone import Backbone
from sklearn_transfer._networks.checkpoints import (
    read_checkpoint,
    refuse_bad_numbers,
    refuse_quantized,
)
from sklearn_transfer._networks.devices import resolve_device, seeded
from sklearn_transfer._networks.modules import (
    build_from_object,
    is_library_code,
    takes_outputs,
)
from sklearn_transfer._networks.questions import (
    BUILTIN_PREFIXES,
    SOUND_PREFIX,
    TEXT_PREFIXES,
    find_folder,
    is_own_architecture,
    name_folder,
    validate_size,
)
from sklearn_transfer._networks.recorded import forget_recorded
from sklearn_transfer._networks.sources import collect_sources
from sklearn_transfer._networks.weights import compute_state_digest
from sklearn_transfer._process.locks import RLock
from sklearn_transfer._process.threads import limit_to_one_core
from sklearn_transfer._store.digests import digest

# Bytes of weights, engines included, that are kept for later fits. The network used last is
# always kept.
_REGISTRY_BYTES = 2 << 30
_registry = OrderedDict()
_registry_lock = RLock()


@dataclass(frozen=True)
class Request:
    """Options with which a loader builds a network.

    Parameters
    ----------
    weights : "pretrained", None, path or mapping
        As in the estimators.
    size : (height, width) or None
        Pixels of the input; None for the network's own size.
    n_channels : int or None
        Channels of the input; None for the network's own number.
    sizes : tuple of int
        Positional arguments of a callable that makes the network.
    modality : {"image", "text", "audio"}
        Which network of a dual encoder is asked for. Other networks have one alone.
    """

    weights: object
    size: tuple | None = None
    n_channels: int | None = None
    sizes: tuple = (3,)
    modality: str = "image"


# Functions `(name, request)` that load a network, by the prefix of its name.
_loaders = {}


def register_loader(prefix, loader):
    """Register a function that loads the networks whose names begin with a prefix.

    Parameters
    ----------
    prefix : str
        Such as "torchvision/". The longest registered prefix of a name decides.
    loader : callable
        `loader(name, request) -> Backbone`, where `name` has its prefix and `request` is a
        `Request`. It raises ValueError for unknown names and weights that do not fit, and
        FileNotFoundError where weights are not available.
    """
    _loaders[prefix] = loader


# The libraries take seconds to import, so each is imported for its own networks alone. Of the
# 1.6 s of timm 1.0.31, 1.2 s are torchvision's, whose `ops.roi_align` imports torch's compiler
# (1.1 s), and 0.4 s its own (-X importtime). timm.data needs torchvision, so nothing can be
# left out but by putting a stand-in in the place of one of their modules.
def _load_with_timm(name, request):
    from sklearn_transfer._networks import timm as timm_networks

    return timm_networks.load(name, request)


def _load_with_torchvision(name, request):
    from sklearn_transfer._networks import torchvision as torchvision_networks

    return torchvision_networks.load(name, request)


def _load_text_network(name, request):
    from sklearn_transfer._networks import transformers as text_networks

    return text_networks.load(name, request)


def _load_sound_network(name, request):
    from sklearn_transfer._networks import default_sounds

    return default_sounds.load(name, request)


def _load_from_hub(name, request):
    """Load a network of any modality from a hub, as its configuration says."""
    from sklearn_transfer._networks import transformers as text_networks

    repo = name.partition(":")[2]
    if text_networks.is_text_repository(repo, request.modality):
        return text_networks.load_repository(repo, request, name)
    from sklearn_transfer._networks import timm as timm_networks

    return timm_networks.load_from_hub(name, request)


register_loader("", _load_with_timm)
register_loader("hf-hub:", _load_from_hub)
register_loader("hf_hub:", _load_from_hub)
register_loader("torchvision/", _load_with_torchvision)
register_loader(SOUND_PREFIX, _load_sound_network)
for _prefix in TEXT_PREFIXES:
    register_loader(_prefix, _load_text_network)


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
    modality="image",
):
    """Return the backbone that the parameters of an extractor describe.

    It is built once per process for equal parameters and content. `n_channels` is the number
    of channels of images; None for the network's own. `n_features_in` is passed to a callable
    that makes the network, and so is `n_outputs` if the callable takes it (`takes_outputs`).
    `modality` is that of the samples, and says which network of a dual encoder is meant.
    Raises ValueError for unknown names and weights that do not fit, and FileNotFoundError
    if weights are not available.
    """
    model = name_folder(model)
    if isinstance(model, torch.nn.Module):
        refuse_quantized(model, type(model).__name__)
    device = resolve_device(device)
    sizes = (n_features_in, n_outputs) if takes_outputs(model) else (n_features_in,)
    request = Request(weights, validate_size(input_size), n_channels, sizes, modality)
    keys = _make_keys(model, request, random_state, device)
    with _registry_lock:
        known = [key for key in keys if key in _registry]
        is_new = not known
        if is_new:
            with limit_to_one_core(), seeded(random_state), torch.inference_mode(False):
                with collect_sources() as sources:
                    backbone = _build(model, request)
                backbone = _finish(backbone, model, device, sources.has_own_code)
                if is_library_code(backbone.module):
                    backbone.sources = sources
            known = [keys[backbone.layout.is_tower]]
            _registry[known[0]] = backbone
        _registry.move_to_end(known[0])
        backbone = _registry[known[0]]
    if is_new:
        trim_registry()
    return backbone


def has_own_loader(model):
    """Return whether a loader that is not of this package loads the networks of that name."""
    return isinstance(model, str) and _find_prefix(model) not in BUILTIN_PREFIXES


def is_loaded(
    model,
    weights,
    *,
    input_size=None,
    random_state=0,
    device="auto",
    n_channels=None,
    n_features_in=3,
    modality="image",
):
    """Whether the registry holds the network that these parameters describe."""
    size = validate_size(input_size)
    request = Request(weights, size, n_channels, (n_features_in,), modality)
    keys = _make_keys(name_folder(model), request, random_state, resolve_device(device))
    return any(key in _registry for key in keys)


def _make_keys(model, request, random_state, device):
    """Return the key of a network that has its name alone, and that of a tower."""
    settings = (request.size, request.n_channels, random_state, str(device))
    key = (
        _make_model_key(model, request.sizes),
        _make_weights_key(request.weights),
        *settings,
    )
    return key, (*key, request.modality)


def clear_registry():
    """Remove all networks from the registry; those in use keep working."""
    with _registry_lock:
        forgotten = list(_registry.values())
        _registry.clear()
        forget_recorded()
    _clear_engines(forgotten)


def trim_registry():
    """Remove the least recently used networks until all fit, their engines included."""
    forgotten = []
    with _registry_lock:
        total = sum(backbone.n_bytes for backbone in _registry.values())
        while total > _REGISTRY_BYTES and len(_registry) > 1:
            forgotten.append(_registry.popitem(last=False)[1])
            total -= forgotten[-1].n_bytes
    _clear_engines(forgotten)


def _clear_engines(forgotten):
    """Remove the engines of backbones, which refer back to their backbones.

    Otherwise the memory of both would be released only by a garbage collection.
    """
    for backbone in forgotten:
        with backbone.engines_lock:
            backbone.engines.clear()


def _make_model_key(model, sizes):
    if isinstance(model, str):
        folder, arch = find_folder(model, _loaders), model.partition(".")[0]
        if is_own_architecture(arch):  # a cell of a notebook may register it again
            return (model, sys.modules["timm.models"].model_entrypoint(arch))
        return model if folder is None else (model, *_list_files(folder))
    if isinstance(model, torch.nn.Module):
        return (digest(model), _list_untrained(model))
    return (digest(model), *sizes)


def _list_untrained(module):
    """Names of the parameters of a module that do not require gradients."""
    return frozenset(name for name, p in module.named_parameters() if not p.requires_grad)


def _find_prefix(model):
    return max((known for known in _loaders if model.startswith(known)), key=len)


def _list_files(folder):
    """Return what tells whether the files of a folder have changed."""
    found = []
    for base, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            status = os.stat(os.path.join(base, name))
            found.append((base, name, status.st_ino, status.st_size, status.st_mtime_ns))
    return found


def _make_weights_key(weights):
    if weights is None or weights == "pretrained":
        return weights
    if isinstance(weights, Mapping):
        return digest(read_checkpoint(weights).state_dict)
    path = os.path.realpath(os.path.expanduser(os.fspath(weights)))
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError for a path with a null character
        return path
    return (path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _is_timm_folder(folder):
    """Return whether a folder holds a network as timm saves it for hubs."""
    path = Path(folder, "config.json")
    return path.is_file() and "architecture" in json.loads(path.read_text(encoding="utf-8"))


def _build(model, request):
    if not isinstance(model, str):
        return build_from_object(model, request)
    folder = find_folder(model, _loaders)
    if folder is not None and _is_timm_folder(folder):
        from sklearn_transfer._networks import timm as timm_networks

        return timm_networks.load_folder(folder, request, model)
    if folder is not None:
        from sklearn_transfer._networks import transformers as text_networks

        return text_networks.load_folder(folder, request, model)
    return _loaders[_find_prefix(model)](model, request)


def _finish(backbone, model, device, has_own_code):
    """Return the backbone in evaluation mode, in float32, on its device, with its digest."""
    untrained = _list_untrained(backbone.module)
    module = backbone.module.float().eval().requires_grad_(False)
    refuse_bad_numbers(module, backbone.label, backbone.origin)
    sha256 = compute_state_digest(module.state_dict())
    is_named = isinstance(model, str)
    name = model if is_named and not has_own_code else digest(module)
    structure = backbone.description.digest or name
    module = module.to(device=device)
    stateful = not is_named and not is_library_code(module)
    # Convolutions are faster on a CPU with channels last. A user's own code may call `view`,
    # which needs the default order, and 3-D convolutions do not support another one.
    if not stateful and all(p.ndim != 5 for p in module.parameters()):
        module = module.to(memory_format=torch.channels_last)
    description = replace(
        backbone.description,
        stateful=stateful,
        untrained=untrained,
        weights_sha256=sha256,
        digest=digest(structure, sha256),
    )
    return Backbone(description, module, device)
