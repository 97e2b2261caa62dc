"""The interface of objectives, which are the terms of the training loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # so that naming objectives loads no network library
    import torch


@dataclass(frozen=True)
class Mixture:
    """How the rows of a batch were mixed with other rows of it, by mixup or cutmix.

    Parameters
    ----------
    partner : Tensor of shape (n,)
        For each row the number of the other row.
    share : float
        Weight of the row's own target; that of its partner is 1 - `share`.

    See Also
    --------
    Step : Holds the mixture of its rows.

    Examples
    --------
    >>> import torch
    >>> from sklearn_transfer.finetuning.objectives import Mixture
    >>> mixture = Mixture(partner=torch.tensor([1, 0]), share=0.75)
    >>> y = torch.tensor([0.0, 1.0])
    >>> mixture.share * y + (1 - mixture.share) * y[mixture.partner]
    tensor([0.2500, 0.7500])
    """

    partner: "torch.Tensor"
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

    See Also
    --------
    Objective : Turns a step into a term of the loss.

    Examples
    --------
    >>> import torch
    >>> from sklearn_transfer.finetuning.objectives import Step
    >>> features, logits = torch.ones(2, 3), torch.zeros(2, 2)
    >>> encoded, weights = (torch.tensor([0, 1]),), torch.ones(2)
    >>> step = Step(features, logits, encoded, weights, progress=0.5)
    >>> step.target_features is None
    True
    """

    features: "torch.Tensor"
    logits: "torch.Tensor"
    encoded: tuple
    weights: "torch.Tensor"
    progress: float
    mixture: Mixture | None = None
    target_features: "torch.Tensor | None" = None
    target_logits: "torch.Tensor | None" = None


class Objective(ABC):
    """A term of the loss, where training minimizes the sum of all terms.

    Write `loss` for a term of your own. To compare source and target, derive from
    `AdaptationObjective` instead, which adds a weight, the warm-up and single precision.

    See Also
    --------
    AdaptationObjective : Base of terms that adapt a network to a target domain.
    Step : The argument of `loss`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_transfer.finetuning.objectives import Objective, Step
    >>> class SmallLogits(Objective):
    ...     def loss(self, step):
    ...         return 0.01 * step.logits.square().mean()
    >>> rows = torch.ones(2, 3)
    >>> step = Step(rows, rows, (torch.tensor([0, 1]),), torch.ones(2), progress=0.0)
    >>> SmallLogits().loss(step)
    tensor(0.0100)
    """

    def check(self, targets):  # noqa: B027 - most objectives suit all tasks
        """Raise a ValueError if the objective does not suit the tasks.

        Parameters
        ----------
        targets : Targets
            The tasks of the network, by their kinds in ``[t.kind for t in targets.tasks]``:
            "multiclass", "multilabel" or "regression".
        """

    def parameters(self, network):
        """Trainable parameters of the objective itself, which the optimizer gets too.

        This is called once, after the network has got its head and before the first step. The
        parameters have to be on the device of the network.

        Parameters
        ----------
        network : Module
            The network, with `feature_width` and `n_outputs`.

        Returns
        -------
        parameters : sequence of Parameter
            None by default.
        """
        return ()

    @abstractmethod
    def loss(self, step):
        """Scalar tensor that is added to the loss of a `Step`.

        Parameters
        ----------
        step : Step
            A batch after its forward pass.

        Returns
        -------
        loss : Tensor of shape ()
            The term.
        """

    @property
    def measures(self):
        """Numbers of the latest step for the history, by names that it does not have yet."""
        return {}


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
