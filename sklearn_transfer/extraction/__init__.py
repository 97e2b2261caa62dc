"""Raw samples to feature matrices; pretrained weights never change here."""

from sklearn_transfer.extraction._features import PretrainedFeatures

__all__ = ["PretrainedFeatures"]
