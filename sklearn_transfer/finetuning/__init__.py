"""Raw samples to predictions, by training a network."""

__all__ = []
