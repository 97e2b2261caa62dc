"""Freezing and frozen prefixes of the networks of several columns, each by itself."""

from collections.abc import Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from sklearn_transfer._modalities.payloads import InputFormat
from sklearn_transfer._validation import format_list
from sklearn_transfer.extraction._loop import count_threads
from sklearn_transfer.finetuning import _inputs
from sklearn_transfer.finetuning._fusion import PRESENT, is_number, make_format, name_children
from sklearn_transfer.finetuning._ragged import Ragged
from sklearn_transfer.finetuning.freezing.policies import (
    EMBEDDING,
    Frozen,
    freeze_body,
    freeze_up_to,
    resolve_freeze,
)
from sklearn_transfer.finetuning.freezing.prefix import find_prefix

# Rows per batch while predicting.
_PREDICTED = 64


def resolve_columns(freeze, network, backbone, batch):
    """`Frozen` for a value of the parameter `freeze`, which each column resolves for itself.

    A mapping has a value for each column, and columns that it leaves out train. Patterns are
    for names with the column in front, such as "photo.blocks.0".
    """
    if isinstance(freeze, str) and freeze == "all":
        return freeze_body(network)
    if isinstance(freeze, Mapping):
        unknown = [name for name in freeze if name not in network.columns]
        if unknown:
            raise ValueError(
                f"freeze names the column {unknown[0]!r}, and model has"
                f" {format_list(network.columns, 5)}"
            )
        choices = dict.fromkeys(network.columns) | dict(freeze)
    elif isinstance(freeze, (list, tuple)):
        choices = _divide_patterns(freeze, network)
    else:
        choices = dict.fromkeys(network.columns, freeze)
    found = {}
    for column, choice in choices.items():
        found[column] = Frozen(boundary=EMBEDDING)
        if not is_number(backbone.columns[column]):
            trunk, rows = network.columns[column], batch[column]
            try:
                found[column] = resolve_freeze(choice, trunk, backbone.columns[column], rows)
            except ValueError as error:
                error.add_note(
                    f"in column {column!r}; freeze may be a mapping with a value for each"
                )
                raise
    return join_frozen(found, network)


def _divide_patterns(patterns, network):
    """Patterns of each column without its name in front; None where it has none."""
    found, children = {}, name_children(network.columns)
    # Names of columns may have dots, and those of modules are understood, too.
    starts = {f"{child}.": column for column, child in children.items()}
    starts |= {f"{column}.": column for column in children}
    for pattern in patterns:
        text = pattern if isinstance(pattern, str) else ""
        start = max((s for s in starts if text.startswith(s)), key=len, default="")
        matched = [starts[start]] if start else children if text.startswith("*") else ()
        if not matched:
            raise ValueError(
                f"freeze names {pattern!r}, which begins with no column of model,"
                f" {format_list(network.columns, 5)}: a pattern is the name of a column, a dot"
                " and the name of a module or a parameter, such as"
                f" '{next(iter(network.columns))}.*'"
            )
        for column in matched:
            found.setdefault(column, []).append(pattern.removeprefix(start))
    return dict.fromkeys(network.columns) | found


def join_frozen(frozen, network):
    """`Frozen` of the whole network, from that of the trunk of each column."""
    parameters, modules = set(), set()
    for column, part in frozen.items():
        parameters |= {network.map_name(column, name) for name in part.parameters}
        modules |= {network.map_name(column, name) for name in part.modules}
    boundary = tuple((column, part.boundary) for column, part in frozen.items())
    if all(end == EMBEDDING for _, end in boundary):
        return freeze_body(network)
    if all(part == Frozen() or part.boundary == EMBEDDING for part in frozen.values()):
        boundary = boundary if any(end for _, end in boundary) else None
    return Frozen(frozenset(parameters), frozenset(modules), boundary)


def list_boundaries(boundary, columns):
    """Where the frozen prefix of each column ends, by column."""
    if boundary is None or boundary == EMBEDDING:
        return dict.fromkeys(columns, boundary)
    return {column: dict(boundary)[column] for column in columns}


