"""Pictures of domains and weights; matplotlib is imported when one is drawn."""

from sklearn_transfer.plotting._domains import DomainDisplay
from sklearn_transfer.plotting._weights import WeightsDisplay

__all__ = ["DomainDisplay", "WeightsDisplay"]
