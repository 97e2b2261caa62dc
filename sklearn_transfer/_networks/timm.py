"""Networks of timm and of model hubs."""

import json
import math
import os
from functools import partial
from pathlib import Path

import timm
import torch

from sklearn_transfer._modalities.image.spec import ImageSpec, UnknownSpec
from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.channels import find_input_channels, fit_to_channels
from sklearn_transfer._networks.checkpoints import read_checkpoint
from sklearn_transfer._networks.layout import Layout
from sklearn_transfer._networks.questions import is_own_architecture
from sklearn_transfer._networks.sources import (
    note_all_known,
    note_folder,
    note_own_code,
    note_revision,
    note_source,
    note_unknown,
)
from sklearn_transfer._networks.timm_structure import describe_structure
from sklearn_transfer._networks.weights import (
    download_hub_weights,
    fetch_hub_snapshot,
    find_cached_weights,
    find_package,
    list_parameter_names,
    load_strictly,
    make_missing_weights_error,
    misfit,
    read_packaged_weights,
    read_weights,
    require_host,
)
from sklearn_transfer._validation import shorten, suggest_near


def load(name, request):
    """Load a network by its name in timm, such as "resnet50.a1_in1k"."""
    weights, size, n_channels = request.weights, request.size, request.n_channels
    arch = timm.models.get_arch_name(name)
    if not timm.is_model(arch):
        raise ValueError(_describe_unknown_model(name, timm.list_models()))
    _note_code(arch)
    config = timm.models.get_pretrained_cfg(arch)
    if name != arch:
        _check_tag(name, arch)
        config = timm.models.get_pretrained_cfg(name)
    options = {} if n_channels is None else {"in_chans": n_channels}
    if size is not None and config is not None and config.fixed_input_size:
        options["img_size"] = size
    if weights is None:
        module = _create(name, pretrained=False, **options)
        return wrap_module(module, name, "random weights", size)
    origin, state_dict = _find_weights(name, weights, config, options)
    if state_dict is None:
        module = _create(name, pretrained=True, **options)
        return wrap_module(module, name, origin, size)
    overlay = {"state_dict": state_dict, "custom_load": False}
    if weights != "pretrained":
        options["num_classes"] = _count_classes(state_dict, config, overlay)
        own = _find_own_channels(name, state_dict, config, n_channels, origin)
        if own is not None:
            module = _create(name, pretrained=False, **{**options, "in_chans": own})
            load_strictly(module, state_dict, name)
            return wrap_module(module, name, origin, size)
    with misfit(name, origin):
        module = _create(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    module.pretrained_cfg.pop("state_dict", None)
    return wrap_module(module, name, origin, size)


def _note_code(arch):
    """Note that the code of an architecture is timm's, or a user's own."""
    if is_own_architecture(arch):
        note_own_code()
    else:
        note_all_known()


def _create(name, **options):
    try:
        return timm.create_model(name, **options)
    except TypeError as error:
        if "in_chans" not in str(error):
            raise
        raise ValueError(
            f"n_channels={options['in_chans']}: {name} has a fixed number of channels; take"
            " another network, or n_channels=None"
        ) from error


def _find_own_channels(name, state_dict, config, n_channels, origin):
    """Return the channels of a checkpoint if they differ from the network's own, else None."""
    first = config and config.first_conv
    tensor = state_dict.get(f"{first}.weight") if isinstance(first, str) else None
    if tensor is None or tensor.ndim != 4 or tensor.shape[1] == config.input_size[0]:
        return None
    found = tensor.shape[1]
    # Some networks rearrange pixels into channels before their first convolution, so its
    # number of channels is not that of the input.
    with torch.device("meta"):
        usual = timm.create_model(name, pretrained=False).get_submodule(first).in_channels
    if found == usual:
        return None
    if n_channels not in (None, found):
        raise ValueError(
            f"n_channels={n_channels}, but the weights from {origin} are for {found} channels"
            f" ({first}.weight has shape {tuple(tensor.shape)}); leave it at None"
        )
    return found


def _describe_unknown_model(name, known):
    from sklearn_transfer._networks import torchvision as torchvision_networks

    names = [*known, *(f"torchvision/{other}" for other in torchvision_networks.list_names())]
    return (
        f"model={shorten(name)} is no network that timm or torchvision knows."
        f"{suggest_near(name, names)} List them with timm.list_models('*resnet*');"
        " those of torchvision are written 'torchvision/alexnet'"
    )


def _check_tag(name, arch):
    known = [f"{arch}.{tag}" for tag in timm.models.get_arch_pretrained_cfgs(arch)]
    tagged = timm.list_pretrained(f"{arch}.*")
    if name not in tagged and name not in known:
        raise ValueError(
            f"model={shorten(name)}: {arch} has no weights of that tag, only"
            f" {', '.join(tagged) or 'none'}.{suggest_near(name, tagged)}"
        )


def _find_weights(name, weights, config, options):
    """Return the origin of the weights, and the state dict unless timm downloads it."""
    if weights != "pretrained":
        build = partial(timm.create_model, name, pretrained=False, **options)
        names = list_parameter_names(build, _list_classifiers(config))
        checkpoint = read_checkpoint(weights).select_names(names, name)
        return checkpoint.origin, checkpoint.state_dict
    state_dict = read_packaged_weights(name)
    if state_dict is not None:
        return f"package {find_package(name)}", state_dict
    if config is None or not (config.hf_hub_id or config.url or config.file):
        raise ValueError(
            f"model={shorten(name)} has no pretrained weights in timm; pass weights=PATH,"
            " weights=None for random ones, or one of"
            f" {timm.list_pretrained(f'{name}*')[:5]}"
        )
    if not config.hf_hub_id:
        return _download_with_timm(name, config)
    repo, file = config.hf_hub_id, config.hf_hub_filename
    path = find_cached_weights(repo, file)
    if path is None:
        try:
            path = download_hub_weights(repo, file)
        except OSError as error:
            wanted, url = file or "model.safetensors", f"https://huggingface.co/{repo}"
            raise make_missing_weights_error(name, error, wanted, url) from error
    note_revision(path, repo.partition("@")[2] or "main")
    return f"hub {repo}", read_weights(path)


def _download_with_timm(name, config):
    """Return the origin and None after a check that timm can find or download the file."""
    cached = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(config.url))
    if os.path.exists(cached):
        note_source(cached)
        return cached, None
    note_unknown()
    try:
        require_host(config.url)
    except OSError as error:
        file = os.path.basename(config.url)
        raise make_missing_weights_error(name, error, file, config.url) from error
    return f"url {config.url}", None