def plan_column_steps(target, n_most, network, backbone, batch):
    """(names of stages, Frozen up to them) of schedule "gradual", from the deepest ones up.

    All columns go down together, each in as many steps as it has stages above the target.
    """
    steps = {}
    for column, trunk in network.columns.items():
        inner, rows = backbone.columns[column], batch[column]
        end = list_boundaries(target.boundary, network.columns)[column]
        steps[column] = [] if is_number(inner) else _plan_trunk(trunk, inner, end, rows)
    # As for one network, steps are of several stages where epochs are few.
    longest = max(map(len, steps.values()))
    n_together = max(-(-longest // max(n_most, 1)), 1)
    n_steps, found = longest // n_together if n_most else 0, []
    for k in range(n_steps):
        names, parts = [], {}
        for column, own in steps.items():
            reached = (k + 1) * n_together * len(own) // longest
            parts[column] = freeze_body(network.columns[column])
            if reached:
                name, parts[column] = own[reached - 1]
                names.append(f"{column}.{name}")
        frozen = join_frozen(parts, network)
        if names and frozen.parameters > target.parameters:
            found.append((", ".join(names), frozen))
    return found


def _plan_trunk(trunk, backbone, end, batch):
    steps = []
    for stage in reversed(backbone.layout.stages):
        if end in (EMBEDDING, f"body.{stage.name}"):
            break
        try:
            steps.append((stage.name, freeze_up_to(trunk, stage.name, batch)))
        except ValueError:
            continue
    return steps


class Joined:
    """Inputs of several columns side by side.

    Parameters
    ----------
    columns : dict of str to inputs
        Inputs of each column; None where all of its entries are missing.
    present : dict of str to ndarray of bool
        Which entries are there, of columns in which some are missing.
    n_rows : int
        Number of rows.
    format : ColumnsFormat
        How they become input of the network.
    """

    def __init__(self, columns, present, n_rows, format):
        self.columns, self.present, self.n_rows = columns, present, n_rows
        self.format, self.children = format, name_children(columns)

    def __len__(self):
        return self.n_rows

    def take(self, rows, epoch):
        """Payloads of some rows, as tensors by "CHILD/NAME"."""
        found = {}
        for column, inputs in self.columns.items():
            child = self.children[column]
            taken = {} if inputs is None else inputs.take(rows, epoch)
            found |= {f"{child}/{name}": tensor for name, tensor in taken.items()}
            if column in self.present:
                mask = torch.from_numpy(self.present[column][rows])
                found[f"{child}/{PRESENT}"] = mask
        return found

    def list_batches(self, size):
        """Numbers of all rows in batches, of similar length in the first ragged column."""
        for inputs in self.columns.values():
            if isinstance(inputs, Ragged):
                return inputs.list_batches(size)
        rows = np.arange(len(self))
        return [rows[start : start + size] for start in range(0, len(rows), size)]


class ColumnsPrefix:
    """Frozen prefixes of several columns; None for those that have none.

    Parameters
    ----------
    prefixes : dict of str to FrozenPrefix or None
        That of each column.
    backbone : FusedBackbone
        The networks of the columns.
    """

    def __init__(self, prefixes, backbone):
        self.prefixes, self.backbone = prefixes, backbone

    def find_format(self, format):
        """Format of activations, where that of payloads is given."""
        found = {}
        for column, _, inner in format.columns:
            prefix = self.prefixes[column]
            found[column] = inner if prefix is None else prefix.find_format(inner)
        return make_format(found)

    def compute_known(self, estimator, samples, row_label):
        """`Joined` inputs of samples that are to be predicted."""
        found, present, formats = {}, {}, {}
        for column, reading in estimator._list_readings().items():
            backbone, prefix = self.backbone.columns[column], self.prefixes[column]
            entries = samples.columns[column]
            if reading.is_numeric:
                found[column] = _inputs.Fixed({"input": entries})
                formats[column] = InputFormat()
                continue
            reader = reading._make_reader(backbone)

            def label(row, column=column):
                return f"{row_label(row)}, column {column!r}"

            filled, mask = fill_missing(reading, entries, reader, label)
            formats[column] = reader.format if prefix is None else None
            if mask is not None:
                present[column] = mask
            found[column] = None
            if filled is not None:
                found[column] = _read(reading, reader, filled, prefix, label)
            if prefix is not None:
                formats[column] = prefix.find_format(reader.format)
        return Joined(found, present, len(samples), make_format(formats))

    def compute_outputs(self, network, inputs, kind):
        """Outputs ("logits") or features of the head from inputs, in evaluation mode."""
        network.eval()
        outputs, batches = [], inputs.list_batches(_PREDICTED)
        with torch.inference_mode(), self.enter(network):
            for rows in batches:
                taken = inputs.take(rows, 0).items()
                batch = {name: t.to(self.backbone.device) for name, t in taken}
                features, logits = network.entry(inputs.format.to_input(batch))
                outputs.append((logits if kind == "logits" else features).float().cpu())
        return torch.cat(outputs).numpy()[np.argsort(np.concatenate(batches))]

    @contextmanager
    def enter(self, network):
        """Context in which the network takes activations and goes on, column by column."""
        with ExitStack() as stack:
            functions = {}
            for column, trunk in network.columns.items():
                functions[column], prefix = trunk.embed, self.prefixes[column]
                if prefix is not None:
                    context = prefix.resume_trunk(trunk)
                    functions[column] = stack.enter_context(context)

            def run(batch):
                return network.finish(network.join(batch, functions))

            network.entry = run
            try:
                yield
            finally:
                network.entry = None


def _read(reading, reader, samples, prefix, label):
    """Inputs of the entries of a column."""
    if prefix is not None:
        known = prefix.compute_activations(reading, reader, samples, label)
        return known if isinstance(known, Ragged) else _inputs.Fixed({"input": known})
    n_threads, folder = count_threads(reading.n_jobs), _inputs.find_folder(reading.cache)
    payloads = _inputs.read_payloads(samples, reader, n_threads, folder, label)
    is_ragged = reader.format.is_ragged
    return Ragged(payloads, reader.format) if is_ragged else _inputs.Fixed(payloads)


def fill_missing(reading, samples, reader, label):
    """Entries with another one in the place of each that is missing, and which are there.

    Without missing ones the latter is None; the former is None where all are missing.
    """
    present = reading.find_missing(samples, reader, label)
    if present is None:
        return samples, None
    if not present.any():
        return None, present
    filler = samples[int(present.argmax())]
    pairs = zip(samples, present, strict=True)
    return [sample if is_there else filler for sample, is_there in pairs], present


def find_column_prefixes(boundary, network, backbone, noise, reused):
    """`ColumnsPrefix` up to a boundary, with prefixes of the columns in `reused` alone."""
    prefixes, ends = {}, list_boundaries(boundary, network.columns)
    training = network.training
    network.eval()
    for column, end in ends.items():
        prefixes[column], inner = None, backbone.columns[column]
        if end is not None and column in reused and not is_number(inner):
            prefixes[column] = find_prefix(end, network.columns[column], inner, noise[column])
    network.train(training)
    return ColumnsPrefix(prefixes, backbone)


def make_no_prefix(backbone):
    """`ColumnsPrefix` in which every column is run as a whole."""
    return ColumnsPrefix(dict.fromkeys(backbone.columns), backbone)
