"""State of a training, which changes while it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sklearn_transfer._modalities.payloads import InputFormat, PayloadFormat
from sklearn_transfer.finetuning._inputs import EvenBatches, Rows
from sklearn_transfer.finetuning.loop.rate import LearningRate
from sklearn_transfer.finetuning.loop.target import TargetBatches


@dataclass(frozen=True)
class Feed:
    """Data of a phase beside the rows to train on.

    Parameters
    ----------
    valid : Rows, default=None
        Rows to validate on after each epoch.
    score : callable, default=None
        Score of outputs for the rows to validate on.
    format : PayloadFormat, default=InputFormat()
        How payloads of all rows become input of the network.
    target : TargetBatches, default=None
        Payloads of batches of the target domain, without end.
    array_name : str, default="input"
        Name in payloads of an array that a callback has the net predict from.
    """

    valid: Rows | None = None
    score: Callable | None = None
    format: PayloadFormat = field(default_factory=InputFormat)
    target: TargetBatches | None = None
    array_name: str = "input"


@dataclass
class TrainingState:
    """Progress of a training, and the values that change with it.

    Parameters
    ----------
    batch_size : int
        Rows per step, halved once where memory does not suffice.
    last_lr : float
        Learning rate of the latest step.
    n_processes : int, default=1
        Processes that share the batches of an epoch.
    n_passes : int, default=0
        Epochs of all fits of the network, which decide the order of rows.
    epoch : int, default=0
        Number of the epoch, from 1.
    step : int, default=0
        Steps of the phase so far; `first_step` are those before the epoch.
    n_rows, n_epochs : int, default=0
        Rows to train on, and epochs of the phase.
    n_done, n_total : int, default=0
        Epochs of the phases before this one, and of all phases.
    rate : LearningRate, default=None
        Course of the learning rate over the phase.
    is_halved : bool, default=False
        Whether the batch size was halved.
    needs_optimizer : bool, default=False
        Whether options have changed that the optimizer depends on.
    bar : tqdm, default=None
        Progress over the rows of all epochs.
    n_adapted : int, default=0
        Steps of all fits of the network that had a batch of a target domain.
    measures : dict of str to list, default={}
        What adaptation measured at each step of the epoch.
    """

    batch_size: int
    last_lr: float
    n_processes: int = 1
    n_passes: int = 0
    epoch: int = 0
    step: int = 0
    first_step: int = 0
    n_rows: int = 0
    n_epochs: int = 0
    n_done: int = 0
    n_total: int = 0
    rate: LearningRate | None = None
    is_halved: bool = False
    needs_optimizer: bool = False
    bar: object = None
    n_adapted: int = 0
    measures: dict = field(default_factory=dict)

    @property
    def progress(self):
        """Share of all epochs that is done, from 0 to 1."""
        if not (self.n_total and self.rate.n_steps):
            return 0.0
        done = self.n_done + self.n_epochs * self.step / self.rate.n_steps
        return min(done / self.n_total, 1.0)

    def begin_phase(self, n_rows, n_epochs, *, warmup, share, is_constant):
        """Start the course of the learning rate over the epochs of a phase."""
        self.n_rows, self.n_epochs = n_rows, n_epochs
        self.step = self.first_step = 0
        self.rate = LearningRate(self._count_steps(), warmup, share, is_constant)

    def begin_pass(self):
        """Number of the epoch that begins, counted from 0 over all fits."""
        number = self.n_passes
        self.n_passes += 1
        self.first_step = self.step
        self.measures = {}
        return number

    def measure(self, **values):
        """Note numbers, or tensors of one, that belong to a step."""
        for name, value in values.items():
            self.measures.setdefault(name, []).append(value)

    def average_measures(self):
        """Means over the steps of the epoch, by name."""
        return {
            name: sum(float(value) for value in values) / len(values)
            for name, values in self.measures.items()
        }

    def advance(self, n_rows):
        """Count a step of `n_rows` rows; returns the factor of its learning rate."""
        factor = self.rate.compute_factor(self.step)
        self.step += 1
        if self.bar is not None:
            self.bar.update(n_rows)
        return factor

    def halve(self):
        """Halve the batch size, which happens once; returns whether it was possible."""
        if self.is_halved or self.batch_size < 2:
            return False
        self.is_halved, self.batch_size = True, self.batch_size // 2
        n_before = self.rate.n_steps
        self.rate = replace(self.rate, n_steps=self._count_steps())
        # The epoch starts again, at the same point of the course of the learning rate.
        self.step = self.first_step * self.rate.n_steps // max(n_before, 1)
        return True

    def _count_steps(self):
        batches = EvenBatches(self.n_rows, self.batch_size, share=(self.n_processes, 0))
        return self.n_epochs * len(batches)
