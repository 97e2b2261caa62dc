"""Late fusion: a body for each column, whose embeddings one head gets side by side."""

import hashlib
import re
from dataclasses import dataclass, field

import torch
from torch import nn

from sklearn_transfer._modalities.contents import add_input_note
from sklearn_transfer._modalities.payloads import InputFormat, PayloadFormat
from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.engines.plan import Plan, to_tensors
from sklearn_transfer._networks.inputs import get_first_tensor
from sklearn_transfer._networks.layout import Layout
from sklearn_transfer._store.digests import digest
from sklearn_transfer.finetuning._network import Network, Trunk

# Key of the input that says which entries of a column are there.
PRESENT = "present"
NUMBER_SIGNATURE = (("input", (1,), "<f4"),)


@dataclass(frozen=True)
class FusedDescription(Description):
    """What is known about the networks of several columns.

    Parameters
    ----------
    columns : dict of str to Description
        That of each column.
    may_miss : frozenset of str
        Columns whose entries may be missing.
    """

    columns: dict = field(default_factory=dict)
    may_miss: frozenset = frozenset()


@dataclass(eq=False)
class FusedBackbone(Backbone):
    """Networks of several columns, which are run by themselves.

    Parameters
    ----------
    columns : dict of str to Backbone
        That of each column.
    """

    columns: dict = field(default_factory=dict)


def join_backbones(columns, may_miss=frozenset()):
    """`FusedBackbone` of the backbones of columns."""
    labels = ", ".join(f"{name}: {backbone.label}" for name, backbone in columns.items())
    digests = [backbone.digest for backbone in columns.values()]
    sums = " ".join(backbone.weights_sha256 for backbone in columns.values())
    description = FusedDescription(
        Layout(labels, family="wrapper"),
        None,
        ", ".join(dict.fromkeys(backbone.origin for backbone in columns.values())),
        stateful=any(backbone.stateful for backbone in columns.values()),
        weights_sha256=hashlib.sha256(sums.encode()).hexdigest(),
        digest=digest("columns", *columns, *digests),
        columns={name: backbone.description for name, backbone in columns.items()},
        may_miss=frozenset(may_miss),
    )
    device = next(iter(columns.values())).device
    return FusedBackbone(description, None, device, columns=columns)


def make_number_backbone(device):
    """Backbone of a column of numbers: nothing is done to them."""
    layout = Layout("numbers", has_classifier=False)
    description = Description(layout, None, "the table", digest=b"numbers")
    return Backbone(description, nn.Identity(), device)


def is_number(backbone):
    """Whether a backbone is that of a column of numbers."""
    return backbone.spec is None


def name_children(columns):
    """Name of the module of each column, by column.

    Names of modules have no dots, and none that modules of torch use themselves.
    """
    found = {}
    for column in columns:
        name = re.sub(r"\W", "_", column)
        while hasattr(nn.Module(), name) or name in found.values():
            name += "_"
        found[column] = name
    return found


class _Bodies(nn.Module):
    """Holds the body of each column, and is never run itself."""

    def __init__(self, bodies):
        super().__init__()
        for name, body in bodies.items():
            self.add_module(name, body)


