"""Families of networks: how each runs a forward pass and how its classifier is removed.

A family is what the networks of one library have in common. Everything that is specific to a
library is here: taps, engines and the fine-tuner's network ask the family that a layout names.
"""

from torch import nn

from sklearn_transfer._networks.inputs import call_module
from sklearn_transfer._networks.layout import Layout, Place


class ModuleFamily:
    """Networks whose modules have everything that a tap can ask for, so that hooks see it."""

    def get_place(self, layout: Layout, kind) -> Place | None:
        """Return the place of an "embedding" and the like; None if `run` offers it."""
        return getattr(layout, kind)

    def run(self, module, inputs, capture):
        """Run one forward pass; `capture` is given what `get_place` has no place for."""
        call_module(module, inputs)

    def get_map_channels(self, module):
        """Return the number of channels of the last map if it is stated, else None."""
        return None

    def get_map_order(self):
        """Return the order of the axes of the last map if it is known, else None."""
        return "NCHW"

    def remove_classifier(self, module, layout):
        """Replace the classifier by the identity.

        Returns the names of the removed modules, and the name of the module whose output is
        the embedding; "" is the whole network.
        """
        place = layout.embedding
        if place.side == "input":
            replace_by_identity(module, place.module)
            return {place.module}, ""
        return set(), place.module

    def embed(self, module, inputs, trunk):
        """Return the embedding, or the last map, of a network without classifier."""
        return call_module(module.get_submodule(trunk), inputs)


class TimmFamily(ModuleFamily):
    """Networks with timm's methods `forward_features` and `forward_head`."""

    def get_place(self, layout, kind):
        return None

    def run(self, module, inputs, capture):
        final_map = module.forward_features(inputs)
        capture.offer("final_map", final_map)
        if capture.needs("embedding"):
            with capture.skip_hooks():
                embedding = module.forward_head(final_map, pre_logits=True)
            capture.offer("embedding", embedding)
        capture.offer("logits", module.forward_head(final_map))

    def get_map_channels(self, module):
        return getattr(module, "num_features", None)

    def get_map_order(self):
        return None

    def remove_classifier(self, module, layout):
        names = (module.pretrained_cfg or {}).get("classifier") or ()
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            replace_by_identity(module, name)
        return set(names), ""

    def embed(self, module, inputs, trunk):
        return module.forward_head(module.forward_features(inputs), pre_logits=True)


class WrapperFamily(ModuleFamily):
    """Modules of this package that wrap a network and take its inputs as one argument."""

    def run(self, module, inputs, capture):
        module(inputs)


_FAMILIES = {"module": ModuleFamily(), "timm": TimmFamily(), "wrapper": WrapperFamily()}


def get_family(layout):
    """Return the family that a layout names."""
    return _FAMILIES[layout.family]


def replace_by_identity(module, name):
    """Replace a submodule by the identity if there is one of that name."""
    parent, _, child = name.rpartition(".")
    try:
        owner = module.get_submodule(parent)
    except AttributeError:
        return
    if isinstance(getattr(owner, child, None), nn.Module):
        setattr(owner, child, nn.Identity())
