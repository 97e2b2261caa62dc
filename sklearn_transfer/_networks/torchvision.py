"""Networks of torchvision, and the structure that it does not state."""

import functools
import math
import os
from functools import partial

import torch
from torch import nn

from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._networks import detectors
from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.channels import (
    find_first_convolution,
    find_input_channels,
    fit_to_channels,
    replace_first_convolution,
)
from sklearn_transfer._networks.checkpoints import read_checkpoint
from sklearn_transfer._networks.layout import OUTPUT, Layout, Place, Stage
from sklearn_transfer._networks.sources import note_all_known, note_source, note_unknown
from sklearn_transfer._networks.weights import (
    find_package,
    list_parameter_names,
    list_tags,
    make_missing_package_error,
    make_missing_weights_error,
    misfit,
    read_array_file,
    read_packaged_weights,
)
from sklearn_transfer._validation import shorten, suggest_near

# Stages by class; a name ending in ".*" stands for the children of that module.
_STAGES = {
    "AlexNet": ["features.2", "features.5", "features.7", "features.9", "features.12"],
    "ConvNeXt": ["features.*"],
    "DenseNet": [f"features.denseblock{i}" for i in (1, 2, 3, 4)],
    "EfficientNet": ["features.*"],
    "GoogLeNet": ["conv1", "conv3", "inception3b", "inception4e", "inception5b"],
    "Inception3": [
        "Conv2d_2b_3x3",
        "Conv2d_4a_3x3",
        "Mixed_5d",
        "Mixed_6e",
        "Mixed_7c",
    ],
    "MNASNet": ["layers.*"],
    "MaxVit": ["stem", "blocks.*"],
    "MobileNetV2": ["features.*"],
    "MobileNetV3": ["features.*"],
    "RegNet": ["stem", "trunk_output.*"],
    "ResNet": ["maxpool", "layer1", "layer2", "layer3", "layer4"],
    "ShuffleNetV2": ["maxpool", "stage2", "stage3", "stage4", "conv5"],
    "SqueezeNet": ["features.*"],
    "SwinTransformer": ["features.*"],
    "VGG": ["features.*"],
    "VisionTransformer": ["encoder.layers.*"],
}

# Names of attributes that may hold the classifier, in the order of the search.
_HEADS = ("fc", "classifier", "heads", "head")

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def _import_models():
    from torchvision import models

    return models


@functools.cache
def list_names():
    """Return the names of torchvision's classification networks."""
    models = _import_models()
    return tuple(models.list_models(module=models))


def find_weights_url(name):
    """Return the address of the default pretrained weights."""
    return _import_models().get_model_weights(name).DEFAULT.url


def create(name, pretrained=False, **options):
    """Create a network with random or default pretrained weights; raises OSError offline."""
    if pretrained:
        return _import_models().get_model(name, weights="DEFAULT", progress=False)
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True, **options}
    return _import_models().get_model(name, weights=None, **options)


def create_for(name, state_dict):
    """Create a network whose classifier and auxiliary heads fit a state dict."""
    options = {}
    if name in ("googlenet", "inception_v3"):
        auxiliary = any(key.lower().startswith("aux") for key in state_dict)
        options = {"aux_logits": auxiliary, "init_weights": False}
    module = create(name, **options)
    last = find_classifier(module)
    tensor = None if last is None else state_dict.get(f"{last}.weight")
    if tensor is not None and len(tensor) != module.get_submodule(last).out_features:
        module = create(name, num_classes=len(tensor), **options)
    tensor = state_dict.get(f"{find_first_convolution(module)}.weight")
    if tensor is not None and tensor.ndim == 4:
        replace_first_convolution(module, tensor.shape[1])
    return module


def _list_trunk_names(name):
    """Return the names of the parameters that every checkpoint of a network holds."""
    options = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": False}
    with torch.device("meta"):
        last = find_classifier(create(name, **options))
    return list_parameter_names(partial(create, name, **options), (last,) if last else ())


def find_classifier(module):
    """Return the name of the linear layer that ends a network, or None.

    SqueezeNet and networks whose head was removed or replaced have none; the embedding is
    then their output. Of a head of several layers, it is the last one.
    """
    heads = [name for name in _HEADS if isinstance(getattr(module, name, None), nn.Module)]
    if type(module).__name__ == "SqueezeNet" or not heads:
        return None
    head = heads[0]
    inner = list(module.get_submodule(head).named_modules())
    own = [(name, m) for name, m in inner if not any(m.children())]
    name, last = own[-1]
    return f"{head}.{name}".rstrip(".") if isinstance(last, nn.Linear) else None


def find_final_map(module):
    """Return the place of the last feature map."""
    pools = [name for name, m in module.named_modules() if isinstance(m, nn.AdaptiveAvgPool2d)]
    kind = type(module).__name__
    if kind == "VisionTransformer":
        return Place("encoder", "output")
    if kind in ("SqueezeNet", "DenseNet"):
        return Place("features", "output")
    if pools and kind in ("AlexNet", "VGG", "GoogLeNet", "Inception3", "ResNet"):
        return Place(pools[-1], "input")
    if hasattr(module, "avgpool"):
        return Place("avgpool", "input")
    return Place(list_stages(module)[-1], "output")


def list_stages(module):
    """Return the names of the stages, the shallowest first."""
    children = [name for name, _ in module.named_children()]
    found = []
    for name in _STAGES.get(type(module).__name__, children):
        if name.endswith(".*"):
            parent = name[:-2]
            inner = module.get_submodule(parent).named_children()
            found += [f"{parent}.{child}" for child, _ in inner]
        else:
            found.append(name)
    return found


