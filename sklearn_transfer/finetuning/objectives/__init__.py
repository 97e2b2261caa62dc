"""Terms of the loss that a network is trained on."""

from sklearn_transfer.finetuning.objectives.adaptation import AdaptationObjective
from sklearn_transfer.finetuning.objectives.base import Mixture, Objective, Step
from sklearn_transfer.finetuning.objectives.predictions import MCC
from sklearn_transfer.finetuning.objectives.words import resolve_adapt

__all__ = ["MCC", "AdaptationObjective", "Mixture", "Objective", "Step", "resolve_adapt"]
