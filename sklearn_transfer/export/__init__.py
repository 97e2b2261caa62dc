"""Fitted estimators outside of Python: ONNX files, and modules for other converters."""

from sklearn_transfer.export._to_module import to_module
from sklearn_transfer.export._to_onnx import to_onnx

__all__ = ["to_module", "to_onnx"]
