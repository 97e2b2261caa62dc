"""The words that name objectives of adaptation."""

import copy

import numpy as np
from sklearn.base import BaseEstimator, clone

from sklearn_transfer._validation import format_list, shorten, suggest_near
from sklearn_transfer.finetuning.objectives.adversarial import CDAN, DANN
from sklearn_transfer.finetuning.objectives.base import Objective
from sklearn_transfer.finetuning.objectives.distributions import MMD, DeepCORAL
from sklearn_transfer.finetuning.objectives.predictions import BNM, MCC, InfoMax
from sklearn_transfer.finetuning.objectives.transport import DeepJDOT

_WORDS = {
    "bnm": BNM,
    "cdan": CDAN,
    "coral": DeepCORAL,
    "dann": DANN,
    "infomax": InfoMax,
    "jdot": DeepJDOT,
    "mcc": MCC,
    "mmd": MMD,
}


def describe_adapt(adapt):
    """What tells values of `adapt` apart, as they are now: kind or object, and parameters."""
    if isinstance(adapt, BaseEstimator):
        return type(adapt), adapt.get_params()
    return adapt, {}


def are_equal(first, second):
    """Whether two results of `describe_adapt` name the same objective."""
    (kind, params), (other, others) = first, second
    if kind is not other and kind != other:
        return False
    return params.keys() == others.keys() and all(
        params[name] is others[name] or np.array_equal(params[name], others[name])
        for name in params
    )


def resolve_adapt(adapt):
    """Objective of its own for a training, from the parameter `adapt` of a fine-tuner.

    Parameters
    ----------
    adapt : str, Objective or None
        "bnm", "cdan", "coral", "dann", "infomax", "jdot", "mcc" or "mmd" stands for the class
        with its default parameters.

    Returns
    -------
    objective : Objective or None
        A new one for a word; an unfitted clone, or a deep copy where the objective is no
        estimator; None for None.

    Raises
    ------
    ValueError
        If `adapt` is none of these.

    See Also
    --------
    sklearn_transfer.FineTunedClassifier : Its parameter `adapt` is resolved by this function.

    Examples
    --------
    >>> from sklearn_transfer.finetuning.objectives import resolve_adapt
    >>> resolve_adapt("mcc")
    MCC()
    """
    if adapt is None:
        return None
    if isinstance(adapt, str) and adapt in _WORDS:
        return _WORDS[adapt]()
    if isinstance(adapt, Objective):
        return clone(adapt) if isinstance(adapt, BaseEstimator) else copy.deepcopy(adapt)
    near = suggest_near(adapt, _WORDS) if isinstance(adapt, str) else ""
    if isinstance(adapt, type) and issubclass(adapt, Objective):
        near = f" Pass an instance, {adapt.__name__}(), in place of the class."
    raise ValueError(
        f"adapt is {shorten(adapt)}, expected one of {format_list(sorted(_WORDS))}, an"
        f" Objective or None.{near}"
    )
