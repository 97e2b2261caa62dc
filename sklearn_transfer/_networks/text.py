"""Networks of texts, from token numbers to an embedding."""

from torch import nn

from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.inputs import find_mask, get_states
from sklearn_transfer._networks.layout import Layout, Place, Stage
from sklearn_transfer._networks.pooling import pool_tokens
from sklearn_transfer._store.digests import digest_structure


class TextNetwork(nn.Module):
    """A network of texts with the pooling of its states, and with layers that follow.

    `forward` returns embeddings (n, width), which are not normalized.

    Parameters
    ----------
    network : torch.nn.Module
        From `input_ids` and `attention_mask` to states (n, positions, width), or to an
        embedding (n, width).
    pooling : {"avg", "max", "cls", "last"}
        How the states of a text become one vector.
    projection : torch.nn.Module, default=None
        Layers on that vector; None for none.
    options : dict, default=None
        Further arguments of the network.
    end : int, default=None
        The token behind whose first occurrence nothing counts, -1 for the largest number.
    """

    def __init__(self, network, pooling, projection=None, options=None, end=None):
        super().__init__()
        self.network, self.pooling, self.end = network, pooling, end
        self.projection = nn.Identity() if projection is None else projection
        self.options = {} if options is None else options

    def forward(self, input_ids, attention_mask):
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        states = get_states(self.network(**inputs, **self.options))
        if isinstance(states, (tuple, list)):
            states = states[0]
        states = states.float()
        if states.ndim == 3:
            states = pool_tokens(states, self.pooling, find_mask(inputs, self.end))
        return self.projection(states)


class Projection(nn.Module):
    """A linear layer on an embedding, with an activation and perhaps a residual."""

    def __init__(self, n_in, n_out, bias, activation, has_residual=False):
        super().__init__()
        self.linear, self.activation = nn.Linear(n_in, n_out, bias=bias), activation
        self.has_residual = has_residual
        if has_residual and n_in != n_out:
            self.residual = nn.Linear(n_in, n_out, bias=False)

    def forward(self, embedding):
        found = self.activation(self.linear(embedding))
        if not self.has_residual:
            return found
        known = hasattr(self, "residual")
        return found + (self.residual(embedding) if known else embedding)


def make_text_backbone(module, spec, origin, *, is_normalized, class_token, is_tower=False):
    """Return the backbone of a `TextNetwork`."""
    stages = list_layers(module.network)
    layout = Layout(
        spec.label,
        stages=tuple(Stage(f"network.{name}") for name in stages),
        pooling=module.pooling,
        class_token=class_token,
        has_classifier=False,
        final_map=Place("network"),
        is_text=True,
        end=module.end,
        is_normalized=is_normalized,
        is_tower=is_tower,
    )
    # A folder or a hub may hold another network under the same name some day, so the
    # structure counts by what it is.
    structure = digest_structure(module)
    return Backbone(Description(layout, spec, origin, digest=structure), module)


def list_layers(network):
    """Return the names of the members of the longest list of equal modules.

    These are the layers of a transformer, whatever its library calls them.
    """
    lists = [
        [f"{name}.{inner}" for inner, _ in module.named_children()]
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and len({type(m) for m in module}) == 1
    ]
    if lists:
        return max(lists, key=len)
    return [name for name, _ in network.named_children()]


def is_causal(network):
    """Whether tokens see only those before them, as in decoders of transformers."""
    return any(getattr(module, "is_causal", False) is True for module in network.modules())
