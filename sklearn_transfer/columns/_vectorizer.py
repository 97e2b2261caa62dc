"""Tables with columns of any kind to one table of numbers."""

from collections import Counter
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.compose import ColumnTransformer
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._validation import (
    check_feature_names_in,
    format_list,
    make_parallel_block,
    shorten,
    suggest_near,
)
from sklearn_transfer.columns._decisions import decide_column
from sklearn_transfer.columns._frames import (
    as_table,
    is_frame,
    list_names,
    make_unique,
    replace_names,
    take_column,
)
from sklearn_transfer.columns._kinds import KINDS, Column, Decision, Doubt
from sklearn_transfer.columns._steps import MODALITIES, Steps, make_default

_TRANSFORMER = [HasMethods(["fit", "transform"]), StrOptions({"drop"}), None]
_MOST_LISTED = 8


class MultimodalVectorizer(
    TransformerMixin, TakesCallbacks, LinksToDocumentation, BaseEstimator
):
    """Features of a table whose columns hold images, texts, sounds, numbers and words.

    The first step of a pipeline for a DataFrame as it is: it decides at `fit` what each column
    holds, sends images, texts and sounds through pretrained networks, encodes numbers,
    categories and dates, and puts everything side by side on a common scale. A column that can
    be taken in several ways raises an error that says what to pass. `columns_` and the diagram
    say what was decided, and why.

    Parameters
    ----------
    image : estimator, "drop" or None, default=None
        Turns images into features. None is `PretrainedFeatures(on_error="nan")`, for which an
        image that cannot be read counts as missing, with a warning. Parameters of the default
        can be set, too, such as `image__layers`. "drop" leaves out all columns of this kind.
        `FineTunedFeatures` suits as well: it gets y, and rows of `fit_transform` are not those
        of `transform`.
    text : estimator, "drop" or None, default=None
        Turns texts into features, for instance `TfidfVectorizer()`. None is
        `PretrainedTextFeatures(on_error="nan")`.
    audio : estimator, "drop" or None, default=None
        Turns sounds into features. None is `PretrainedAudioFeatures(on_error="nan")`.
    numeric : transformer, "drop", "passthrough" or None, default=None
        Applied to all columns of numbers together, as float64 with NaN for missing entries,
        which "passthrough" leaves as they are, for instance for gradient boosting. None
        standardizes them and puts the mean in the place of missing ones, which are marked
        by further columns.
    categorical : transformer, "drop" or None, default=None
        Applied to all columns of categories together, as strings with "missing" for missing
        entries. None encodes up to 40 categories by one column each, which are all 0 for a
        category that `fit` did not see, and more of them by components of the n-grams of their
        letters, so that similar spellings have similar features.
    specific_transformers : list of (transformer, columns), default=()
        What is done with particular columns, in place of any decision. `columns` is a list of
        names, or of positions. `transformer` is the kind of the columns ("image", "text",
        "audio", "numeric", "categorical" or "datetime"), "drop", "passthrough", or a
        transformer, which gets all these columns as a table. One of skrub for single columns
        is applied to each, and so is one that takes a list of texts, such as
        `TfidfVectorizer()`, as `text` would be.
    n_components : int or None, default=30
        Largest number of principal components of each column of images, texts or sounds, and
        of n-grams. None keeps all features.

    Attributes
    ----------
    columns_ : list of Column
        For each column of X its `name`, its `kind` and the `reason`; `pandas.DataFrame` makes
        a table of it.
    transformer_ : ColumnTransformer
        The transformers, fitted.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if all are strings.

    See Also
    --------
    make_multimodal_pipeline : This and an estimator in one line.
    FineTunedFeatures : Features that know the target, for `image`, `text` or `audio`.
    sklearn.compose.ColumnTransformer : The same with columns chosen by hand.

    Notes
    -----
    Kinds are decided from dtypes and entries:

    - "image" and "audio": more than half of 20 entries, evenly spread over the column, are
      files, bytes or `data:` URIs of this kind, by their first bytes, PIL images, arrays
      (height, width) or (height, width, channels) of uint8, uint16 or floats from 0 to 1, or
      pairs (waveform, sampling_rate). No other files are opened for the decision. Paths are
      relative to the current folder.
    - "numeric": numbers, bools, durations (in seconds), and texts that are all numbers.
    - "datetime": dates, and texts that are all dates in one of the usual layouts. Their parts
      are the year, month, day, weekday, hour, minute and second, as far as they vary, and the
      seconds since 1970, in UTC.
    - "text": strings of three words or more on average, unless they are at most 40 different
      ones that repeat.
    - "categorical": other strings, and dtypes of categories.
    - "drop": columns without an entry, random identifiers (UUIDs and digests), and distinct
      whole numbers in a column that is named like an identifier.

    Strings such as "N/A" and "" count as missing, but "NA" and "none" are categories among
    others, such as countries. These are asked about: codes that are nearly all different,
    whole numbers that may count the rows, or that the name of the column calls identifiers or
    codes, such as "customer_id" and "zip", dates whose day and month cannot be told apart or
    that are written in several ways, numbers with units or with other entries among them,
    digits with leading zeros, addresses on the web (nothing is downloaded), paths that lead
    nowhere or to other files, and columns of mixed types. All columns of an array of numbers
    are "numeric".

    Kinds and features stay as they are after `fit`: in `transform`, an entry that is no number
    in a column of numbers counts as missing, with a warning. In cross-validation each fold
    decides anew, from its training rows; `specific_transformers` fixes the kind of a column.

    For each column of images, texts or sounds, and of n-grams, principal components are fitted
    to the rows that are present. They are divided by the square root of their total variance
    (block scaling), so that in distances such a column counts as much as one standardized
    number. Missing rows are 0, which is the mean of the others, and a further column marks
    them where there were any in `fit`. Components lose what varies little: where rows are
    many, a larger `n_components` may predict better.

    Features of the networks are cached, so that folds, clones and searches send each sample
    through the network once.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_transfer import MultimodalVectorizer
    >>> colors = ["red", "red", "blue", "blue"]
    >>> dates = ["2024-01-31", "2024-02-29", "2024-05-31", None]
    >>> table = pd.DataFrame({"width": [1, 5, None, 3], "color": colors, "sold": dates})
    >>> vectorizer = MultimodalVectorizer().fit(table)
    >>> [column.kind for column in vectorizer.columns_]
    ['numeric', 'categorical', 'datetime']
    >>> vectorizer.get_feature_names_out()[:4].tolist()
    ['width', 'width_missing', 'color_blue', 'color_red']
    """

    _parameter_constraints: dict = {
        "image": _TRANSFORMER,
        "text": _TRANSFORMER,
        "audio": _TRANSFORMER,
        "numeric": [
            HasMethods(["fit", "transform"]),
            StrOptions({"drop", "passthrough"}),
            None,
        ],
        "categorical": _TRANSFORMER,
        "specific_transformers": [list, tuple],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        *,
        image=None,
        text=None,
        audio=None,
        numeric=None,
        categorical=None,
        specific_transformers=(),
        n_components=30,
    ):
        self.image = image
        self.text = text
        self.audio = audio
        self.numeric = numeric
        self.categorical = categorical
        self.specific_transformers = specific_transformers
        self.n_components = n_components

    def get_params(self, deep=True):
        """Get parameters, with those of default extractors.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include parameters of extractors, also where None stands for a default
            one, such as `image__layers`.

        Returns
        -------
        params : dict
            Names and values.
        """
        params = super().get_params(deep=deep)
        if deep:
            for modality in MODALITIES:
                if getattr(self, modality) is None:
                    nested = make_default(modality).get_params()
                    params.update({f"{modality}__{name}": nested[name] for name in nested})
        return params

    def set_params(self, **params):
        """Set parameters; those of a default extractor put it in the place of None.

        Parameters
        ----------
        **params : dict
            Parameters by name, such as `image__layers="deep"`.

        Returns
        -------
        self : object
            The vectorizer.
        """
        for modality in MODALITIES:
            start = f"{modality}__"
            nested = {name for name in params if name.startswith(start)}
            if not nested or params.get(modality, getattr(self, modality)) is not None:
                continue
            given = {name.removeprefix(start): params.pop(name) for name in nested}
            extractor = make_default(modality).set_params(**given)
            # What `get_params` returned leaves None as it was.
            if repr(extractor) != repr(make_default(modality)):
                params[modality] = extractor
        return super().set_params(**params)

    def fit(self, X, y=None):
        """Decide what each column holds, and fit the transformers.

        Parameters
        ----------
        X : table of shape (n_samples, n_columns)
            DataFrame of pandas or polars, table of pyarrow, or array.
        y : array-like of shape (n_samples,), default=None
            Targets, for transformers that use them.

        Returns
        -------
        self : object
            Fitted.
        """
        self.fit_transform(X, y)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X, y=None):
        """Fit, and return the features of each row.

        Parameters
        ----------
        X : table of shape (n_samples, n_columns)
            DataFrame of pandas or polars, table of pyarrow, or array.
        y : array-like of shape (n_samples,), default=None
            Targets, for transformers that use them.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features)
            One row per sample.

        Raises
        ------
        ValueError
            If a column can be taken in several ways. The message lists all such columns, and
            what to pass for each.
        """
        X, labels, names = self._label_columns(X, reset=True)
        specific, kinds = self._read_specific(names)
        decisions = self._decide(X, names, specific, kinds)
        steps = Steps(self, X, labels).build(decisions, specific)
        if not steps:
            raise ValueError(
                f"No column of X is left to be used: {self._explain_drops(names, decisions)}"
            )
        self.transformer_ = ColumnTransformer(steps, sparse_threshold=0)
        self.transformer_.set_output(transform="default")
        output = self.transformer_.fit_transform(X, y)
        self.columns_ = [
            Column(name, decision.kind, decision.reason)
            for name, decision in zip(names, decisions, strict=True)
        ]
        self._records = dict(zip(labels, self.columns_, strict=True))
        return output

    def transform(self, X):
        """Return the features of each row; kinds and widths are those of `fit`.

        Parameters
        ----------
        X : table of shape (n_samples, n_columns)
            With the same columns as in `fit`.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features)
            One row per sample.
        """
        check_is_fitted(self)
        X, _, _ = self._label_columns(X, reset=False)
        return self.transformer_.transform(X)

    def _label_columns(self, X, reset):
        """Return a table with distinct strings as names, these, and the names it had."""
        X = as_table(X)
        names = list_names(X)
        labels = make_unique(names) if is_frame(X) else names
        renamed = replace_names(X, labels)
        # scikit-learn ignores names that are no strings, and does not take those that repeat.
        checked = X if len(set(names)) == len(names) else renamed
        validate_data(self, checked, skip_check_array=True, reset=reset)
        if reset:
            self._labels = labels if is_frame(X) else []
        elif is_frame(X) and not hasattr(self, "feature_names_in_"):
            _check_labels(labels, self._labels)
        return renamed, labels, names

    def get_feature_names_out(self, input_features=None):
        """Names of the features: the column with a number, a category or a part of a date.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the names seen in `fit`.

        Returns
        -------
        names : ndarray of str objects of shape (n_features,)
            Such as "photo_0", "age" or "color_red".
        """
        check_is_fitted(self)
        given = check_feature_names_in(self, input_features)
        has_names = hasattr(self.transformer_, "feature_names_in_")
        full = self.transformer_.get_feature_names_out(None if has_names else given)
        short = [name.partition("__")[2] for name in full]
        counts = Counter(short)
        names = [s if counts[s] == 1 else f for s, f in zip(short, full, strict=True)]
        return np.asarray(make_unique(names), dtype=object)

    def _read_specific(self, names):
        """Return pairs of a transformer and positions, and positions with a given kind."""
        pairs, kinds, taken = [], {}, {}
        for number, pair in enumerate(self.specific_transformers):
            if (
                not isinstance(pair, (tuple, list))
                or len(pair) != 2
                or isinstance(pair[1], str)
            ):
                raise ValueError(
                    f"specific_transformers has {shorten(pair)} at index {number}, expected a"
                    " pair of a transformer, or a kind, and a list of columns"
                )
            transformer, columns = pair
            positions = [place for column in columns for place in _find_places(column, names)]
            for place in positions:
                if place in taken:
                    raise ValueError(
                        f"specific_transformers names column {shorten(names[place], 60)} at"
                        f" the indices {taken[place]} and {number}; name it once"
                    )
                taken[place] = number
            if isinstance(transformer, str) and transformer != "passthrough":
                _check_kind(transformer)
                kinds.update(dict.fromkeys(positions, transformer))
            else:
                pairs.append((transformer, positions))
        return pairs, kinds

    def _decide(self, X, names, specific, kinds):
        """Return a decision about each column; raises ValueError where there are doubts."""
        taken = {place for _, positions in specific for place in positions}
        is_plain = not is_frame(X) and X.dtype.kind in "fiub"
        decisions, doubts = [], []
        for place, name in enumerate(names):
            if place in kinds:
                found = Decision(kinds[place], "as specific_transformers says")
            elif place in taken:
                found = Decision("specific", "as specific_transformers says")
            elif is_plain:
                found = Decision("numeric", f"{X.dtype}")
            else:
                found = decide_column(take_column(X, place), name)
            decisions.append(found)
            doubts += [(name, found)] if isinstance(found, Doubt) else []
        if doubts:
            raise ValueError(_describe_doubts(doubts))
        return decisions

    def _explain_drops(self, names, decisions):
        reasons = [
            f"{shorten(n, 60)} ({d.reason})" for n, d in zip(names, decisions, strict=True)
        ]
        more = len(reasons) - _MOST_LISTED
        listed = ", ".join(reasons[:_MOST_LISTED])
        return f"{listed} and {more} more" if more > 0 else listed

    def _sk_visual_block_(self):
        """Diagram: what each kind of column goes through, and after `fit` which columns."""
        if not hasattr(self, "transformer_"):
            parts = {
                name: getattr(self, name) for name in (*MODALITIES, "numeric", "categorical")
            }
            parts = {
                name: make_default(name) if part is None and name in MODALITIES else part
                for name, part in parts.items()
            }
            parts = {name: part for name, part in parts.items() if part is not None}
            return make_parallel_block(parts, dict.fromkeys(parts, ""))
        steps, details = {}, {}
        for name, step, columns in self.transformer_.transformers_:
            if name != "remainder":
                steps[name] = step
                columns = [columns] if np.isscalar(columns) else columns
                details[name] = "; ".join(str(self._records[column]) for column in columns)
        dropped = [str(column) for column in self.columns_ if column.kind == "drop"]
        if dropped:
            steps["drop"], details["drop"] = "drop", "; ".join(dropped)
        return make_parallel_block(steps, details)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _check_labels(labels, expected):
    """Raise where columns of names that are no strings differ, which scikit-learn ignores."""
    for place, (label, name) in enumerate(zip(labels, expected, strict=False)):
        if label != name:
            raise ValueError(
                f"X has column {shorten(label, 60)} at position {place}, where fit had"
                f" {shorten(name, 60)}: give the columns of fit, in the same order"
            )


