"""Raw samples to feature matrices; pretrained weights never change here."""

from sklearn_transfer._public import publish_classes
from sklearn_transfer.extraction._audio import PretrainedAudioFeatures
from sklearn_transfer.extraction._conse import ConSE
from sklearn_transfer.extraction._features import PretrainedFeatures
from sklearn_transfer.extraction._text import PretrainedTextFeatures

__all__ = ["ConSE", "PretrainedAudioFeatures", "PretrainedFeatures", "PretrainedTextFeatures"]

publish_classes(__name__)
