"""Pictures of domains, weights, trainings and verdicts; matplotlib is imported to draw."""

from sklearn_transfer.plotting._domains import DomainDisplay
from sklearn_transfer.plotting._negative import NegativeTransferDisplay
from sklearn_transfer.plotting._training import TrainingDisplay
from sklearn_transfer.plotting._weights import WeightsDisplay

__all__ = ["DomainDisplay", "NegativeTransferDisplay", "TrainingDisplay", "WeightsDisplay"]
