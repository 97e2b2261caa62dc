"""Source and target features to weights of the source samples."""

from sklearn_transfer.weighting._importance import ImportanceWeighted
from sklearn_transfer.weighting._kmm import KMM
from sklearn_transfer.weighting._scorers import DEVScorer, ImportanceWeightedScorer

__all__ = ["DEVScorer", "ImportanceWeighted", "ImportanceWeightedScorer", "KMM"]
