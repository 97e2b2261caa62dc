"""Weights of source samples that make the source look like the target."""

from sklearn_transfer._public import publish_classes
from sklearn_transfer.weighting._density_ratio import KLIEP, ULSIF
from sklearn_transfer.weighting._domain_classifier import DomainClassifierWeights
from sklearn_transfer.weighting._importance import ImportanceWeighted
from sklearn_transfer.weighting._kmm import KMM
from sklearn_transfer.weighting._label_shift import LabelShiftWeights
from sklearn_transfer.weighting._nearest_neighbors import NearestNeighborWeights
from sklearn_transfer.weighting._scorers import DEVScorer, ImportanceWeightedScorer

__all__ = [
    "DEVScorer",
    "DomainClassifierWeights",
    "ImportanceWeighted",
    "ImportanceWeightedScorer",
    "KLIEP",
    "KMM",
    "LabelShiftWeights",
    "NearestNeighborWeights",
    "ULSIF",
]

publish_classes(__name__)
