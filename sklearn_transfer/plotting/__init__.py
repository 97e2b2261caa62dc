"""Pictures of domains, weights, trainings, rankings and verdicts.

A display draws the arrays and records it is given, so that every other stage may import this
one. matplotlib is imported when something is drawn.
"""

from sklearn_transfer.plotting._adaptations import AdaptationDisplay
from sklearn_transfer.plotting._domains import DomainDisplay
from sklearn_transfer.plotting._negative import NegativeTransferDisplay
from sklearn_transfer.plotting._neighbors import NeighborsDisplay
from sklearn_transfer.plotting._occlusion import OcclusionDisplay
from sklearn_transfer.plotting._ranking import RankingDisplay
from sklearn_transfer.plotting._training import TrainingDisplay
from sklearn_transfer.plotting._weights import WeightsDisplay

__all__ = [
    "AdaptationDisplay",
    "DomainDisplay",
    "NegativeTransferDisplay",
    "NeighborsDisplay",
    "OcclusionDisplay",
    "RankingDisplay",
    "TrainingDisplay",
    "WeightsDisplay",
]
