"""The network that is trained: a copy of a backbone up to its embedding, and a linear head."""

import copy
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from sklearn_transfer._modalities.contents import add_input_note
from sklearn_transfer._networks.backbone import Backbone
from sklearn_transfer._networks.families import get_family, replace_by_identity
from sklearn_transfer._networks.inputs import find_mask, get_first_tensor, get_spatial_size
from sklearn_transfer._networks.layout import Place, Stage
from sklearn_transfer._networks.levels import find_levels, pool_levels
from sklearn_transfer._store.digests import digest

NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
BOTTLENECK_UNITS = 256
# Below this share of the mean of a feature, its deviation comes from rounding in float32.
_ROUNDING = 1e-5


class _Standardized(nn.Module):
    """Module that takes features to mean 0, and those that vary most to scale 1.

    Features that vary less than the median one are divided by its scale: they may vary more
    in other domains, where their own scale would make them large. Features are in blocks of
    `widths`, each with a median of its own. Features that are NaN, where an entry of a column
    is missing, become 0 where `may_miss` says that this happens.
    """

    def __init__(self, width, widths=None, may_miss=False):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.widths = [width] if widths is None else list(widths)
        self.may_miss = may_miss

    def standardize(self, features, weights):
        """Take mean and scale from features (n_samples, width), with row weights of sum 1."""
        for mean, scale, block in zip(
            self.mean.split(self.widths),
            self.scale.split(self.widths),
            features.split(self.widths, dim=1),
            strict=True,
        ):
            self._standardize_block(mean, scale, block, weights)

    def _standardize_block(self, mean, scale, features, weights):
        if self.may_miss:
            present = ~features.isnan().any(dim=1)
            features, weights = features[present], weights[present]
            weights = weights / weights.sum()
        mean.copy_(weights @ features)
        deviation = (weights @ (features - mean) ** 2).sqrt()
        varying = deviation[deviation > _ROUNDING * mean.abs()]
        floor = varying.median() if len(varying) else 1.0
        scale.copy_(deviation.clamp(min=floor))

    def fill_missing(self, features):
        """Features with the mean in the place of those that are missing."""
        return torch.where(features.isnan(), self.mean, features)

    def standardize_features(self, features):
        """Features (n_samples, width) in units of their scale."""
        found = (features - self.mean) / self.scale
        return torch.where(features.isnan(), 0.0, found) if self.may_miss else found


class Head(_Standardized):
    """Linear layer on standardized features, all zeros at first.

    Its first outputs are therefore equal, whatever the network, and one learning rate fits
    embeddings of any scale.
    """

    def __init__(self, width, n_outputs, **blocks):
        super().__init__(width, **blocks)
        self.linear = nn.Linear(width, n_outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features):
        return self.linear(self.standardize_features(features))


class Bottleneck(_Standardized):
    """Trained features of a frozen embedding, which objectives of adaptation act on.

    A linear head alone would leave the features as they are. Each row is normalized by
    itself, so that a shift in the scale of embeddings, as of dark images, does no harm.
    """

    def __init__(self, width, n_units=BOTTLENECK_UNITS, **blocks):
        super().__init__(width, **blocks)
        self.linear = nn.Linear(width, n_units)
        self.norm = nn.LayerNorm(n_units)
        nn.init.orthogonal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features):
        return functional.relu(self.norm(self.linear(self.standardize_features(features))))


class Trunk(nn.Module):
    """Copy of a backbone up to its embedding: `body` has no classifier, and its own names."""

    def __init__(self, backbone):
        super().__init__()
        self.body = copy.deepcopy(backbone.module)
        self.untrained = frozenset(f"body.{name}" for name in backbone.untrained)
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(name not in backbone.untrained)
        self.layout, self.trunk = backbone.layout, ""
        self.head, self.head_name, self.removed = None, None, set()
        self.columns = None

    def remove_classifier(self):
        """Replace the classifier by the identity."""
        family = get_family(self.layout)
        self.removed, self.trunk = family.remove_classifier(self.body, self.layout)

    def embed(self, batch):
        """Embedding (n_samples, width) of a batch of the backbone's input."""
        output = get_family(self.layout).embed(self.body, batch, self.trunk)
        levels = find_levels(output, self.layout.label)
        if len(levels) == 1 and levels[0].ndim <= 2:
            return levels[0].reshape(levels[0].shape[0], -1)  # `len` is fixed in exports
        mask = find_mask(batch, self.layout.end)
        options = {"spatial": get_spatial_size(batch), "mask": mask}
        return pool_levels(levels, "auto", self.layout, Stage(""), **options)

    def compute_logits(self, batch):
        """What ends a pass: the embedding, where there is no head."""
        return self.embed(batch)


