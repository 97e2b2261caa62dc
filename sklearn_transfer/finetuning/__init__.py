"""Raw samples to predictions, or to features, by training a network."""

from sklearn_transfer._public import publish_classes
from sklearn_transfer.finetuning._classifier import FineTunedClassifier
from sklearn_transfer.finetuning._features import FineTunedFeatures
from sklearn_transfer.finetuning._regressor import FineTunedRegressor
from sklearn_transfer.finetuning._self_taught import AutoencoderFeatures

__all__ = [
    "AutoencoderFeatures",
    "FineTunedClassifier",
    "FineTunedFeatures",
    "FineTunedRegressor",
]

publish_classes(__name__)
