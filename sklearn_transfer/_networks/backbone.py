"""What is known of a network that is ready for use."""

from collections import OrderedDict
from dataclasses import dataclass, field

import torch

from sklearn_transfer._modalities.inputs import InputSpec
from sklearn_transfer._process.locks import Lock, RLock


@dataclass(frozen=True)
class Stage:
    """One depth of a network that `layers` can name by word or index."""

    name: str
    channels: int | None = None
    reduction: int | None = None
    layout: str | None = None


@dataclass(eq=False)
class Backbone:
    """A network ready for use, shared by all estimators that ask for the same one.

    `module` is a private copy in evaluation mode whose parameters never change.
    `embedding`, `final_map` and `logits` are (module name, "input" or "output") where a
    hook finds them, or None in a timm network, whose own methods return them. `stateful`
    networks, which are a user's own code, run one pass at a time. `untrained` are parameters
    that did not ask for gradients when the network came. `engines` are those made
    for it, by what they compute.
    """

    label: str
    origin: str
    module: torch.nn.Module
    stages: tuple
    spec: InputSpec | None = None
    embedding: tuple | None = None
    final_map: tuple | None = None
    logits: tuple | None = None
    has_classifier: bool = True
    auto_pooling: str = "avg"
    prefix_tokens: int = 0
    class_token: bool = False
    channels_last_maps: bool = False
    final_relu: bool = False
    stateful: bool = False
    untrained: frozenset = frozenset()
    weights_sha256: str = ""
    digest: bytes = b""
    device: torch.device | None = None
    lock: RLock = field(default_factory=RLock, repr=False)
    learned: set = field(default_factory=set, repr=False)
    widths: dict = field(default_factory=dict, repr=False)
    engines_lock: Lock = field(default_factory=Lock, repr=False)
    engines: OrderedDict = field(default_factory=OrderedDict, repr=False)

    @property
    def is_timm(self):
        return self.embedding is None

    @property
    def n_parameters(self):
        return sum(p.numel() for p in self.module.parameters())

    @property
    def n_bytes(self):
        """Bytes of the parameters and of their copies in engines."""
        size = sum(p.numel() * p.element_size() for p in self.module.parameters())
        return size * (1 + sum(engine.n_copies for engine in list(self.engines.values())))


def children(module, but=None):
    """Top-level children as stages; of a list, which is never run itself, its members."""
    stages = []
    for name, child in module.named_children():
        if isinstance(child, torch.nn.ModuleList):
            stages += [Stage(f"{name}.{inner.name}") for inner in children(child)]
        elif name != but:
            stages.append(Stage(name))
    return tuple(stages)