class ColumnsNetwork(Network):
    """Trunks of several columns and one head on all of their embeddings.

    The modules of a column are in `body`, under the name in `children_names`. An embedding of
    an entry that is missing is NaN, of which the head makes the mean.
    """

    def __init__(self, backbone, n_outputs):
        nn.Module.__init__(self)
        self.head, self.head_name, self.removed = None, None, set()
        self._begin(n_outputs)
        trunks = {name: Trunk(inner) for name, inner in backbone.columns.items()}
        for trunk in trunks.values():
            trunk.remove_classifier()
        self.layout, self.trunk = backbone.layout, ""
        self.children_names = name_children(trunks)
        self.body = _Bodies({self.children_names[c]: t.body for c, t in trunks.items()})
        self.columns = trunks
        self.may_miss = backbone.description.may_miss
        self.untrained = frozenset(
            self.map_name(c, name) for c, trunk in trunks.items() for name in trunk.untrained
        )

    def map_name(self, column, name):
        """Name here of what is called `name` in the trunk of a column."""
        return f"body.{self.children_names[column]}" + name.removeprefix("body")

    def add_head(self, batch, source):
        widths = []
        for column, trunk in self.columns.items():
            shape = get_first_tensor(batch[column]).shape[1:]
            label = f"{trunk.layout.label}, column {column!r}"
            with torch.no_grad(), add_input_note(label, shape, source):
                widths.append(trunk.embed(batch[column]).shape[1])
        self.width = sum(widths)
        self.blocks = {"widths": widths, "may_miss": bool(self.may_miss)}
        super().add_head(batch, source)

    def embed(self, batch):
        return self.join(batch, {c: t.embed for c, t in self.columns.items()})

    def join(self, batch, functions):
        """Embeddings side by side, each by the function of its column.

        Where all entries of a column are missing, it is called for none of them.
        """
        present = batch.get(PRESENT, {})
        found, n_rows = [], len(get_first_tensor(batch))
        for (column, function), width in zip(
            functions.items(), self.blocks["widths"], strict=True
        ):
            mask = present.get(column)
            if column not in batch:
                found.append(torch.full((n_rows, width), torch.nan, device=mask.device))
                continue
            embedding = function(batch[column])
            if mask is not None:
                embedding = torch.where(mask[:, None], embedding, torch.nan)
            found.append(embedding)
        return torch.cat([embedding.float() for embedding in found], dim=1)


def make_network(backbone, n_outputs, owns_head=False):
    """`Network` of a backbone, or of those of several columns."""
    if isinstance(backbone, FusedBackbone):
        return ColumnsNetwork(backbone, n_outputs)
    return Network(backbone, n_outputs, owns_head)


def make_trained_columns(description, network, device):
    """Backbones of the trained trunks of a network, which say how columns are read."""
    columns = {
        name: Backbone(inner, network.columns[name].body, device)
        for name, inner in description.columns.items()
    }
    return FusedBackbone(description, network, device, columns=columns)


@dataclass(frozen=True)
class ColumnsFormat(PayloadFormat):
    """Payloads of several columns, whose arrays are called "CHILD/NAME".

    `columns` are (column, child, format) of each. The input of the network is that of each
    column by its name, and under "present" which entries are there.
    """

    columns: tuple

    @property
    def is_ragged(self):
        return any(format.is_ragged for _, _, format in self.columns)

    def to_input(self, batch):
        found, present = {}, {}
        for column, child, format in self.columns:
            start = f"{child}/"
            own = {n.removeprefix(start): t for n, t in batch.items() if n.startswith(start)}
            mask = own.pop(PRESENT, None)
            if mask is not None:
                present[column] = mask
            if own:
                found[column] = format.to_input(own)
        return {**found, PRESENT: present} if present else found


def make_format(formats):
    """`ColumnsFormat` of the formats of columns; None stands for plain arrays."""
    children = name_children(formats)
    return ColumnsFormat(
        tuple((c, children[c], format or InputFormat()) for c, format in formats.items())
    )


def make_example(backbone, reader, signature, n_rows):
    """Network input of random payloads of a signature."""
    plan = Plan(backbone, [], reader.format, "float32", signature)
    return plan.to_input(to_tensors(plan.example(n_rows), backbone.device))


def make_number_example(device, n_rows):
    """Network input of a column of numbers."""
    return torch.randn(n_rows, 1, generator=torch.Generator().manual_seed(0)).to(device)


def join_signatures(signatures):
    """One signature of those of several columns."""
    children = name_children(signatures)
    return tuple(
        (f"{children[column]}/{name}", shape, dtype)
        for column, signature in signatures.items()
        for name, shape, dtype in signature
    )


def divide_signature(signature, columns):
    """Signature of each column, by name."""
    children = name_children(columns)
    return {
        column: tuple(
            (name.removeprefix(f"{child}/"), shape, dtype)
            for name, shape, dtype in signature
            if name.startswith(f"{child}/")
        )
        for column, child in children.items()
    }