def _find_places(column, names):
    """Return the positions of a column of specific_transformers, by name or by position."""
    places = [place for place, name in enumerate(names) if name == column]
    if not places and isinstance(column, Integral) and 0 <= column < len(names):
        places = [int(column)]
    if not places:
        raise ValueError(
            f"specific_transformers names column {shorten(column, 60)}, but X has the columns"
            f" {format_list(names)}{suggest_near(column, names)}"
        )
    return places


def _check_kind(kind):
    if kind not in KINDS:
        raise ValueError(
            f"specific_transformers has {shorten(kind, 60)}, expected a transformer,"
            f" 'passthrough' or one of {format_list(KINDS)}{suggest_near(kind, KINDS)}"
        )


def _describe_doubts(doubts):
    """Return one message about all columns that can be taken in several ways."""
    lines = []
    for name, doubt in doubts[:_MOST_LISTED]:
        ways = " or ".join(f"({kind!r}, [{shorten(name, 60)}])" for kind in doubt.kinds)
        lines.append(f"column {shorten(name, 60)} {doubt.reason}: {ways}")
    more = len(doubts) - _MOST_LISTED
    lines += [f"and {more} more"] if more > 0 else []
    return (
        f"{len(doubts)} of the columns can be taken in several ways; choose by"
        f" specific_transformers=[...] with one of the pairs named: {'; '.join(lines)}"
    )
