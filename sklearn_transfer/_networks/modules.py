"""Networks given as a module, or as a callable that makes one."""

import copy
import inspect
from numbers import Real

import torch

from sklearn_transfer._modalities.image.spec import UnknownSpec
from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.checkpoints import refuse_quantized
from sklearn_transfer._networks.detectors import is_detector, wrap_detector
from sklearn_transfer._networks.layout import Layout, list_children
from sklearn_transfer._networks.sound_kinds import is_sound_module
from sklearn_transfer._networks.weights import load_strictly

_LIBRARIES = ("torch.nn.", "torchvision.", "timm.", "transformers.")
# Wrapped around networks of texts.
_LIBRARIES += ("sklearn_transfer._networks.text", "sklearn_transfer._networks.bert")
_LIBRARIES += ("sklearn_transfer._networks.dual_encoders", "sklearn_transfer._networks.audio")
_LIBRARIES += ("sklearn_transfer._networks.open_clip", "sklearn_transfer._networks.towers")
_LIBRARIES += ("sklearn_transfer._networks.sounds", "sklearn_transfer._networks.whisper")


def takes_outputs(model):
    """Whether a model is a callable `(n_features_in, n_outputs)`."""
    if isinstance(model, (str, torch.nn.Module)):
        return False
    try:
        parameters = inspect.signature(model).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return False
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) > 1


def build_from_object(model, request):
    """Build the backbone of a copy of a module, or of the module that a callable returns."""
    if isinstance(model, torch.nn.Module):
        module, label = copy.deepcopy(model), type(model).__name__
    else:
        label = getattr(model, "__qualname__", type(model).__qualname__)
        module = model(*(given for given in request.sizes if given is not None))
        if not isinstance(module, torch.nn.Module):
            raise ValueError(
                f"model={label} returned {type(module).__name__}, expected a callable that"
                " takes the number of input features and returns a torch.nn.Module"
            )
        refuse_quantized(module, label)
    origin = "own weights"
    if request.weights is None and isinstance(model, torch.nn.Module):
        origin = "random weights"
        _draw_anew(module, label)
    elif request.weights is not None and request.weights != "pretrained":
        origin = load_strictly(module, request.weights, label)
    backbone = _wrap_module(module, label, origin, request.size)
    _require_channels(backbone, request.n_channels)
    return backbone


def _wrap_module(module, label, origin, size):
    # A module whose library is imported; that of its family alone is needed here.
    if getattr(module, "tokenizer", None) is not None:
        from sklearn_transfer._networks import transformers as text_networks

        return text_networks.wrap_given_text_network(module, label, origin)
    if isinstance(getattr(module, "sampling_rate", None), Real):
        from sklearn_transfer._networks.audio import wrap_sound_module

        return wrap_sound_module(module, label, origin)
    if is_sound_module(module):
        from sklearn_transfer._networks.sounds import wrap_given_sound_network

        return wrap_given_sound_network(module, label, origin)
    config = getattr(module, "pretrained_cfg", None)
    if config and hasattr(module, "forward_features") and hasattr(module, "forward_head"):
        from sklearn_transfer._networks import timm as timm_networks

        return timm_networks.wrap_module(module, label, origin, size)
    if is_detector(module):
        return wrap_detector(module, label, origin, size)
    if type(module).__module__.startswith("torchvision.models."):
        from sklearn_transfer._networks import torchvision as torchvision_networks

        return torchvision_networks.wrap_given_module(module, label, origin, size)
    layout = Layout(label, stages=list_children(module))
    spec = UnknownSpec(label)
    if config:
        from sklearn_transfer._networks.timm import find_spec

        spec = find_spec(module, size, label)
    return Backbone(Description(layout, spec, origin), module)


def _require_channels(backbone, n_channels):
    """Raise ValueError if the network does not take `n_channels` channels."""
    takes = backbone.spec.channels
    if None not in (takes, n_channels) and n_channels != takes:
        raise ValueError(
            f"n_channels={n_channels}, but {backbone.label} takes {takes}; n_channels adapts"
            " the first layer of a network only if model is a name. Leave it at None, or"
            " give a module whose first layer takes that many channels."
        )


def _draw_anew(module, label):
    """Draw random weights for a module by the initialization of its own layers."""
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


def is_library_code(module):
    """Whether a module is made of layers of torch, torchvision and timm alone."""
    return all(
        type(layer).__module__.startswith(_LIBRARIES)
        and "forward" not in vars(layer)
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        for layer in module.modules()
    )
