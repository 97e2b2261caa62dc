"""Features of one column of images, texts or sounds, as a few components of common scale."""

from contextlib import contextmanager, nullcontext

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._callbacks import NO_TASK
from sklearn_transfer._modalities.samples import name_rows
from sklearn_transfer._validation import shorten
from sklearn_transfer.columns._frames import is_null, list_values, split_columns
from sklearn_transfer.columns._plain import write_category


class EmbeddedColumn(TransformerMixin, BaseEstimator):
    """Principal components of the features of one column.

    Missing entries never reach the extractor. Their components, and those of samples for which
    it returns NaN, are the mean of the others, which is 0. A further column marks these rows,
    if there were any in `fit`.

    Parameters
    ----------
    extractor : estimator
        Turns a list of samples into a matrix.
    n_components : int or None, default=30
        Largest number of components. None keeps all features.
    column : str or int, default=None
        What messages call the column.
    entries : {"samples", "texts", "categories"}, default="samples"
        What the extractor gets: entries as they are; those that are no strings, such as
        numbers, as text; or the words by which categories are known.
    task : Task or None, default=None
        The fit of the whole table, of which that of the extractor is a subtask.

    Attributes
    ----------
    extractor_ : estimator
        Fitted clone of the extractor.
    pca_ : PCA or None
        Fitted on rows that are present. None if these are all the same.
    mean_ : ndarray of shape (n_extracted,)
        Their mean.
    scale_ : float
        Square root of the total variance of the components, by which all are divided.
    has_missing_ : bool
        Whether there is a column that marks missing rows.
    """

    def __init__(self, extractor, n_components=30, column=None, entries="samples", task=None):
        self.extractor = extractor
        self.n_components = n_components
        self.column = column
        self.entries = entries
        self.task = task

    def fit(self, X, y=None):
        """Fit the extractor and the components."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X, y=None):
        """Fit, and return the components of each row."""
        samples = self._list_samples(X)
        rows = _find_present(samples)
        self.extractor_ = clone(self.extractor)
        features, is_usable = None, np.zeros(0, dtype=bool)
        if len(rows):
            given = None if y is None else _safe_indexing(y, rows)
            chosen = [samples[row] for row in rows]
            task = NO_TASK if self.task is None else self.task
            opened = task.open(f"fit-transform-{self.column}", inner=self.extractor_)
            with self._name_entries(rows), opened:
                features = self.extractor_.fit_transform(chosen, given)
            features, is_usable = _find_usable(features)
            if not is_usable.any():
                name = shorten(self.column, 60)
                raise ValueError(
                    f"None of the {len(rows)} entries of column {name} can be used; repair"
                    f" them, or pass specific_transformers=[('drop', [{name}])]"
                )
            features = features[is_usable]
        self.has_missing_ = np.count_nonzero(is_usable) < len(samples)
        self._fit_components(features)
        return self._place(features, rows[is_usable], len(samples))

    def transform(self, X):
        """Return the components of each row."""
        check_is_fitted(self)
        samples = self._list_samples(X)
        rows = _find_present(samples)
        if not len(rows):
            return self._place(None, rows, len(samples))
        with self._name_entries(rows):
            features = self.extractor_.transform([samples[row] for row in rows])
        features, is_usable = _find_usable(features)
        return self._place(features[is_usable], rows[is_usable], len(samples))

    def _list_samples(self, X):
        (column,) = split_columns(X)
        return [_ENTRIES[self.entries](value) for value in list_values(column)]

    @contextmanager
    def _name_entries(self, rows):
        """Context in which errors, and messages about rows, name the column."""
        # Others may pass on their samples in another order, or in parts.
        learns_nothing = not get_tags(self.extractor_).requires_fit
        try:
            with name_rows(rows, self.column) if learns_nothing else nullcontext():
                yield
        except Exception as error:
            error.add_note(f"while computing features of column {shorten(self.column, 60)}")
            raise

    def _fit_components(self, features):
        self.pca_, self.mean_, self.scale_, self._n_kept = None, None, 1.0, 0
        if features is None or features.shape[0] < 2:
            return
        n_rows, width = features.shape
        if not _has_variation(features):
            return
        most = min(n_rows - 1, width)
        # Without components, the mean alone is needed.
        n = 1 if self.n_components is None else min(self.n_components, most)
        self._n_kept = width if self.n_components is None else n
        if issparse(features) and n >= min(features.shape):
            features = features.toarray()
        self.pca_ = PCA(n, random_state=0).fit(features)
        self.mean_ = self.pca_.mean_
        variance = self.pca_.explained_variance_.sum()
        if self.n_components is None:
            variance = _compute_total_variance(features, self.mean_)
        self.scale_ = float(np.sqrt(variance)) if variance > 0 else 1.0

    def _place(self, features, rows, n_rows):
        """Return components at the rows that are present, and marks of the others."""
        output = np.zeros((n_rows, self._n_kept + self.has_missing_), dtype=np.float32)
        if self.pca_ is not None and len(rows):
            if self.n_components is not None:
                values = self.pca_.transform(features)
            else:
                values = features.toarray() if issparse(features) else features
                values = values - self.mean_
            output[rows, : self._n_kept] = values / self.scale_
        if self.has_missing_:
            output[:, -1] = 1
            output[rows, -1] = 0
        return output

    def get_feature_names_out(self, input_features=None):
        """Return the name of the column with numbers, and with "missing"."""
        check_is_fitted(self)
        name = self.column if input_features is None else input_features[0]
        names = [f"{name}_{i}" for i in range(self._n_kept)]
        names += [f"{name}_missing"] if self.has_missing_ else []
        return np.asarray(names, dtype=object)


@contextmanager
def attach_task(transformer, task):
    """Context in which extractors of a ColumnTransformer tell a task of their fits."""
    _set_tasks(transformer.transformers, task)
    try:
        yield
    finally:
        _set_tasks(transformer.transformers, None)
        _set_tasks(getattr(transformer, "transformers_", ()), None)


def _set_tasks(steps, task):
    for _, step, _ in steps:
        if isinstance(step, EmbeddedColumn):
            step.set_params(task=task)


def count_extractors(steps):
    """Number of extractors among the steps of a ColumnTransformer."""
    return sum(isinstance(step, EmbeddedColumn) for _, step, _ in steps)


def _find_present(samples):
    return np.flatnonzero([sample is not None for sample in samples])


def _find_usable(features):
    """Return features as an array or a sparse matrix, and which rows have no NaN."""
    if issparse(features):
        return features.tocsr(), np.ones(features.shape[0], dtype=bool)
    features = np.asarray(features)
    features = features.reshape(len(features), -1)
    return features, ~np.isnan(features).any(axis=1)


def _has_variation(features):
    """Whether any feature differs between rows; a sparse matrix stays sparse."""
    smallest, largest = features.min(axis=0), features.max(axis=0)
    if issparse(features):
        return (largest != smallest).nnz > 0
    return bool(np.any(largest != smallest))


def _compute_total_variance(features, mean):
    """Return the sum of the variances of all features."""
    if not issparse(features):
        return float(features.var(axis=0, ddof=1, dtype=np.float64).sum())
    n, squares = features.shape[0], features.astype(np.float64).power(2).sum()
    return float(squares - n * np.sum(np.square(mean, dtype=np.float64))) / (n - 1)


def _take_sample(value):
    return None if is_null(value) else value


def _write_text(value):
    if is_null(value):
        return None
    return value if isinstance(value, (str, bytes)) else str(value)


_ENTRIES = {"samples": _take_sample, "texts": _write_text, "categories": write_category}
