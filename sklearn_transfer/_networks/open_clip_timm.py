"""Networks of timm as the towers of images of dual encoders in the layout of open_clip."""

import timm
from timm.layers import AttentionPool2d, Mlp, RotAttentionPool2d
from torch import nn

from sklearn_transfer._networks.layout import Layout
from sklearn_transfer._networks.timm_structure import describe_structure
from sklearn_transfer._validation import format_list, shorten, suggest_near

_POOLS = ("abs_attn", "rot_attn")  # those that are no part of the network of timm
_PROJECTIONS = ("linear", "mlp", "none", "", None)


class TimmTower(nn.Module):
    """A network of timm, the trunk, with the head that open_clip puts on it.

    It has the methods of timm's own networks, of which the last one gives the embedding.

    Parameters
    ----------
    stated : dict
        The part of a configuration about the tower, with values for all that it may state.
    dim : int
        Width of the embedding.
    """

    pretrained_cfg = None  # no part of the head is a classifier

    def __init__(self, stated, dim):
        super().__init__()
        name, pool = stated["timm_model_name"], stated["timm_pool"]
        projection = stated["timm_proj"]
        is_extra = projection in ("linear", "mlp")
        if is_extra or pool in _POOLS:
            self.trunk = timm.create_model(name)
            own = "" if pool in _POOLS else pool
            self.trunk.reset_classifier(0, **({"global_pool": own} if pool else {}))
            width = self.trunk.num_features
        else:  # the classifier of the network is the projection, if there is one
            n_outputs = 0 if projection == "none" else dim
            self.trunk = timm.create_model(name, num_classes=n_outputs, global_pool=pool)
        layers = {}
        if pool == "abs_attn":
            edges = self.trunk.default_cfg["pool_size"]
            layers["pool"] = AttentionPool2d(width, feat_size=edges, out_features=dim)
        elif pool == "rot_attn":
            layers["pool"] = RotAttentionPool2d(width, out_features=dim)
        if pool in _POOLS:
            width = dim
        if projection == "linear":
            layers["proj"] = nn.Linear(width, dim, bias=stated["timm_proj_bias"])
        elif projection == "mlp":
            bias = (True, stated["timm_proj_bias"])
            layers["mlp"] = Mlp(width, 2 * dim, dim, bias=bias)
        self.head = nn.Sequential()
        for part, layer in layers.items():
            self.head.add_module(part, layer)

    @property
    def num_features(self):
        """Number of channels of the last map."""
        return self.trunk.num_features

    def forward_features(self, pixels):
        """Return the last map of the trunk."""
        return self.trunk.forward_features(pixels)

    def forward_head(self, final_map, pre_logits=False):
        """Return the embedding of the last map."""
        return self.head(self.trunk.forward_head(final_map))

    def forward(self, pixels):
        return self.forward_head(self.forward_features(pixels))


def build_timm_tower(stated, dim, label):
    """Return a `TimmTower` and its layout; raises ValueError if timm has no such network."""
    name, projection = stated["timm_model_name"], stated["timm_proj"]
    if not timm.is_model(name):
        raise ValueError(
            f"model={shorten(label)}: its tower of images is {shorten(name)}, which timm"
            f" {timm.__version__} does not have.{suggest_near(name, timm.list_models())} A"
            " newer timm may have it"
        )
    if projection not in _PROJECTIONS:
        raise ValueError(
            f"model={shorten(label)}: its tower of images has timm_proj={projection!r},"
            f" expected one of {format_list(_PROJECTIONS)}"
        )
    tower = TimmTower(stated, dim)
    structure = describe_structure(tower.trunk, "trunk.")
    layout = Layout(label, family="timm", has_classifier=False, is_tower=True, **structure)
    return tower, layout
