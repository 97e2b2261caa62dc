"""Fitted estimators elsewhere: in other programs, and on many machines."""

from sklearn_transfer.export._batch_predictor import batch_predictor

__all__ = ["batch_predictor"]