class Network(Trunk):
    """Backbone and head; frozen parts stay in evaluation mode whatever `train` says.

    `body` is the backbone without classifier, under its own names; `frozen` are the names
    of modules that do not change, as `Frozen` gives them. With an `entry`, a callable,
    `forward` takes activations at the end of the frozen prefix, and goes on from there.
    `head_name` is that of the body's own last layer, where it is the head. Between the two
    there may be a `bottleneck`. `columns` are the trunks of several columns, None where there
    is one body alone.
    """

    def __init__(self, backbone, n_outputs, owns_head=False):
        super().__init__(backbone)
        self._begin(n_outputs)
        if owns_head:
            self.head, self.head_name = _take_head(self.body, n_outputs)
            self.removed.add(self.head_name)
        else:
            self.remove_classifier()

    def _begin(self, n_outputs):
        self.frozen, self.entry, self.columns = frozenset(), None, None
        self.n_outputs, self.width = n_outputs, None
        self.bottleneck, self.blocks = None, {}

    def add_head(self, batch, source):
        """Head for the width of the embedding, by one pass of a batch in evaluation mode.

        `source` says where the shape of the batch is from, as in `add_input_note`.
        """
        first = get_first_tensor(batch)
        with torch.no_grad(), add_input_note(self.layout.label, first.shape[1:], source):
            self.width = self.embed(batch).shape[1]
        if self.head is None:
            head = Head(self.width, self.n_outputs, **self.blocks)
            self.head = head.to(first.device, torch.float32)

    def add_bottleneck(self, n_units=BOTTLENECK_UNITS):
        """Put a bottleneck behind the embedding, and a new head on it."""
        device = next(self.head.parameters()).device
        self.bottleneck = Bottleneck(self.width, n_units, **self.blocks).to(device)
        self.head = Head(n_units, self.n_outputs).to(device)

    @property
    def feature_width(self):
        """Number of features that the head gets."""
        return self.width if self.bottleneck is None else self.bottleneck.linear.out_features

    def standardize(self, features, weights):
        """Take scales from embeddings (n_samples, width), with row weights of sum 1."""
        if self.bottleneck is not None:
            self.bottleneck.standardize(features, weights)
            with torch.no_grad():
                features = self.bottleneck(features)
        if isinstance(self.head, Head):
            self.head.standardize(features, weights)

    def run(self, batch):
        """Features and outputs (n_samples, n_outputs) from the backbone's input."""
        return self.finish(self.embed(batch))

    def finish(self, features):
        """What the head gets, and outputs (n_samples, n_outputs), from an embedding."""
        if self.bottleneck is not None:
            features = self.bottleneck(features)
        return features, self.head(features)

    def compute_logits(self, batch):
        """Outputs (n_samples, n_outputs) from the backbone's input."""
        return self.run(batch)[1]

    def forward(self, batch, with_features=False):
        features, outputs = self.run(batch) if self.entry is None else self.entry(batch)
        if not with_features:
            return outputs
        if getattr(self.head, "may_miss", False):
            features = self.head.fill_missing(features)
        return features, outputs

    def train(self, mode=True):
        super().train(mode)
        if mode:
            for name in self.frozen:
                self.get_submodule(name).eval()
        return self

    def find_norms(self):
        """Normalization layers that keep running statistics, by name."""
        return {name: m for name, m in self.named_modules() if isinstance(m, NORMS)}


def count_bottleneck_units(state):
    """Units of the bottleneck of a network whose tensors are given by name; 0 without one."""
    weight = state.get("bottleneck.linear.weight")
    return 0 if weight is None else len(weight)


def _take_head(body, n_outputs):
    """Take the last linear layer, and its name, out of a network made for the outputs.

    If the network does not end in such a layer, this returns the identity and None, and the
    embedding is the output of the network.
    """
    linear = [(name, m) for name, m in body.named_modules() if isinstance(m, nn.Linear)]
    last = [name for name, m in body.named_modules() if name and not any(m.children())][-1:]
    if linear and last == [linear[-1][0]] and linear[-1][1].out_features == n_outputs:
        name, head = linear[-1]
        replace_by_identity(body, name)
        return head, name
    return nn.Identity(), None


def make_embedding_backbone(backbone, network):
    """The backbone whose embedding is what the network's head gets."""
    if network.head_name is None:
        return backbone
    layout = replace(
        backbone.layout,
        family="module",
        embedding=Place(network.head_name, "input"),
        stages=tuple(s for s in backbone.layout.stages if s.name != network.head_name),
    )
    description = replace(
        backbone.description,
        layout=layout,
        digest=digest(backbone.digest, network.head_name),
    )
    return Backbone(description, backbone.module, backbone.device)
