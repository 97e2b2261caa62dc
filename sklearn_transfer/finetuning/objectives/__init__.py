"""Terms of the loss that a network is trained on."""

from sklearn_transfer._public import publish_classes
from sklearn_transfer.finetuning.objectives.adaptation import AdaptationObjective
from sklearn_transfer.finetuning.objectives.adversarial import CDAN, DANN
from sklearn_transfer.finetuning.objectives.base import Mixture, Objective, Step
from sklearn_transfer.finetuning.objectives.distributions import MMD, DeepCORAL
from sklearn_transfer.finetuning.objectives.predictions import BNM, MCC, InfoMax
from sklearn_transfer.finetuning.objectives.transport import DeepJDOT
from sklearn_transfer.finetuning.objectives.words import resolve_adapt

__all__ = [
    "AdaptationObjective",
    "BNM",
    "CDAN",
    "DANN",
    "DeepCORAL",
    "DeepJDOT",
    "InfoMax",
    "MCC",
    "MMD",
    "Mixture",
    "Objective",
    "Step",
    "resolve_adapt",
]

publish_classes(__name__)