def _count_classes(state_dict, config, overlay):
    """Return the number of classes with which to build a network for a checkpoint.

    Where it is not the network's own, `overlay` of the configuration is changed to it.
    """
    if config is None:
        return None
    first = _list_classifiers(config)[:1]
    tensor = state_dict.get(f"{first[0] if first else None}.weight")
    count = 0 if tensor is None else tensor.shape[0]
    if count == (config.num_classes or 0) + (config.label_offset or 0):
        return config.num_classes
    overlay.update(num_classes=count, label_offset=0)
    return count


def _list_classifiers(config):
    """Return the names of the classifying layers that a configuration of timm states."""
    names = (config and config.classifier) or ()
    return (names,) if isinstance(names, str) else tuple(names)


def load_from_hub(name, request):
    """Load a network by its repository, such as "hf-hub:timm/resnet18.a1_in1k"."""
    repo = name.partition(":")[2]
    try:
        folder = fetch_hub_snapshot(repo, config_only=request.weights != "pretrained")
    except (OSError, ValueError) as error:  # ValueError for a name that is not allowed
        raise make_missing_weights_error(
            name,
            shorten(str(error)),
            "config.json and model.safetensors",
            f"https://huggingface.co/{repo.partition('@')[0]}",
        ) from error
    note_revision(folder, repo.partition("@")[2] or "main")
    return load_folder(folder, request, name, f"hub {repo}")


def load_folder(folder, request, name, origin=None):
    """Load a network from a folder in timm's layout; "pretrained" weights are those in it."""
    note_folder(folder)
    weights, size, n_channels = request.weights, request.size, request.n_channels
    config = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    _note_code(config.get("architecture", ""))
    fixed = config.get("pretrained_cfg", config).get("fixed_input_size")
    options = {"img_size": size} if fixed and size is not None else {}
    if n_channels is not None:
        options["in_chans"] = n_channels
    with misfit(name, folder):
        module = _create(f"local-dir:{folder}", pretrained=weights == "pretrained", **options)
    origin = str(folder) if origin is None else origin
    if weights != "pretrained":
        origin = "random weights"
    if weights is not None and weights != "pretrained":
        origin = load_strictly(module, weights, name)
    return wrap_module(module, name, origin, size)


def wrap_module(module, label, origin, size):
    """Return the backbone of a module that follows timm's conventions."""
    layout = Layout(
        label,
        family="timm",
        has_classifier=getattr(module, "num_classes", 0) > 0,
        **describe_structure(module),
    )
    return Backbone(Description(layout, find_spec(module, size, label), origin), module)


def find_spec(module, size, label):
    """Return the spec of a network by timm's configuration; `UnknownSpec` if it has none.

    The number of channels is that which the network takes, even if its configuration states
    another one.
    """
    config = getattr(module, "pretrained_cfg", None)
    if not config or not config.get("input_size"):
        return UnknownSpec(label)
    data = timm.data.resolve_data_config({}, pretrained_cfg=config)
    size = size or tuple(data["input_size"][1:])
    n_channels = find_input_channels(module, data["input_size"][0], size)
    return ImageSpec(
        size,
        tuple(math.floor(edge / data["crop_pct"]) for edge in size),
        fit_to_channels(data["mean"], n_channels, "mean"),
        fit_to_channels(data["std"], n_channels, "std"),
        data["interpolation"],
        data["crop_mode"],
    )