def _make_preset_spec(name, size, n_channels):
    """Return the spec of the default weights; another `size` keeps the ratio of the crop."""
    preset = _import_models().get_model_weights(name).DEFAULT.transforms()
    crop, resize = preset.crop_size[0], preset.resize_size[0]
    size = size or (crop, crop)
    return ImageSpec(
        size,
        tuple(math.floor(edge * resize / crop) for edge in size),
        fit_to_channels(preset.mean, n_channels, "mean"),
        fit_to_channels(preset.std, n_channels, "std"),
        preset.interpolation.value,
    )


def load(label, request):
    """Load a network by its name, such as "torchvision/alexnet"."""
    name, _, tag = label.removeprefix("torchvision/").partition(".")
    is_detector = name in detectors.list_detectors()
    if not is_detector and name not in list_names():
        names = (*list_names(), *detectors.list_detectors())
        known = [f"torchvision/{other}" for other in names]
        raise ValueError(
            f"model={shorten(label)} is not a network of torchvision that classifies or"
            f" detects.{suggest_near(label, known)}"
        )
    if tag and tag not in list_tags(name):
        known = [f"torchvision/{name}", *(f"torchvision/{name}.{t}" for t in list_tags(name))]
        raise ValueError(
            f"model={shorten(label)}: there are no weights of the tag {tag!r}, only those of"
            f" {', '.join(map(repr, known))}"
        )
    note_all_known()
    if is_detector:
        return _load_detector(name, label, request)
    module, origin = _load_classifier(name, tag, label, request.weights)
    found = _set_channels(module, request.n_channels, label)
    spec = _make_preset_spec(name, request.size, found)
    return wrap_module(module, label, origin, spec)


def _load_classifier(name, tag, label, weights):
    """Return a network that classifies, and the origin of its weights."""
    if weights is None or (weights == "pretrained" and not tag):
        return _load_own(name, label, weights, create)
    state_dict = None
    if weights == "pretrained":
        origin, state_dict = f"package {find_package(name)}", read_packaged_weights(name)
        if state_dict is None:
            raise make_missing_package_error(label, name)
    elif isinstance(weights, (str, os.PathLike)):
        origin, state_dict = os.fspath(weights), read_array_file(name, weights)
    if state_dict is None:
        checkpoint = read_checkpoint(weights).select_names(_list_trunk_names(name), label)
        origin, state_dict = checkpoint.origin, checkpoint.state_dict
    module = create_for(name, state_dict)
    with misfit(label, origin):
        module.load_state_dict(state_dict)
    return module, origin


def _load_detector(name, label, request):
    if request.weights in (None, "pretrained"):
        module, origin = _load_own(name, label, request.weights, detectors.create)
    else:
        module, origin = detectors.load_from_checkpoint(name, request.weights, label)
    n_channels = _set_channels(module.backbone, request.n_channels, label)
    return detectors.wrap_detector(module, label, origin, request.size, n_channels)


def _load_own(name, label, weights, create):
    """Return a network with torchvision's pretrained or random weights, and their origin."""
    if weights is None:
        return create(name), "random weights"
    origin = find_weights_url(name)
    _note_cached(origin)
    try:
        return create(name, pretrained=True), origin
    except OSError as error:
        file = os.path.basename(origin)
        raise make_missing_weights_error(label, error, file, origin) from error


def _note_cached(url):
    """Note the file of weights that torchvision takes from torch's cache."""
    path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(url))
    if os.path.isfile(path):
        note_source(path)
    else:  # it is downloaded, or torch has no such cache
        note_unknown()


def _set_channels(module, n_channels, label):
    """Adapt a network to `n_channels` unless it is None; returns the resulting number."""
    layer = module.get_submodule(find_first_convolution(module))
    if n_channels in (None, layer.in_channels):
        return layer.in_channels
    if layer.in_channels != 3:
        raise ValueError(
            f"n_channels={n_channels}, but the weights of {label} are for {layer.in_channels}"
            " channels; leave it at None"
        )
    if getattr(module, "transform_input", False):
        raise ValueError(
            f"n_channels={n_channels}: {label} scales three channels by itself; take another"
            " network, such as timm's of that name"
        )
    replace_first_convolution(module, n_channels)
    return n_channels


def wrap_given_module(module, label, origin, size):
    """Return the backbone of a module without a name, with the usual input for ImageNet."""
    size = size or ((299, 299) if type(module).__name__ == "Inception3" else (224, 224))
    resize = tuple(math.floor(edge / 0.875) for edge in size)
    n_channels = find_input_channels(module, 3, size)
    mean, std = (fit_to_channels(_IMAGENET[key], n_channels, key) for key in ("mean", "std"))
    spec = ImageSpec(size, resize, mean, std, interpolation="bilinear")
    return wrap_module(module, label, origin, spec)


def _find_embedding(module, last_map):
    last = find_classifier(module)
    if last is not None:
        return Place(last, "input")
    return last_map if type(module).__name__ == "SqueezeNet" else OUTPUT


def wrap_module(module, label, origin, spec):
    """Return the backbone of a module of one of torchvision's classes."""
    last_map = find_final_map(module)
    tokens = getattr(module, "class_token", None) is not None
    layout = Layout(
        label,
        stages=tuple(Stage(name) for name in list_stages(module)),
        pooling="cls" if tokens else "avg",
        prefix_tokens=int(tokens),
        class_token=tokens,
        channels_last=type(module).__name__ == "SwinTransformer",
        embedding=_find_embedding(module, last_map),
        final_map=last_map,
        final_relu=type(module).__name__ == "DenseNet",
    )
    return Backbone(Description(layout, spec, origin), module)
