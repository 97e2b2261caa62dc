"""Source and target features to weights of the source samples."""

from sklearn_transfer.weighting._kmm import KMM

__all__ = ["KMM"]
