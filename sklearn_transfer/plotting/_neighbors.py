"""Display of the training samples that are nearest to others."""

from importlib import import_module
from numbers import Integral

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length

from sklearn_transfer._sample_kinds import find_kind
from sklearn_transfer._validation import column_or_1d, import_optional, shorten
from sklearn_transfer.plotting._cosines import compute_cosines
from sklearn_transfer.plotting._samples import draw_sample, format_label, take_samples

_SIDE = 1.6  # inches of a sample


class NeighborsDisplay:
    """Training samples that are nearest to some others, in the space of their features.

    It shows what a prediction rests on: neighbors that look alike for the wrong reason, such
    as the same background, and copies or wrong labels in the training set. Create it with
    `from_estimator` or `from_features`.

    Parameters
    ----------
    samples : list
        Images, texts, sounds or rows of a table, one per row of the picture.
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
    kind : {"image", "text", "audio", "table"}, default="image"
        What the samples are.

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
    linear model does not decide by them. Pictures are drawn as they are, texts by their
    beginning, sounds as waveforms, and rows of numbers as lines.

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

    def __init__(
        self,
        *,
        samples,
        neighbors,
        rows,
        similarity,
        labels=None,
        predictions=None,
        kind="image",
    ):
        self.samples = samples
        self.neighbors = neighbors
        self.rows = rows
        self.similarity = similarity
        self.labels = labels
        self.predictions = predictions
        self.kind = kind

    @classmethod
    def from_estimator(cls, estimator, X, X_new, *, y=None, n_neighbors=4, axes=None):
        """Neighbors by the features of a fitted estimator.

        Parameters
        ----------
        estimator : object
            A fitted transformer, such as `PretrainedFeatures`, or a Pipeline, or a search of
            one. Of a Pipeline that ends in a model, features are those that the model is
            given, and its predictions are shown.
        X : sequence of n_samples samples
            Training samples: images, texts, sounds with their rates, or rows of a table.
        X_new : sequence of n_new samples
            Samples whose neighbors are shown; a few.
        y : array-like of shape (n_samples,), default=None
            Labels of the training samples.
        n_neighbors : int, default=4
            Neighbors of each.
        axes : array-like of Axes, default=None
            Axes to draw on, as many as ``n_new * (1 + n_neighbors)``; None makes a figure.

        Returns
        -------
        display : NeighborsDisplay
        """
        estimator = getattr(estimator, "best_estimator_", estimator)
        model = estimator
        if isinstance(estimator, Pipeline) and hasattr(estimator, "predict"):
            is_alone = len(estimator.steps) == 1
            model, estimator = estimator[-1], estimator[-1] if is_alone else estimator[:-1]
        if not hasattr(estimator, "transform"):
            raise ValueError(
                f"estimator={shorten(estimator)} has no transform, which gives features: pass"
                " a transformer, or a Pipeline of one and a model"
            )
        features = [estimator.transform(samples) for samples in (X, X_new)]
        predictions = None
        if hasattr(model, "predict"):  # by features that were computed, but for fine-tuners
            predictions = model.predict(X_new if model is estimator else features[1])
        return cls.from_features(
            X,
            features[0],
            X_new,
            features[1],
            y=y,
            predictions=predictions,
            n_neighbors=n_neighbors,
            axes=axes,
        )

    @classmethod
    def from_features(
        cls,
        X,
        features,
        X_new,
        features_new,
        *,
        y=None,
        predictions=None,
        n_neighbors=4,
        axes=None,
    ):
        """Neighbors by features that were computed before.

        Parameters
        ----------
        X : sequence of n_samples samples
            Training samples: images, texts, sounds with their rates, or rows of a table.
        features : array-like of shape (n_samples, n_features)
            Their features. Rows with a missing value are nobody's neighbors.
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
        axes : array-like of Axes, default=None
            Axes to draw on, as many as ``n_new * (1 + n_neighbors)``; None makes a figure.

        Returns
        -------
        display : NeighborsDisplay
        """
        cosines = compute_cosines(features, features_new)
        if not len(cosines):
            raise ValueError("X_new has no samples: give at least one")
        check_consistent_length(X, cosines.T, y)
        check_consistent_length(X_new, cosines, predictions)
        n_known = int((cosines > -np.inf).any(axis=0).sum())
        if not isinstance(n_neighbors, Integral) or not 0 < n_neighbors <= n_known:
            raise ValueError(
                f"n_neighbors={shorten(n_neighbors)}, and there are {n_known} training samples"
                f" with features: give a whole number from 1 to {n_known}"
            )
        rows = np.argsort(-cosines, axis=1, kind="stable")[:, :n_neighbors]
        return cls(
            samples=take_samples(X_new, range(len(cosines))),
            neighbors=[take_samples(X, near) for near in rows],
            rows=rows,
            similarity=np.take_along_axis(cosines, rows, axis=1),
            labels=None if y is None else column_or_1d(y)[rows],
            predictions=None if predictions is None else np.asarray(predictions),
            kind=find_kind(X),
        ).plot(axes)

    def plot(self, axes=None):
        """Draw a row of axes for each sample.

        Parameters
        ----------
        axes : array-like of Axes, default=None
            Axes to draw on, as many as samples and neighbors; None makes a new figure.

        Returns
        -------
        display : NeighborsDisplay
        """
        shape = len(self.samples), 1 + self.rows.shape[1]
        self.axes_, self.figure_ = _prepare_grid(axes, shape)
        for row, (first, *others) in enumerate(self.axes_):
            draw_sample(first, self.samples[row], self.kind)
            title = f"sample {row}"
            if self.predictions is not None:
                title += f"\n{format_label(self.predictions[row])}"
            first.set_title(title, fontsize=8, fontweight="bold", parse_math=False)
            for place, ax in enumerate(others):
                draw_sample(ax, self.neighbors[row][place], self.kind)
                ax.set_title(self._describe(row, place), fontsize=8, parse_math=False)
        return self

    def _describe(self, row, place):
        label = "" if self.labels is None else f"\n{format_label(self.labels[row, place])}"
        return f"row {self.rows[row, place]} ({self.similarity[row, place]:.2f}){label}"


def _prepare_grid(axes, shape):
    """Axes of a shape, given or on a new figure, and their figure."""
    import_optional("matplotlib", "plot", "NeighborsDisplay.plot")
    if axes is None:
        size = (_SIDE * shape[1], (_SIDE + 0.4) * shape[0])
        pyplot = import_module("matplotlib.pyplot")
        figure, axes = pyplot.subplots(
            *shape, figsize=size, layout="constrained", squeeze=False
        )
        return axes, figure
    axes = np.asarray(axes, dtype=object)
    if axes.size != shape[0] * shape[1]:
        raise ValueError(
            f"axes holds {axes.size} axes, and {shape[0]} samples with {shape[1] - 1}"
            f" neighbors each need {shape[0] * shape[1]}: give so many, or None"
        )
    axes = axes.reshape(shape)
    return axes, axes[0, 0].figure
