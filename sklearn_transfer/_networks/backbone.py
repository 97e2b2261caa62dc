"""Backbone: a network that is ready for use."""

import functools
from collections import OrderedDict
from dataclasses import dataclass, field

from sklearn_transfer._networks.layout import Layout
from sklearn_transfer._networks.sources import Sources
from sklearn_transfer._process.locks import Lock, RLock


@dataclass(frozen=True)
class Description:
    """What is known about a network beside its module: plain data that can be pickled.

    Parameters
    ----------
    layout : Layout
        Its structure.
    spec : Spec
        What it takes; makes the reader of samples.
    origin : str
        Where its weights come from, for messages.
    stateful : bool, default=False
        Whether it is a user's own code, which may keep state and runs one pass at a time.
    untrained : frozenset of str, default=frozenset()
        Names of parameters that had `requires_grad=False` when the network was given.
    weights_sha256 : str, default=""
        SHA-256 of its weights.
    digest : bytes, default=b""
        Digest of its structure and weights, which the keys of cached vectors contain. A
        loader may give one of the structure, to which the registry adds the weights; without
        one a name stands for the structure.
    """

    layout: Layout
    spec: object
    origin: str
    stateful: bool = False
    untrained: frozenset = frozenset()
    weights_sha256: str = ""
    digest: bytes = b""


class Described:
    """What a network that is in memory and a recorded one have in common."""

    @property
    def label(self):
        """What messages call the network."""
        return self.description.layout.label

    @property
    def layout(self):
        """Structure of the network."""
        return self.description.layout

    @property
    def spec(self):
        """What it takes; makes the reader of samples."""
        return self.description.spec

    @property
    def origin(self):
        """Where its weights come from."""
        return self.description.origin

    @property
    def stateful(self):
        """Whether it is a user's own code, which runs one pass at a time."""
        return self.description.stateful

    @property
    def untrained(self):
        """Names of parameters that had `requires_grad=False` from the start."""
        return self.description.untrained

    @property
    def weights_sha256(self):
        """SHA-256 of its weights."""
        return self.description.weights_sha256

    @property
    def digest(self):
        """Digest of its structure and weights."""
        return self.description.digest


@dataclass(eq=False)
class Backbone(Described):
    """A network ready for use, shared by all estimators that ask for the same one.

    Parameters
    ----------
    description : Description
        What is known about it. Its entries are properties of the backbone too.
    module : torch.nn.Module
        A private copy in evaluation mode whose parameters never change.
    device : torch.device, default=None
        The device that holds its parameters.

    Attributes
    ----------
    lock : RLock
        Held during a pass of a stateful network.
    learned : set
        Sets of taps of which a pass has shown that each is reached exactly once. A later
        pass for the same taps ends at the deepest one.
    widths : dict
        Number of features by (tap, signature of the payload).
    time_axes : dict
        Of networks of sounds of any length: by the name of a module, which axis of its output
        is time (`time_axes`).
    engines : OrderedDict
        Engines made for the network, by what they compute. The least recently used comes
        first.
    engines_lock : Lock
        Held while an engine is made.
    question : str or None
        Key of the question that it answers (`questions`), if it can be recorded.
    sources : Sources or None
        From which files it was built.
    """

    description: Description
    module: object
    device: object = None
    lock: RLock = field(default_factory=RLock, repr=False)
    learned: set = field(default_factory=set, repr=False)
    widths: dict = field(default_factory=dict, repr=False)
    time_axes: dict = field(default_factory=dict, repr=False)
    engines_lock: Lock = field(default_factory=Lock, repr=False)
    engines: OrderedDict = field(default_factory=OrderedDict, repr=False)
    question: str | None = None
    sources: Sources | None = field(default=None, repr=False)

    def load(self):
        """Return this network; a recorded one returns the one that it stands for."""
        return self

    @property
    def is_recordable(self):
        """Whether everything that decides the network is known, so a question names it."""
        return self.sources is not None and bool(self.sources.is_known)

    @functools.cached_property
    def files(self):
        """From which files it was built, as `sources` records them; None if not known."""
        return None if self.sources is None else self.sources.record()

    @property
    def module_names(self):
        """Names of the modules, without that of the whole."""
        return [name for name, _ in self.module.named_modules() if name]

    @property
    def n_parameters(self):
        """Number of parameters, counted by element."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def n_bytes(self):
        """Bytes of the parameters and of their copies in engines."""
        size = sum(p.numel() * p.element_size() for p in self.module.parameters())
        return size * (1 + sum(engine.n_copies for engine in list(self.engines.values())))
