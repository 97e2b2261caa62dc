"""Frozen prefixes in a fit: the one that a phase uses, each found once."""

from sklearn_transfer.finetuning.freezing.columns import find_column_prefixes, make_no_prefix
from sklearn_transfer.finetuning.freezing.prefix import find_prefix


class Prefixes:
    """Frozen prefixes of a network, by the boundaries where they end.

    Parameters
    ----------
    inputs : BaseFitInputs
        Inputs of the network, which say whether activations can be kept.
    network : Network
        What is trained.
    backbone : Backbone
        The pretrained network, and how it is run.
    """

    def __init__(self, inputs, network, backbone):
        self.inputs, self.network, self.backbone = inputs, network, backbone
        self._found = {}

    def choose(self, boundary):
        """`FrozenPrefix` of a phase; None where each epoch runs the whole network."""
        if boundary is None or not self.inputs.may_reuse:
            return self._choose_none()
        has_columns = self.network.columns is not None
        prefix = self.find(boundary, self.inputs.reused if has_columns else None)
        return self._choose_none() if prefix is None else prefix

    def keep(self, prefix):
        """The prefix of an earlier training, where activations can still be kept."""
        if prefix is None or not self.inputs.may_reuse:
            return self._choose_none()
        return prefix

    def find(self, boundary, reused=None):
        """Prefix up to a boundary; of several columns those in `reused`, None for all."""
        key = (boundary, None if reused is None else frozenset(reused))
        if key not in self._found:
            noise = self.inputs.make_noise(3)
            if self.network.columns is None:
                found = find_prefix(boundary, self.network, self.backbone, noise)
            else:
                reused = self.network.columns if reused is None else reused
                found = find_column_prefixes(
                    boundary, self.network, self.backbone, noise, reused
                )
            self._found[key] = found
        return self._found[key]

    def _choose_none(self):
        return None if self.network.columns is None else make_no_prefix(self.backbone)
