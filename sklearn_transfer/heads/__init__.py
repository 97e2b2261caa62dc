"""Classifiers of features for classes with few samples, or none."""

from sklearn_transfer._public import publish_classes
from sklearn_transfer.heads._episodes import episodes
from sklearn_transfer.heads._prototypes import PrototypeClassifier
from sklearn_transfer.heads._zero_shot import ZeroShotClassifier

__all__ = ["PrototypeClassifier", "ZeroShotClassifier", "episodes"]

publish_classes(__name__)
