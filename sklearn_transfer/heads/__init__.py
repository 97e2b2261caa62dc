"""Features to predictions where a class has few samples."""

from sklearn_transfer.heads._episodes import episodes
from sklearn_transfer.heads._prototypes import PrototypeClassifier

__all__ = ["PrototypeClassifier", "episodes"]
