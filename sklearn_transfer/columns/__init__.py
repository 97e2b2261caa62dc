"""Tables whose columns hold numbers, words, dates, texts, images and sounds."""

from sklearn_transfer.columns._pipeline import make_multimodal_pipeline
from sklearn_transfer.columns._vectorizer import MultimodalVectorizer

__all__ = ["MultimodalVectorizer", "make_multimodal_pipeline"]
