"""Fitted estimators elsewhere: in files, in services, in other programs, on many machines."""

from sklearn_transfer._public import publish_classes
from sklearn_transfer.export._batch_predictor import batch_predictor
from sklearn_transfer.export._module import to_module
from sklearn_transfer.export._onnx import to_onnx
from sklearn_transfer.export._trusted_types import get_trusted_types
from sklearn_transfer.export._untrusted import check_untrusted_samples

__all__ = [
    "batch_predictor",
    "check_untrusted_samples",
    "get_trusted_types",
    "to_module",
    "to_onnx",
]

# A FunctionTransformer of this function is part of served pipelines.
publish_classes(__name__, ("check_untrusted_samples",))
