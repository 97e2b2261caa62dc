"""Inputs of the networks of several columns for the samples of a fit."""

import numpy as np

from sklearn_transfer._modalities.payloads import InputFormat
from sklearn_transfer.finetuning import _inputs
from sklearn_transfer.finetuning._fusion import (
    NUMBER_SIGNATURE,
    join_signatures,
    make_format,
    make_number_example,
)
from sklearn_transfer.finetuning.freezing.columns import Joined, fill_missing
from sklearn_transfer.finetuning.loop.fit_inputs import BaseFitInputs, FitInputs
from sklearn_transfer.finetuning.loop.parts import Parts


class NumberInputs:
    """Numbers of a column, which are the network's input as they are."""

    format, signature = InputFormat(), NUMBER_SIGNATURE
    may_reuse = False

    def __init__(self, backbone):
        self.backbone = backbone

    def read(self):
        """Nothing is left to read."""

    def attach(self, task):
        """There are no passes of which a task could be told."""

    def make_noise(self, n_rows):
        """Network input of random numbers."""
        return make_number_example(self.backbone.device, n_rows)

    def make_training_inputs(self, part, prefix):
        """Inputs of the rows of a part."""
        return _inputs.Fixed({"input": part.samples})

    make_fixed_inputs = make_training_inputs

    def compute_activations(self, part, prefix):
        """The numbers, which are features."""
        return part.samples

    def embed(self, part, inputs, network, prefix):
        """The numbers, which are features."""
        return part.samples


class ColumnInputs(BaseFitInputs):
    """Inputs of each column, joined.

    Parameters
    ----------
    estimator : estimator
        Its `model` is a mapping.
    backbone : FusedBackbone
        The networks of the columns.
    parts : Parts
        The samples, which are `TableSamples`.
    seed : int
        Of augmentation, and of the order of target rows.
    """

    input_source = "as the entries of the column are"
    array_name = "input"

    def __init__(self, estimator, backbone, parts, seed):
        self.estimator, self.backbone, self.parts, self.seed = estimator, backbone, parts, seed
        self._divided, self._present, self._widths = {}, {}, {}
        self.readings = estimator._list_readings()
        self._choose_augmented()
        self.columns = {name: self._make_column(name) for name in self.readings}
        self.format = make_format({name: c.format for name, c in self.columns.items()})
        self.signature = None

    def attach(self, task):
        """Have passes of all columns from now on be subtasks of a task."""
        for column in self.columns.values():
            column.attach(task)

    def _choose_augmented(self):
        """Turn augmentation off for columns that know none; one column has to know it."""
        readings = [r for r in self.readings.values() if not r.is_numeric]
        known, error = [], None
        for reading in readings:
            try:
                reading._make_augmentation(self.backbone.columns[reading.column])
                known.append(reading)
            except ValueError as caught:
                error = caught
        if error is not None and not known:
            raise error
        for reading in readings:
            if reading not in known:
                reading.leave_out_augmentation()

    def _make_column(self, name):
        backbone, reading = self.backbone.columns[name], self.readings[name]
        if reading.is_numeric:
            return NumberInputs(backbone)
        reader = reading._make_reader(backbone)
        parts = (self.parts.train, self.parts.valid, self.parts.target)
        own = [part and self._divide_part(part, name, reading, reader) for part in parts]
        return FitInputs(reading, backbone, Parts(*own), self.seed)

    def _divide_part(self, part, name, reading=None, reader=None):
        """Part with the entries of a column; None where all of them are missing."""
        if (part, name) in self._divided:
            return self._divided[part, name]
        samples, mask = part.samples.columns[name], None
        own = part.select(samples, name)
        if reader is not None:
            filled, mask = fill_missing(reading, samples, reader, own.label_row)
            if filled is None and part is self.parts.train:
                raise ValueError(
                    f"column {name!r} has no entry that can be used among the rows to train"
                    " on: leave the column out of model"
                )
            own = None if filled is None else part.select(filled, name)
        self._divided[part, name], self._present[part, name] = own, mask
        return own

    @property
    def may_reuse(self):
        """Whether a column has the same activations in all epochs."""
        return bool(self.reused)

    @property
    def reused(self):
        """Columns whose activations may be kept."""
        return {name for name, column in self.columns.items() if column.may_reuse}

    def read(self):
        """Read every sample that no later step reads before the training begins."""
        for column in self.columns.values():
            column.read()
        self.signature = join_signatures({n: c.signature for n, c in self.columns.items()})

    def make_noise(self, n_rows):
        """Network input of random payloads, on which the networks show their structure."""
        return {name: column.make_noise(n_rows) for name, column in self.columns.items()}

    def make_training_inputs(self, part, prefix):
        """`Joined` inputs of the rows of a part, of views where a column is augmented."""
        return self._join(part, prefix, "make_training_inputs")

    def make_fixed_inputs(self, part, prefix):
        """`Joined` inputs that are the same in all epochs."""
        return self._join(part, prefix, "make_fixed_inputs")

    def _join(self, part, prefix, method):
        found, present = {}, {}
        for name, column in self.columns.items():
            own, before = self._divide_part(part, name), prefix.prefixes[name]
            found[name] = None if own is None else getattr(column, method)(own, before)
            mask = self._present[part, name]
            if mask is not None:
                present[name] = mask
        return Joined(found, present, len(part), prefix.find_format(self.format))

    def compute_activations(self, part, prefix):
        """Embeddings of the samples of a part side by side, where all is frozen."""

        def compute(name, column, own):
            return column.compute_activations(own, prefix.prefixes[name])

        return self._join_embeddings(part, compute)

    def embed(self, part, inputs, network, prefix):
        """Embeddings of the rows of a part, whose inputs are given, in evaluation mode."""

        def compute(name, column, own):
            given, trunk = inputs.columns[name], network.columns[name]
            return column.embed(own, given, trunk, prefix.prefixes[name])

        return self._join_embeddings(part, compute)

    def _join_embeddings(self, part, compute):
        """Matrix of what a function gives for each column, NaN where an entry is missing."""
        found = []
        for name, column in self.columns.items():
            own = self._divide_part(part, name)
            if own is None:  # of a part after the one to train on, so that widths are known
                matrix = np.full((len(part), self._widths[name]), np.nan, dtype=np.float32)
            else:
                matrix = compute(name, column, own)
                self._widths[name] = matrix.shape[1]
            mask = self._present[part, name]
            if mask is not None:
                matrix = np.where(mask[:, None], matrix, np.float32(np.nan))
            found.append(matrix)
        return np.concatenate(found, axis=1)
