"""Weights of source samples that make the source look like the target."""

from sklearn_transfer._public import publish_classes
from sklearn_transfer.weighting._density_ratio import KLIEP, ULSIF
from sklearn_transfer.weighting._domain_classifier import DomainClassifierWeights
from sklearn_transfer.weighting._domain_ratio import DomainOdds as DomainOdds
from sklearn_transfer.weighting._gaussian_basis import GaussianBasis as GaussianBasis
from sklearn_transfer.weighting._gaussian_basis import LogRatio as LogRatio
from sklearn_transfer.weighting._gaussian_basis import Ratio as Ratio
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

# Parts of fitted weighters, which files of these name.
publish_classes(__name__, ("DomainOdds", "GaussianBasis", "LogRatio", "Ratio"))
