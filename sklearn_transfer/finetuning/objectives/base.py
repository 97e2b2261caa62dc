"""The interface of objectives, which are the terms of the training loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Mixture:
    """How the rows of a batch were mixed with other rows of it, by mixup or cutmix.

    `partner` holds for each row the number of the other row, and `share` is the weight of the
    row's own target; that of its partner is 1 - `share`.
    """

    partner: torch.Tensor
    share: float


@dataclass(frozen=True)
class Step:
    """One training step: a batch after its forward pass, as objectives see it.

    Parameters
    ----------
    features : Tensor of shape (n, n_features)
        Embedding of the rows, which the head takes.
    logits : Tensor of shape (n, n_outputs)
        Outputs of the network.
    encoded : tuple of Tensor
        Targets of the rows, one tensor for each task, as `Targets.encode` returns them.
    weights : Tensor of shape (n,)
        Weights of the rows, with mean 1 over all training rows.
    progress : float
        Share of the whole training that is done before this step, from 0 to 1.
    mixture : Mixture, default=None
        Given where the rows were mixed; targets and weights are still those of the rows.
    target_features, target_logits : Tensor, default=None
        The same of a batch of the target domain, which has its own forward pass. None where
        there is no target domain.
    """

    features: torch.Tensor
    logits: torch.Tensor
    encoded: tuple
    weights: torch.Tensor
    progress: float
    mixture: Mixture | None = None
    target_features: torch.Tensor | None = None
    target_logits: torch.Tensor | None = None


class Objective(ABC):
    """A term of the loss. The training minimizes the sum of all terms."""

    def parameters(self, network):
        """Trainable parameters of the objective itself, which the optimizer gets too.

        This is called once, after the network has got its head and before the first step. The
        parameters have to be on the device of the network.
        """
        return ()

    @abstractmethod
    def loss(self, step):
        """Scalar tensor that is added to the loss of a `Step`."""


class Criterion(Objective):
    """An objective that only needs outputs, targets and weights, so that it validates too.

    `training` is False while it is called for validation.
    """

    training = True

    @abstractmethod
    def __call__(self, output, encoded, weights):
        """Mean loss of a batch."""

    def loss(self, step):
        """Mean loss; for mixed rows that for both targets, each by its share."""
        own = self(step.logits, step.encoded, step.weights)
        if step.mixture is None:
            return own
        partner, share = step.mixture.partner, step.mixture.share
        encoded = tuple(values[partner] for values in step.encoded)
        return share * own + (1 - share) * self(step.logits, encoded, step.weights[partner])
