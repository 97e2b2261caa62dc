"""Fitted estimators elsewhere: in files, in services and in other programs."""

from sklearn_transfer._cards import make_model_card
from sklearn_transfer._public import publish_classes
from sklearn_transfer.export._trusted_types import get_trusted_types
from sklearn_transfer.export._untrusted import check_untrusted_samples

__all__ = ["check_untrusted_samples", "get_trusted_types", "make_model_card"]

# A FunctionTransformer of this function is part of served pipelines.
publish_classes(__name__, ("check_untrusted_samples",))
