"""Display of the training samples that are nearest to others."""

from importlib import import_module

import numpy as np
from sklearn.pipeline import Pipeline

from sklearn_transfer._validation import (
    _safe_indexing,
    column_or_1d,
    import_optional,
    shorten,
)
from sklearn_transfer.plotting._samples import draw_sample

_SIDE = 1.6  # inches of a sample


class NeighborsDisplay:
    """Training samples that are nearest to some others, in the space of their features.

    It shows what a prediction rests on: neighbors that look alike for the wrong reason, such
    as the same background, and copies or wrong labels in the training set. Create it with
    `from_estimator` or `from_features`.

    Parameters
    ----------
    samples : list
        Images or texts, one per row of the picture.
    neighbors : list of list
        For each of these, its neighbors, the nearest first.
    rows : ndarray of shape (n_samples, n_neighbors)
        Rows of the neighbors in the training set.
    similarity : ndarray of shape (n_samples, n_neighbors)
        Cosine of the features.
    labels : ndarray of shape (n_samples, n_neighbors), default=None
        Labels of the neighbors.
    predictions : ndarray of shape (n_samples,), default=None
        What a model says of the samples.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_samples, 1 + n_neighbors)
        Axes drawn on: a sample, then its neighbors.
    figure_ : Figure
        Figure of the axes.

    See Also
    --------
    OcclusionDisplay : Parts of an image that a prediction rests on.
    duplicate_groups : Copies in a data set.

    Notes
    -----
    Features are compared by their cosine after subtracting the mean of the training set,
    which all features of a network share. Neighbors show where a sample lies among others; a
    linear model does not decide by them.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn_transfer.plotting import NeighborsDisplay
    >>> images = load_sample_images().images
    >>> features = [[1.0, 0.0], [0.0, 1.0]]
    >>> display = NeighborsDisplay.from_features(
    ...     images, features, images[:1], [[0.9, 0.1]], y=["pagoda", "flower"], n_neighbors=1
    ... )
    >>> display.rows
    array([[0]])
    """

    def __init__(self, *, samples, neighbors, rows, similarity, labels=None, predictions=None):
        self.samples = samples
        self.neighbors = neighbors
        self.rows = rows
        self.similarity = similarity
        self.labels = labels
        self.predictions = predictions

    @classmethod
    def from_estimator(cls, estimator, X, X_new, *, y=None, n_neighbors=4):
        """Neighbors by the features of a fitted estimator.

        Parameters
        ----------
        estimator : object
            A fitted transformer, such as `PretrainedFeatures`, or a Pipeline. Of a Pipeline
            that ends in a model, features are those that the model is given, and its
            predictions are shown.
        X : sequence of n_samples samples
            Training samples: images, or texts.
        X_new : sequence of n_new samples
            Samples whose neighbors are shown; a few.
        y : array-like of shape (n_samples,), default=None
            Labels of the training samples.
        n_neighbors : int, default=4
            Neighbors of each.

        Returns
        -------
        display : NeighborsDisplay
        """
        predictions = None
        if isinstance(estimator, Pipeline) and hasattr(estimator, "predict"):
            predictions = estimator.predict(X_new)
            estimator = estimator[:-1]
        if not hasattr(estimator, "transform"):
            raise ValueError(
                f"estimator={shorten(estimator)} has no transform, which gives features: pass"
                " a transformer, or a Pipeline of one and a model"
            )
        features = [estimator.transform(samples) for samples in (X, X_new)]
        return cls.from_features(
            X,
            features[0],
            X_new,
            features[1],
            y=y,
            predictions=predictions,
            n_neighbors=n_neighbors,
        )

    @classmethod
    def from_features(
        cls, X, features, X_new, features_new, *, y=None, predictions=None, n_neighbors=4
    ):
        """Neighbors by features that were computed before.

        Parameters
        ----------
        X : sequence of n_samples samples
            Training samples: images, or texts.
        features : array-like of shape (n_samples, n_features)
            Their features.
        X_new : sequence of n_new samples
            Samples whose neighbors are shown; a few.
        features_new : array-like of shape (n_new, n_features)
            Their features.
        y : array-like of shape (n_samples,), default=None
            Labels of the training samples.
        predictions : array-like of shape (n_new,), default=None
            What a model says of the other samples.
        n_neighbors : int, default=4
            Neighbors of each.

        Returns
        -------
        display : NeighborsDisplay
        """
        features, others = (np.asarray(f, dtype=np.float64) for f in (features, features_new))
        if not 0 < n_neighbors <= len(features):
            raise ValueError(
                f"n_neighbors={n_neighbors}, and there are {len(features)} training samples:"
                f" give a number from 1 to {len(features)}"
            )
        center = features.mean(axis=0)
        cosines = _scale_rows(others - center) @ _scale_rows(features - center).T
        rows = np.argsort(-cosines, axis=1, kind="stable")[:, :n_neighbors]
        return cls(
            samples=_take(X_new, range(len(others))),
            neighbors=[_take(X, near) for near in rows],
            rows=rows,
            similarity=np.take_along_axis(cosines, rows, axis=1),
            labels=None if y is None else column_or_1d(y)[rows],
            predictions=None if predictions is None else np.asarray(predictions),
        ).plot()

    def plot(self):
        """Draw a row of axes for each sample, on a new figure.

        Returns
        -------
        display : NeighborsDisplay
        """
        import_optional("matplotlib", "plot", "NeighborsDisplay.plot")
        pyplot = import_module("matplotlib.pyplot")
        n_rows, n_columns = len(self.samples), 1 + self.rows.shape[1]
        self.figure_, self.axes_ = pyplot.subplots(
            n_rows,
            n_columns,
            figsize=(_SIDE * n_columns, (_SIDE + 0.4) * n_rows),
            layout="constrained",
            squeeze=False,
        )
        for row, axes in enumerate(self.axes_):
            draw_sample(axes[0], self.samples[row])
            said = "" if self.predictions is None else f"\n{self.predictions[row]}"
            axes[0].set_title(f"sample {row}{said}", fontsize=8, fontweight="bold")
            for place, ax in enumerate(axes[1:]):
                draw_sample(ax, self.neighbors[row][place])
                ax.set_title(self._describe(row, place), fontsize=8)
        return self

    def _describe(self, row, place):
        label = "" if self.labels is None else f"\n{self.labels[row, place]}"
        return f"row {self.rows[row, place]} ({self.similarity[row, place]:.2f}){label}"


def _scale_rows(matrix):
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)


def _take(X, rows):
    """Samples of any container, a column of a table included, as a list."""
    if hasattr(X, "iloc"):
        return [np.ravel(X.iloc[int(row)])[0] for row in rows]
    return [_safe_indexing(X, [int(row)])[0] for row in rows]
