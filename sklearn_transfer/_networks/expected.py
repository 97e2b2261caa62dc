"""Specs of packaged networks, as they are known before the library that builds them is."""

import math
import sys

from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._networks.questions import validate_size
from sklearn_transfer._networks.weights import read_package_entry


def find_expected_spec(model, input_size, n_channels):
    """Return the spec that a network will have once it is loaded, or None.

    It is known for networks of images whose weights are in a package, and only told while
    timm is not imported: afterwards asking the network itself takes no longer. Nobody relies
    on it, since a user may give the name to another network.
    """
    if not isinstance(model, str) or n_channels is not None or "timm" in sys.modules:
        return None
    package = read_package_entry(model)
    if package is None or "input" not in package:
        return None
    return make_image_spec(package["input"], validate_size(input_size))


def make_image_spec(stated, size=None, mean=None, std=None):
    """Return the spec for a configuration of timm; other arguments replace what it states."""
    size = tuple(stated["input_size"][1:]) if size is None else size
    return ImageSpec(
        size,
        tuple(math.floor(edge / stated["crop_pct"]) for edge in size),
        tuple(stated["mean"]) if mean is None else mean,
        tuple(stated["std"]) if std is None else std,
        stated["interpolation"],
        stated["crop_mode"],
    )
