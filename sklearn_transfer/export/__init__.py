"""Fitted estimators outside of Python: ONNX files, and modules for other converters."""

from sklearn_transfer.export._module import to_module
from sklearn_transfer.export._onnx import to_onnx

__all__ = ["to_module", "to_onnx"]
