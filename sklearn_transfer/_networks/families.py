"""Families of networks: how a forward pass is made, and where a classifier is removed.

A family is what networks of one library have in common. All that is specific to it stands
here; taps, engines and the fine-tuner's network ask the family of a layout.
"""

from torch import nn

from sklearn_transfer._networks.inputs import call_module
from sklearn_transfer._networks.layout import Layout, Place


class ModuleFamily:
    """Networks that are called: hooks on modules see what a tap asks for."""

    def get_place(self, layout: Layout, kind) -> Place | None:
        """Place of "embedding", "final_map" or "logits"; None where `run` offers it."""
        return getattr(layout, kind)

    def run(self, module, inputs, capture):
        """Make one forward pass; `capture` takes what the hooks see."""
        call_module(module, inputs)

    def get_map_channels(self, module):
        """Channels of the last map, where the network tells them."""
        return None

    def get_map_order(self):
        """Order of the axes of the last map, where it is known."""
        return "NCHW"

    def remove_classifier(self, module, layout):
        """Put the identity in place of the classifier.

        Returns the names of what was removed, and the name of the module whose output is the
        embedding: "" is the whole network.
        """
        place = layout.embedding
        if place.side == "input":
            replace_by_identity(module, place.module)
            return {place.module}, ""
        return set(), place.module

    def embed(self, module, inputs, trunk):
        """Output of a network without classifier: the embedding, or the map before pooling."""
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
    """Networks of ours around another one, which take its inputs as one argument."""

    def run(self, module, inputs, capture):
        module(inputs)


_FAMILIES = {"module": ModuleFamily(), "timm": TimmFamily(), "wrapper": WrapperFamily()}


def get_family(layout):
    """The family that a layout names."""
    return _FAMILIES[layout.family]


def replace_by_identity(module, name):
    """Put the identity in place of a submodule, if there is one."""
    parent, _, child = name.rpartition(".")
    try:
        owner = module.get_submodule(parent)
    except AttributeError:
        return
    if isinstance(getattr(owner, child, None), nn.Module):
        setattr(owner, child, nn.Identity())
