"""Raw samples to predictions by training a network."""

from sklearn_transfer.finetuning._estimators import FineTunedClassifier, FineTunedRegressor

__all__ = ["FineTunedClassifier", "FineTunedRegressor"]
