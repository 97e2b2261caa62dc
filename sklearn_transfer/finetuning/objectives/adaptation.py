"""The base of objectives that adapt a network to a target domain."""

import math
from abc import abstractmethod
from numbers import Real

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer.finetuning.objectives.base import Objective

_FOR_NUMBERS = "'jdot', 'coral', 'mmd' or 'dann'"
_FOR_ANY_TASK = "'coral', 'mmd' or 'dann'"


class AdaptationObjective(LinksToDocumentation, BaseEstimator, Objective):
    """A term of the loss that compares a batch of the source with one of the target.

    Derive from it for an objective of your own, and write `compute`. Parameters, which
    `__init__` only assigns, are then searched as ``adapt__weight``. State that arises in
    training belongs into attributes that end with an underscore.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the term. 0 trains as if there were no term.

    See Also
    --------
    Objective : A term that needs no target domain, without weight and warm-up.
    sklearn_transfer.FineTunedClassifier : Takes an objective as `adapt`.

    Notes
    -----
    The term of a step is ``weight * warm_up * compute(step)``. With p the share of the
    training that is done, the warm-up 2 / (1 + exp(-10 p)) - 1 [1]_ rises from 0 to 1: it is
    0.46 after a tenth and 0.76 after a fifth of the steps. Until then predictions for the
    target are too poor to be trusted.

    `compute` gets features, logits and weights in single precision at least. It is not called
    where there is no target or where all source rows of a batch have weight 0, since the term
    is 0 then, nor where a number is not finite, since the term is NaN then.

    References
    ----------
    .. [1] Ganin, Y. et al. (2016). Domain-adversarial training of neural networks. Journal of
       Machine Learning Research 17.

    Examples
    --------
    >>> from sklearn_transfer.finetuning.objectives import AdaptationObjective
    >>> class MeanDistance(AdaptationObjective):
    ...     def compute(self, step):
    ...         gap = step.features.mean(0) - step.target_features.mean(0)
    ...         return gap.square().sum()
    >>> MeanDistance(weight=0.5)
    MeanDistance(weight=0.5)
    """

    _parameter_constraints: dict = {"weight": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, weight=1.0):
        self.weight = weight

    @abstractmethod
    def compute(self, step):
        """Value of a step that has both domains, before weight and warm-up.

        Parameters
        ----------
        step : Step
            A batch of each domain after its forward pass.

        Returns
        -------
        value : Tensor of shape ()
            The value, with a gradient.
        """

    def check(self, targets):
        """Raise a ValueError if parameters are invalid or the tasks do not suit.

        Parameters
        ----------
        targets : Targets
            The tasks of the network.
        """
        self._validate_params()

    def loss(self, step):
        """Weight times warm-up times the value of `compute`.

        Parameters
        ----------
        step : Step
            A batch after its forward pass.

        Returns
        -------
        loss : Tensor of shape ()
            The term, 0 where there is nothing to compare.
        """
        return self.weight * compute_warm_up(step.progress) * self._compute_alone(step)

    def _compute_alone(self, step):
        """Value of `compute` outside of mixed precision, 0 where a domain is missing."""
        import torch

        from sklearn_transfer.finetuning.objectives.formulas import is_finite, widen_step

        if step.target_features is None or not (step.weights > 0).any():
            return step.logits.new_zeros((), dtype=torch.float32)
        if not is_finite(step):  # solvers would raise errors of their own
            return step.logits.new_full((), torch.nan, dtype=torch.float32)
        with torch.autocast(step.logits.device.type, enabled=False):
            return self.compute(widen_step(step))


def compute_warm_up(progress):
    """Factor from 0 to 1 of an objective after a share of the training [Ganin 2016]."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def check_task(objective, targets, kinds):
    """Raise a ValueError unless there is one task of one of the kinds."""
    found = [task.kind for task in targets.tasks]
    if len(found) == 1 and found[0] in kinds:
        return
    needed = "one class per row" if len(kinds) == 1 else "one class or number per row"
    what = f"has {len(found)} tasks" if len(found) > 1 else f"is a {found[0]} task"
    others = _FOR_NUMBERS if found == ["regression"] else _FOR_ANY_TASK
    raise ValueError(
        f"{type(objective).__name__} needs {needed}, but y {what}: use adapt={others}, or"
        " adapt=None"
    )
