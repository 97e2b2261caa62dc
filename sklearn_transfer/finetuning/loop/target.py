"""The target domain in a training: its batches, and the network that was not adapted to it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sklearn_transfer.finetuning._network import Head
from sklearn_transfer.finetuning.freezing.probe import fit_head_to_part

# Added to the seed, so that target rows are drawn independently of source rows.
_TARGET = 1
# Rows that go through the network at once.
_AT_ONCE = 64


class TargetBatches:
    """Payloads of batches of the target domain, without end.

    Batches have the size that `state` says by then. A domain smaller than a batch is drawn
    from with replacement, so that none of its rows is ever dropped. `seed` is a tuple of
    integers.
    """

    def __init__(self, inputs, state, seed):
        self.inputs, self.state, self.seed = inputs, state, seed
        # So that a later phase or call of partial_fit goes on with other views of the rows.
        self.n_before = state.n_passes
        self.n_drawn, self._batch_size, self._pending = 0, None, []

    def __iter__(self):
        return self

    def __next__(self):
        if not self._pending or self._batch_size != self.state.batch_size:
            self._draw()
        pass_number, rows = self._pending.pop(0)
        return self.inputs.take(rows, pass_number)

    @property
    def is_single(self):
        """Whether all rows of a batch are the same one."""
        return len(self.inputs) == 1

    def _draw(self):
        """Draw the batches of one pass over the domain, in random order."""
        n_rows, batch_size = len(self.inputs), self.state.batch_size
        rng = np.random.default_rng((*self.seed, self.n_drawn, _TARGET))
        if n_rows < batch_size:
            found = [rng.integers(n_rows, size=batch_size)]
        else:
            found = np.array_split(rng.permutation(n_rows), -(-n_rows // batch_size))
        number = self.n_before + self.n_drawn
        self._pending = [(number, rows) for rows in found]
        self._batch_size = batch_size
        self.n_drawn += 1


@dataclass(frozen=True, eq=False)
class Baseline:
    """What the head alone gives, fitted on the embedding of the network as it was.

    Parameters
    ----------
    outputs : ndarray of shape (n_target, n_outputs)
        Outputs for the target samples.
    valid_score : float or None
        Score on the validation samples, where there are some.
    """

    outputs: np.ndarray
    valid_score: float | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Outputs for the target samples, without and with adaptation.

    Parameters
    ----------
    outputs : ndarray of shape (n_target, n_outputs)
        Outputs of the adapted network.
    valid_score : float or None
        Its score on the validation samples, where there are some.
    n_steps : int
        Training steps with a batch of the target.
    baseline : Baseline or None
        What the network would have given without a training; None where that is not known.
    """

    outputs: np.ndarray
    valid_score: float | None
    n_steps: int
    baseline: Baseline | None


class BaselineHead:
    """The head alone, fitted on embeddings of a network before it is trained.

    Parameters
    ----------
    network : Network
        Not trained yet, with a linear head.
    criterion : SupervisedLoss
        What the head is fitted to.
    part : Part
        Samples to train on.
    features : ndarray of shape (n_samples, width)
        Their embeddings.
    """

    def __init__(self, network, criterion, part, features):
        self.device = next(network.head.parameters()).device
        weights = part.move_targets(self.device)[1]
        features = torch.from_numpy(features).to(self.device)
        head = Head(features.shape[1], network.n_outputs, **network.blocks)
        self.head = head.to(self.device)
        self.head.standardize(features, weights / weights.sum())
        fit_head_to_part(self.head, features, criterion, part)

    def run(self, features):
        """Outputs for embeddings, (n_samples, n_outputs)."""
        with torch.no_grad():
            return self.head(torch.from_numpy(features).to(self.device)).cpu().numpy()


def compute_baseline(network, criterion, parts, features, *, embed, score):
    """`Baseline` of a network that is not trained yet.

    `features` are the embeddings of the rows to train on, ``embed(part)`` gives those of
    other parts, and ``score(outputs)`` the score of outputs for the validation samples.
    """
    head = BaselineHead(network, criterion, parts.train, features)
    outputs = head.run(embed(parts.target))
    valid = None if parts.valid is None else score(head.run(embed(parts.valid)))
    return Baseline(outputs, valid)


def has_linear_head(network):
    """Whether a head could be fitted on the embedding of a network."""
    return not isinstance(network.head, nn.Identity)


def run_network(net, inputs):
    """Outputs of a net's network for all rows of some inputs, in evaluation mode."""
    net.setting.network.eval()
    outputs = []
    with torch.no_grad():
        for start in range(0, len(inputs), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(inputs)))
            outputs.append(net.infer(inputs.take(rows, 0)).cpu().numpy())
    return np.concatenate(outputs)
