"""Display of source and target samples in a plane."""

from importlib import import_module
from inspect import signature
from numbers import Integral

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples, check_consistent_length

from sklearn_transfer._sampling import draw_rows, draw_seed
from sklearn_transfer._validation import (
    TargetDomain,
    column_or_1d,
    import_optional,
    shorten,
    validate_domains,
)
from sklearn_transfer.plotting._axes import prepare_axes

_METHODS = ("pca", "tsne", "umap")
_PER_COLUMN = 12  # entries of a legend
_OUTSIDE = 10  # entries from which the legend stands beside the axes


class DomainDisplay:
    """Source and target samples in a plane, colored by domain or by class.

    It shows where the domains overlap and whether classes keep their place. Create it with
    `from_data` or `from_estimator`.

    Parameters
    ----------
    source : ndarray of shape (n_source, 2)
        Source samples in the plane.
    target : ndarray of shape (n_target, 2)
        Target samples in the plane.
    y_source : ndarray of shape (n_source,), default=None
        Classes of the source samples.
    y_target : ndarray of shape (n_target,), default=None
        Classes of the target samples.
    axis_names : tuple of str, default=("Component 1", "Component 2")
        Labels of the axes.

    Attributes
    ----------
    points_ : list of PathCollection
        The points, one collection for each entry of the legend.
    legend_ : Legend
        Legend of the axes.
    ax_ : Axes
        Axes drawn on.
    figure_ : Figure
        Figure of the axes.

    See Also
    --------
    WeightsDisplay : Histogram of weights.
    shift_report : How the domains differ, in numbers.

    Notes
    -----
    Both domains are projected together. Distances between clusters are meaningful in the
    projection of PCA, which is linear, but hardly in those of t-SNE and UMAP.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer.plotting import DomainDisplay
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> display = DomainDisplay.from_data(X, X + 1)
    >>> display.source.shape
    (50, 2)
    """

    def __init__(
        self,
        *,
        source,
        target,
        y_source=None,
        y_target=None,
        axis_names=("Component 1", "Component 2"),
    ):
        self.source = source
        self.target = target
        self.y_source = y_source
        self.y_target = y_target
        self.axis_names = axis_names

    @classmethod
    def from_estimator(cls, estimator, X, X_target, y=None, y_target=None, **options):
        """Both domains after a fitted transformer.

        Parameters
        ----------
        estimator : object
            With `transform`, such as `PretrainedFeatures`; an aligner, such as `CORAL`,
            maps rows of the source as the source's.
        X : sequence of n_samples
            Source samples, whatever the estimator takes.
        X_target : sequence of n_target, or TargetDomain
            Target samples.
        y : array-like of shape (n_samples,), default=None
            Classes of the source samples.
        y_target : array-like of shape (n_target,), default=None
            Classes of the target samples.
        **options : dict
            Those of `from_data`.

        Returns
        -------
        display : DomainDisplay
        """
        if isinstance(X_target, TargetDomain):
            X_target = X_target.X
        is_source = {}
        if "sample_domain" in signature(estimator.transform).parameters:
            is_source["sample_domain"] = np.zeros(_num_samples(X))
        X, X_target = estimator.transform(X, **is_source), estimator.transform(X_target)
        return cls.from_data(X, X_target, y, y_target, **options)

    @classmethod
    def from_data(
        cls,
        X,
        X_target,
        y=None,
        y_target=None,
        *,
        method="pca",
        max_samples=1000,
        random_state=0,
        ax=None,
        scatter_kwargs=None,
    ):
        """Both domains as they are given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Source samples.
        X_target : array-like of shape (n_target, n_features) or TargetDomain
            Target samples.
        y : array-like of shape (n_samples,), default=None
            Classes of the source samples, which then give the colors.
        y_target : array-like of shape (n_target,), default=None
            Classes of the target samples; without them the target is gray.
        method : {"pca", "tsne", "umap"}, default="pca"
            Projection; "umap" needs umap-learn.
        max_samples : int or None, default=1000
            Largest number of random rows of each domain; None shows all.
        random_state : int, RandomState instance or None, default=0
            Draws the rows and starts the projection.
        ax : Axes, default=None
            Axes to draw on; None makes new ones.
        scatter_kwargs : dict, default=None
            Passed to `Axes.scatter`.

        Returns
        -------
        display : DomainDisplay
        """
        if method not in _METHODS:
            raise ValueError(
                f"method={shorten(method)} is unknown; expected one of {_METHODS}"
            )
        if max_samples is not None and not (
            isinstance(max_samples, Integral) and max_samples > 0
        ):
            raise ValueError(
                f"max_samples={shorten(max_samples)}: expected an integer above 0, or None"
            )
        X, T = validate_domains(X, X_target, "DomainDisplay")
        y, y_target = _validate_classes(X, y, "y"), _validate_classes(T, y_target, "y_target")
        _check_same_kind(y, y_target)
        draws = check_random_state(random_state)
        X, y = _draw_rows(X, y, max_samples, draws)
        T, y_target = _draw_rows(T, y_target, max_samples, draws)
        plane = _project(np.concatenate([X, T]), method, draws)
        display = cls(
            source=plane[: len(X)],
            target=plane[len(X) :],
            y_source=y,
            y_target=y_target,
            axis_names=_name_axes(method),
        )
        return display.plot(ax, scatter_kwargs=scatter_kwargs)

    def plot(self, ax=None, *, scatter_kwargs=None):
        """Draw the points.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to draw on; None makes new ones.
        scatter_kwargs : dict, default=None
            Passed to `Axes.scatter`.

        Returns
        -------
        display : DomainDisplay
        """
        self.ax_, self.figure_ = prepare_axes(ax, "DomainDisplay.plot")
        options = {"s": 14, "alpha": 0.7, "linewidths": 0.8, **(scatter_kwargs or {})}
        self.points_ = [
            self.ax_.scatter(*rows.T, **{**style, **options}, label=label)
            for rows, label, style in self._iterate_groups()
        ]
        self.ax_.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1])
        self.ax_.set_title(f"{len(self.source)} source and {len(self.target)} target samples")
        n_columns = -(-len(self.points_) // _PER_COLUMN)
        beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "borderaxespad": 0}
        place = beside if len(self.points_) >= _OUTSIDE else {}
        self.legend_ = self.ax_.legend(ncols=n_columns, fontsize="small", **place)
        return self

    def _iterate_groups(self):
        """Points, label and style of each entry of the legend."""
        colors = _choose_colors(self.y_source, self.y_target)
        plain = {"source": "tab:blue", "target": "tab:orange"}
        if colors:
            plain = dict.fromkeys(plain, "darkgray")
        domains = [
            ("source", self.source, self.y_source, "o"),
            ("target", self.target, self.y_target, "x"),
        ]
        for domain, rows, y, marker in domains:
            if y is None:
                yield rows, domain, {"color": plain[domain], "marker": marker}
                continue
            for label in np.unique(y):
                style = {"color": [colors[label]], "marker": marker}
                yield rows[y == label], f"{domain}, {label}", style


