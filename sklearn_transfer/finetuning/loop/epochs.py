"""The loop over phases and epochs, which fine-tuners and autoencoders share."""

import warnings
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from sklearn_transfer._callbacks import NO_TASK
from sklearn_transfer._modalities.remarks import telling_once
from sklearn_transfer._process.allocator import keep_memory
from sklearn_transfer._process.locks import RLock
from sklearn_transfer.finetuning.freezing.policies import restore_weights
from sklearn_transfer.finetuning.loop.net import EpochStop

_PATIENCE = 5
# Dropout draws from torch's generator of the process, which two trainings must not share.
_training_lock = RLock()


class EpochLoop:
    """Epochs of a net, phase by phase, until the last one or an early end.

    Parameters
    ----------
    net : TrainingNet
        What runs an epoch.
    history : History
        Gets an entry per epoch.
    patience : int, default=0
        Epochs of a phase without improvement after which it ends; 0 never ends it.
    verbose : bool, default=False
        Whether to show a progress bar.
    label : str, default=""
        What the bar is called.
    task : Task, default=NO_TASK
        Its subtasks are the preparation of each phase, and the epochs.
    collect : callable, default=None
        Returns the attributes of an estimator that is fitted by what is reached, as a dict.
    """

    def __init__(
        self,
        net,
        history,
        *,
        patience=0,
        verbose=False,
        label="",
        task=NO_TASK,
        collect=None,
    ):
        self.net, self.history, self.patience = net, history, patience
        self.verbose, self.label, self.task, self.collect = verbose, label, task, collect

    def run(self, phases, begin_phase, n_rows, n_before=0, n_planned=None):
        """Train through phases of `n_rows` rows per epoch, and restore the best weights.

        They are part of a longer course where `n_before` of `n_planned` epochs came before.

        ``begin_phase(phase, task)`` is a context in which the net is ready for a phase; it
        gives the `Rows` to train on. Passes that this takes are subtasks of `task`.
        """
        net, network = self.net, self.net.setting.network
        n_epochs = sum(phase.n_epochs for phase in phases)
        net.state_.n_total = n_epochs if n_planned is None else n_planned
        net.state_.n_done = n_before
        net.notify("on_train_begin", X=None, y=None)
        try:
            with show_progress(self.verbose, n_epochs * n_rows, self.label) as net.state_.bar:
                for phase in phases:
                    with ExitStack() as stack:
                        name = "probe" if phase.name == "probe" else "prepare"
                        with self.task.open(name, None) as task:
                            rows = stack.enter_context(begin_phase(phase, task))
                        self._run_phase(phase, rows)
                    net.state_.n_done += phase.n_epochs
        except EpochStop:
            pass  # the epoch is complete, and has its entry
        except KeyboardInterrupt:
            if not len(self.history) and not net.state_.step:
                raise
            _warn_of_interruption(len(self.history) + 1, n_epochs)
        finally:
            net.end_training()
        if self.history.best_weights is not None:
            restore_weights(network, self.history.best_weights)
        net.notify("on_train_end", X=None, y=None)
        network.eval()
        network.zero_grad(set_to_none=True)

    def _run_phase(self, phase, rows):
        n_waited = 0
        for _ in range(phase.n_epochs):
            self.net.state_.epoch = len(self.history) + 1
            with self.task.open("epoch", collect=self.collect) as epoch:
                is_stopped = self._run_epoch(rows)
                n_waited = 0 if self._add_epoch(phase) else n_waited + 1
            if is_stopped or epoch.is_stopped:
                raise EpochStop
            if self.patience and n_waited >= self.patience:
                break

    def _run_epoch(self, rows):
        """Train for one epoch; returns whether a callback of skorch ends the training."""
        try:
            self.net.fit_loop(rows, epochs=1)
        except EpochStop:
            return True
        return False

    def _add_epoch(self, phase):
        last = self.net.history[-1]
        names = ("train_loss", "valid_loss", "valid_score")
        entry = {name: float(last[name]) for name in names if name in last}
        rest = {"lr": self.net.state_.last_lr, "dur": last["dur"]}
        measured = self.net.state_.average_measures()
        return self.add_entry({"phase": phase.name, **entry, **measured, **rest})

    def add_entry(self, entry):
        """Add an entry to the history and show it; returns whether it is the best so far."""
        is_best = self.history.add(entry)
        bar = self.net.state_.bar
        if bar is not None:
            shown = {k: v for k, v in entry.items() if k.endswith(("loss", "score"))}
            bar.set_postfix({"epoch": len(self.history), **shown})
        return is_best


def resolve_patience(early_stopping):
    """Epochs to wait for an improvement, for a value of the parameter `early_stopping`."""
    if isinstance(early_stopping, (bool, np.bool_)):
        return _PATIENCE * int(early_stopping)
    return early_stopping


@contextmanager
def train_alone(device, seed):
    """Context of a training: no other one, seeded random numbers, and each remark once."""
    devices = [device] if device.type == "cuda" else []
    if device.type == "cpu":
        keep_memory()
    scopes = (torch.inference_mode(False), torch.enable_grad(), telling_once())
    with ExitStack() as stack:
        for scope in (_training_lock.current, torch.random.fork_rng(devices=devices), *scopes):
            stack.enter_context(scope)
        torch.manual_seed(seed)
        yield


@contextmanager
def show_progress(verbose, n_rows, label):
    """Bar over the rows of all epochs, or None."""
    if not verbose:
        yield None
        return
    from tqdm.auto import tqdm

    with tqdm(total=n_rows, desc=label, unit=" rows") as bar:
        yield bar


def _warn_of_interruption(epoch, n_epochs):
    warnings.warn(
        f"Training was interrupted in epoch {epoch} of {n_epochs}: the estimator is fitted,"
        " with the weights reached so far",
        UserWarning,
        stacklevel=3,
    )
