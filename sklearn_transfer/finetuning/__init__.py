"""Raw samples to predictions by training a network."""

from sklearn_transfer.finetuning._classifier import FineTunedClassifier
from sklearn_transfer.finetuning._regressor import FineTunedRegressor

__all__ = ["FineTunedClassifier", "FineTunedRegressor"]
