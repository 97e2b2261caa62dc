"""Fitted estimators elsewhere: in ONNX files, in other programs, and on many machines."""

from sklearn_transfer.export._batch_predictor import batch_predictor
from sklearn_transfer.export._module import to_module
from sklearn_transfer.export._onnx import to_onnx

__all__ = ["batch_predictor", "to_module", "to_onnx"]