def _choose_colors(*labels):
    """Choose one color per class, the same in both domains; none without classes."""
    given = [y for y in labels if y is not None]
    if not given:
        return {}
    classes = np.unique(np.concatenate(given))
    colormap = import_optional("matplotlib", "plot", "DomainDisplay.plot").colormaps
    if len(classes) <= 10:
        return dict(zip(classes, colormap["tab10"].colors, strict=False))
    places = np.linspace(0, 1, len(classes))
    return dict(zip(classes, colormap["turbo"](places), strict=True))


def _validate_classes(X, y, name):
    """Validate y, which has one class per row, or is None."""
    if y is None:
        return None
    check_consistent_length(X, y)
    y = column_or_1d(y)
    missing = [row for row, label in enumerate(y) if label is None or label != label]
    if missing:
        raise ValueError(
            f"{name} has no class in row {missing[0]} ({shorten(y[missing[0]])}): give one "
            f"for each row, or leave {name} out"
        )
    return y


def _check_same_kind(y, y_target):
    if y is None or y_target is None:
        return
    texts = [labels.dtype.kind in "OUS" for labels in (y, y_target)]
    if texts[0] != texts[1]:
        words = ["text" if text else "numbers" for text in texts]
        raise ValueError(
            f"y holds {words[0]} and y_target {words[1]}: give the classes of both domains in "
            "the same way"
        )


def _draw_rows(X, y, max_samples, random_state):
    """At most `max_samples` random rows and their classes."""
    rows = draw_rows(len(X), max_samples, random_state)
    return X[rows], None if y is None else y[rows]


def _project(X, method, random_state):
    """Rows in the plane; what is missing of two components is 0."""
    if not np.ptp(X, axis=0).any():
        return np.zeros((len(X), 2))
    if min(X.shape) < 2 or method == "pca":
        rows = PCA(min(2, *X.shape), random_state=random_state).fit_transform(X)
        return np.pad(rows, [(0, 0), (0, 2 - rows.shape[1])])
    if method == "tsne":
        perplexity = min(30, (len(X) - 1) / 3)
        return TSNE(perplexity=perplexity, random_state=random_state).fit_transform(X)
    umap = _import_umap()
    return umap.UMAP(random_state=draw_seed(random_state)).fit_transform(X)


def _import_umap():
    try:
        return import_module("umap")
    except ModuleNotFoundError as error:
        raise ImportError('method="umap" needs umap-learn: pip install umap-learn') from error


def _name_axes(method):
    name = {"pca": "Principal component", "tsne": "t-SNE", "umap": "UMAP"}[method]
    return f"{name} 1", f"{name} 2"
