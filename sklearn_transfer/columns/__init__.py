"""Tables whose columns hold numbers, words, dates, texts, images and sounds."""

from sklearn_transfer._public import publish_classes
from sklearn_transfer.columns._blocks import EmbeddedColumn as EmbeddedColumn
from sklearn_transfer.columns._kinds import Column as Column
from sklearn_transfer.columns._pipeline import make_multimodal_pipeline
from sklearn_transfer.columns._plain import AsNumbers as AsNumbers
from sklearn_transfer.columns._plain import AsWords as AsWords
from sklearn_transfer.columns._plain import DateParts as DateParts
from sklearn_transfer.columns._plain import FillMissing as FillMissing
from sklearn_transfer.columns._plain import NumberScaler as NumberScaler
from sklearn_transfer.columns._vectorizer import MultimodalVectorizer

__all__ = ["MultimodalVectorizer", "make_multimodal_pipeline"]

# Steps of fitted vectorizers, which files of these name.
_STEPS = ("AsNumbers", "AsWords", "Column", "DateParts", "EmbeddedColumn", "FillMissing")
_STEPS += ("NumberScaler",)

publish_classes(__name__, _STEPS)
