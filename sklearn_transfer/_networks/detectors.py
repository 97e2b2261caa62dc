"""Detectors of torchvision, of which the backbone is the network: maps, and no boxes."""

import functools
import sys
from dataclasses import replace

from torch import nn

from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.channels import find_input_channels, fit_to_channels
from sklearn_transfer._networks.checkpoints import read_checkpoint
from sklearn_transfer._networks.layout import Layout, Stage, list_children
from sklearn_transfer._networks.weights import list_parameter_names, misfit

_DETECTION = "torchvision.models.detection"
# What torchvision adds to the variances of frozen normalization, by the name of the detector.
# All other detectors have layers of batch normalization.
_EPSILONS = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": 1e-5,
    "fasterrcnn_mobilenet_v3_large_fpn": 1e-5,
    "fasterrcnn_resnet50_fpn": 0.0,
    "fcos_resnet50_fpn": 1e-5,
    "keypointrcnn_resnet50_fpn": 0.0,
    "maskrcnn_resnet50_fpn": 0.0,
    "retinanet_resnet50_fpn": 0.0,
}
_USUAL = ImageSpec(
    (800, 800),
    (800, 800),
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
    "bilinear",
    crop_mode="squash",
)


@functools.cache
def list_detectors():
    """Return the names of torchvision's detectors."""
    from torchvision import models
    from torchvision.models import detection

    return tuple(models.list_models(module=detection))


def is_detector(module):
    """Whether a module is one of torchvision's detectors, or the backbone of one."""
    detection = sys.modules.get(_DETECTION)
    if detection is None:
        return False
    kinds = (
        detection.generalized_rcnn.GeneralizedRCNN,
        detection.RetinaNet,
        detection.FCOS,
        detection.ssd.SSD,
    )
    return isinstance(module, kinds) or type(module).__module__.startswith(_DETECTION)


def create(name, pretrained=False):
    """Create a detector with random or default pretrained weights; raises OSError offline.

    All parameters can be trained, whatever torchvision would freeze.
    """
    from torchvision import models

    options = {"weights": "DEFAULT", "progress": False} if pretrained else {"weights": None}
    return models.get_model(name, weights_backbone=None, **options).requires_grad_(True)


def load_from_checkpoint(name, weights, label):
    """Return a detector with weights of its backbone, and their origin.

    The state dict of a whole detector is taken as well as that of its backbone.
    """
    detector = create(name)
    if name in _EPSILONS:
        _freeze_norms(detector.backbone, _EPSILONS[name])
    names = list_parameter_names(lambda: detector.backbone)
    checkpoint = read_checkpoint(weights).select_names(names, label)
    with misfit(label, checkpoint.origin):
        detector.backbone.load_state_dict(checkpoint.state_dict)
    return detector, checkpoint.origin


def _freeze_norms(module, epsilon):
    """Put layers of frozen statistics in the place of batch normalization."""
    from torchvision.ops import FrozenBatchNorm2d

    for name, layer in list(module.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            parent, _, child = name.rpartition(".")
            frozen = FrozenBatchNorm2d(layer.num_features, eps=epsilon)
            setattr(module.get_submodule(parent), child, frozen)


def wrap_detector(module, label, origin, size, n_channels=None):
    """Return the backbone of a detector, or of a module that is the backbone of one."""
    spec, backbone = _USUAL, module
    if hasattr(module, "transform") and hasattr(module, "backbone"):
        spec, backbone = _read_spec(module.transform), module.backbone
    size = spec.size if size is None else size
    if n_channels is None:
        n_channels = find_input_channels(backbone, 3, size)
    mean, std = (
        fit_to_channels(getattr(spec, name), n_channels, name) for name in ("mean", "std")
    )
    spec = replace(spec, size=size, resize=size, mean=mean, std=std)
    layout = Layout(label, stages=list_stages(backbone), has_classifier=False)
    return Backbone(Description(layout, spec, origin), backbone)


def _read_spec(transform):
    """Return the spec of what the transform of a detector makes of an image.

    It keeps the aspect ratio of images of any size; here all have the same one.
    """
    edge = transform.min_size[-1]  # the one that is used for predictions
    height, width = transform.fixed_size[::-1] if transform.fixed_size else (edge, edge)
    return replace(
        _USUAL,
        size=(height, width),
        resize=(height, width),
        mean=tuple(transform.image_mean),
        std=tuple(transform.image_std),
    )


def list_stages(backbone):
    """Return the stages of the part that goes from pixels to ever smaller maps.

    The pyramid that is built upon their maps is no stage. Its levels have names.
    """
    body = getattr(backbone, "body", None)
    if isinstance(body, nn.Module):
        children = [name for name, _ in body.named_children()]
        if "layer4" in children:  # as for classification
            children = [c for c in children if c not in ("conv1", "bn1", "relu")]
        return tuple(Stage(f"body.{child}") for child in children)
    if isinstance(getattr(backbone, "extra", None), nn.ModuleList):
        return _list_extractor_stages(backbone)
    return list_children(backbone)


def _list_extractor_stages(backbone):
    """Return the stages of the extractors of SSD: their features, and what comes upon them."""
    found = []
    for name, child in backbone.features.named_children():
        if type(child) is nn.Sequential:
            found += [f"features.{name}.{inner}" for inner, _ in child.named_children()]
        else:
            found.append(f"features.{name}")
    found += [f"extra.{name}" for name, _ in backbone.extra.named_children()]
    return tuple(Stage(name) for name in found)
