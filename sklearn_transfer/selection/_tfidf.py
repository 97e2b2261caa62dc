"""Counts of words as a baseline for networks of texts."""

import time
import warnings

import numpy as np
from sklearn.base import _fit_context
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._modalities.contents import describe_sample
from sklearn_transfer._validation import check_feature_names_in, forget_fit
from sklearn_transfer.extraction import PretrainedTextFeatures
from sklearn_transfer.extraction._base import LayerFeatures

NAME = "tfidf"
_MOST_WORDS = 10_000  # columns of a dense matrix


class TfidfFeatures(PretrainedTextFeatures):
    """Frequencies of words, weighted by their rarity.

    It takes what PretrainedTextFeatures does, and learns its words from the texts of `fit`, at
    most the 10,000 most frequent, as scikit-learn's TfidfVectorizer does. It has the
    parameters of what it stands for, so that searches over them still run, and leaves all but
    `on_error` unused. Features are dense, so that the steps of a Pipeline that follow a
    network can follow.

    Attributes
    ----------
    vectorizer_ : TfidfVectorizer
        Fitted on the texts.
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the words of texts."""
        forget_fit(self)
        texts, is_usable = self._read_texts(X, reset=True)
        self.vectorizer_ = TfidfVectorizer(max_features=_MOST_WORDS, dtype=np.float32)
        self.vectorizer_.fit(texts[is_usable])
        return self

    def transform(self, X):
        """Weighted frequencies of the words in each text."""
        check_is_fitted(self, "vectorizer_")
        texts, is_usable = self._read_texts(X, reset=False)
        shape = len(texts), len(self.vectorizer_.vocabulary_)
        output = np.full(shape, np.nan, dtype=np.float32)
        if is_usable.any():
            output[is_usable] = self.vectorizer_.transform(texts[is_usable]).toarray()
        return output

    def _read_texts(self, X, reset):
        """Array of texts, and whether each can be used."""
        samples = self._check_samples(X, reset)
        is_usable = np.array([isinstance(sample, str) for sample in samples], dtype=bool)
        bad = np.flatnonzero(~is_usable)
        if len(bad) and self.on_error == "raise":
            row = bad[0]
            raise ValueError(
                f"row {row} ({describe_sample(samples[row])}): expected a string. Repair or"
                " drop it, or pass on_error='nan', which makes its row NaN."
            )
        if len(bad) and not reset:
            warnings.warn(
                f"{len(bad)} of {len(samples)} rows are no texts, and NaN",
                UserWarning,
                stacklevel=3,
            )
        texts = np.empty(len(samples), dtype=object)
        texts[:] = samples
        return texts, is_usable

    def _extract_layers(self, X, layers):
        start = time.perf_counter()
        features = self.fit(X).transform(X)
        error = ValueError("counts of words come with no classifier")
        found = [error if layer == "logits" else features for layer in layers]
        return LayerFeatures(found, len(features), time.perf_counter() - start, 0)

    def get_feature_names_out(self, input_features=None):
        """Names of the output features: "tfidf_" and the word."""
        check_is_fitted(self, "vectorizer_")
        check_feature_names_in(self, input_features)
        names = [f"{NAME}_{word}" for word in self.vectorizer_.get_feature_names_out()]
        return np.asarray(names, dtype=object)

    def _make_caption(self):
        return "TF-IDF of words"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags
