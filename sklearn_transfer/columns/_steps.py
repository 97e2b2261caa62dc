"""Transformers of columns, as steps of a ColumnTransformer."""

from collections import Counter

import numpy as np
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import get_tags

from sklearn_transfer.columns._blocks import EmbeddedColumn
from sklearn_transfer.columns._frames import is_null_category, list_values, take_column
from sklearn_transfer.columns._kinds import MOST_CATEGORIES
from sklearn_transfer.columns._plain import (
    AsNumbers,
    AsWords,
    DateParts,
    FillMissing,
    NumberScaler,
)

MODALITIES = ("image", "text", "audio")
_EXTRACTORS = {
    "image": "PretrainedFeatures",
    "text": "PretrainedTextFeatures",
    "audio": "PretrainedAudioFeatures",
}
_FEW = 10


def make_default(modality):
    """Return the default extractor of a modality; a broken sample is a missing one."""
    from sklearn_transfer import extraction

    return getattr(extraction, _EXTRACTORS[modality])(on_error="nan")


def has_few_categories(column):
    """Whether a column of categories is encoded by one column for each of them."""
    values = [value for value in list_values(column) if not is_null_category(value)]
    n = len(set(map(str, values)))
    return n <= min(MOST_CATEGORIES, max(0.5 * len(values), _FEW))


class Steps:
    """Steps of a ColumnTransformer.

    Parameters
    ----------
    vectorizer : MultimodalVectorizer
        Has the transformers as parameters.
    X : table
        The columns.
    labels : list of str or int
        How a ColumnTransformer finds the columns.
    """

    def __init__(self, vectorizer, X, labels):
        self.vectorizer, self.X, self.labels = vectorizer, X, labels
        self.steps, self.names = [], Counter()

    def build(self, decisions, specific):
        """Return triples of a name, a transformer and columns, for decisions by column."""
        places = {}
        for place, decision in enumerate(decisions):
            places.setdefault(decision.kind, []).append(place)
        for modality in MODALITIES:
            self._add_embedded(modality, places.get(modality, []))
        if "numeric" in places:
            self._add_numeric(places["numeric"])
        if "categorical" in places:
            self._add_categorical(places["categorical"])
        if "datetime" in places:
            found = places["datetime"]
            layouts = [decisions[place].layout for place in found]
            dates = DateParts(self._label(found), layouts)
            self._add("datetime", make_pipeline(dates, NumberScaler(), FillMissing()), found)
        for transformer, found in specific:
            self._add_given("specific", transformer, found)
        return self.steps

    def _label(self, places):
        return [self.labels[place] for place in places]

    def _add(self, kind, transformer, columns):
        self.names[kind] += 1
        name = kind if self.names[kind] == 1 else f"{kind}_{self.names[kind]}"
        self.steps.append((name, transformer, self._label(columns)))

    def _add_embedded(self, modality, places):
        extractor = getattr(self.vectorizer, modality)
        if not places or _is_drop(extractor):
            return
        extractor = make_default(modality) if extractor is None else extractor
        entries = "texts" if modality == "text" else "samples"
        for place in places:
            self._add(modality, self._embed(extractor, place, entries), [place])

    def _embed(self, extractor, place, entries):
        options = {"n_components": self.vectorizer.n_components, "column": self.labels[place]}
        return EmbeddedColumn(extractor, entries=entries, **options)

    def _add_numeric(self, places):
        given = self.vectorizer.numeric
        numbers = AsNumbers(self._label(places))
        if given is None:
            self._add("numeric", make_pipeline(numbers, NumberScaler(), FillMissing()), places)
        elif isinstance(given, str) and given == "passthrough":
            self._add("numeric", numbers, places)
        elif not _is_drop(given):
            self._add_given("numeric", given, places, numbers)

    def _add_categorical(self, places):
        given = self.vectorizer.categorical
        if given is not None:
            if not _is_drop(given):
                self._add_given("categorical", given, places, AsWords())
            return
        few = [p for p in places if has_few_categories(take_column(self.X, p))]
        if few:
            encoder = OneHotEncoder(
                handle_unknown="ignore", sparse_output=False, dtype=np.float32
            )
            self._add("categorical", make_pipeline(AsWords(), encoder), few)
        for place in [place for place in places if place not in few]:
            grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4))
            self._add("ngrams", self._embed(grams, place, "categories"), [place])

    def _add_given(self, kind, transformer, places, before=None):
        """Add a user's transformer; those of skrub for one column get one each."""
        if getattr(transformer, "__single_column_transformer__", False):
            for place in places:
                self._add(kind, clone(transformer), [place])
                name, step, (label,) = self.steps[-1]
                self.steps[-1] = (name, step, label)
        elif _takes_list(transformer):
            for place in places:
                self._add(kind, self._embed(transformer, place, "texts"), [place])
        elif before is None or transformer == "passthrough":
            self._add(kind, transformer, places)
        else:
            self._add(kind, make_pipeline(before, clone(transformer)), places)


def _takes_list(transformer):
    """Whether a transformer takes a list of texts in place of a table, as TfidfVectorizer."""
    if isinstance(transformer, str) or hasattr(transformer, "set_output"):
        return False
    tags = get_tags(transformer).input_tags
    return tags.string and not tags.two_d_array


def _is_drop(transformer):
    return isinstance(transformer, str) and transformer == "drop"
