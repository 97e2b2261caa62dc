"""Display of the scores of candidates against their costs."""

import numpy as np

from sklearn_transfer._validation import shorten
from sklearn_transfer.plotting._axes import prepare_axes

_AXES = {
    "seconds": "Milliseconds per sample",
    "n_parameters": "Parameters, millions",
    "n_features": "Features",
    "cv_mean": "Cross-validated score",
}
_UNITS = {"seconds": 1e3, "n_parameters": 1e-6}
_FIELDS = ("candidates", "score_name")
_FIGSIZE = (9, 4.8)  # inches, with room for the legend at the right
_SIZE = 8  # points, of labels
_GAP = 7  # points between a candidate and its label


class RankingDisplay:
    """Scores of networks and layers against what they cost.

    It shows which candidates are worth their time: those that no other one beats in both.
    Create it with `from_ranking`, or by the method `plot` of a ranking.

    Parameters
    ----------
    candidates : list of Candidate
        Candidates with a score, the best first, as `rank_backbones` gives them.
    score_name : str
        Label of the vertical axis.
    against : {"seconds", "n_parameters", "n_features", "cv_mean"}, default=None
        What the horizontal axis shows. None is "seconds" where all were measured, else
        "n_parameters".

    Attributes
    ----------
    points_ : list of PathCollection
        The points, in the order of the candidates.
    labels_ : list of Annotation
        Their numbers, from 1 on.
    legend_ : Legend
        Explanation of the numbers.
    ax_ : Axes
        Axes drawn on.
    figure_ : Figure
        Figure of the axes.

    See Also
    --------
    rank_backbones : The ranking that is drawn.
    NegativeTransferDisplay : What transfer brings over a baseline.

    Notes
    -----
    Each candidate is one point with its number; candidates of one network share a color.
    Numbers move down where they would cover each other. Candidates without a score are left
    out.

    Examples
    --------
    >>> from sklearn_transfer import PretrainedFeatures, rank_backbones
    >>> from sklearn_transfer.datasets import load_photo_crops
    >>> from sklearn_transfer.plotting import RankingDisplay
    >>> X, y = load_photo_crops(2, size=32, classes=["flower", "pagoda"], return_X_y=True)
    >>> random = PretrainedFeatures(weights=None, input_size=32)
    >>> ranking = rank_backbones(random, X, y, layers=["middle", "deep"])
    >>> display = RankingDisplay.from_ranking(ranking, against="n_features")
    >>> display.ax_.get_xlabel(), display.ax_.get_ylabel()
    ('Features', 'logme')
    """

    def __init__(self, candidates, score_name, against=None):
        self.candidates = candidates
        self.score_name = score_name
        self.against = against

    @classmethod
    def from_ranking(cls, ranking, *, against=None, ax=None, scatter_kwargs=None):
        """Draw a ranking.

        Parameters
        ----------
        ranking : BackboneRanking
            What `rank_backbones` returns: `candidates` and `score_name`.
        against : {"seconds", "n_parameters", "n_features", "cv_mean"}, default=None
            What the horizontal axis shows. None is "seconds" where all were measured, else
            "n_parameters".
        ax : Axes, default=None
            Axes to draw on; None makes new ones.
        scatter_kwargs : dict, default=None
            Passed to `Axes.scatter`.

        Returns
        -------
        display : RankingDisplay
            What was drawn.
        """
        missing = [name for name in _FIELDS if not hasattr(ranking, name)]
        if missing:
            raise ValueError(
                f"ranking is a {type(ranking).__name__} without {' and '.join(missing)}: give "
                "what rank_backbones returned"
            )
        candidates = [row for row in ranking.candidates if row.score is not None]
        display = cls(candidates, ranking.score_name, against)
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
        display : RankingDisplay
        """
        against = self._choose_axis()
        x = [getattr(row, against) * _UNITS.get(against, 1) for row in self.candidates]
        y = [row.score for row in self.candidates]
        self.ax_, self.figure_ = prepare_axes(ax, "RankingDisplay.plot", figsize=_FIGSIZE)
        options = {"s": 36, "alpha": 0.8, **(scatter_kwargs or {})}
        styles = zip(x, y, self._choose_colors(), self._format_labels(), strict=True)
        self.points_ = [
            self.ax_.scatter(across, up, **{"color": color, **options}, label=text)
            for across, up, color, text in styles
        ]
        self.ax_.set(xlabel=_AXES[against], ylabel=self.score_name)
        self.ax_.margins(0.1)
        beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "borderaxespad": 0}
        self.legend_ = self.ax_.legend(fontsize="small", **beside)
        self.labels_ = self._draw_numbers(x, y)
        return self

    def _choose_axis(self):
        known = {n for n in _AXES if all(getattr(r, n) is not None for r in self.candidates)}
        if self.against is None:
            return "seconds" if "seconds" in known else "n_parameters"
        if self.against not in _AXES:
            raise ValueError(
                f"against={shorten(self.against)} is unknown; expected one of {list(_AXES)}"
                " or None"
            )
        if self.against not in known:
            reasons = {
                "seconds": "features came from the cache: clear it or use 'n_parameters'",
                "cv_mean": "nothing was cross-validated: call rank_backbones with cv",
            }
            raise ValueError(
                f"against={shorten(self.against)} is not known of all candidates; "
                f"{reasons[self.against]}"
            )
        return self.against

    def _choose_colors(self):
        """Choose one color per network."""
        names = list(dict.fromkeys(row.name for row in self.candidates))
        return [f"C{names.index(row.name) % 10}" for row in self.candidates]

    def _format_labels(self):
        """Number, network, and the layer where there are several."""
        layers = {row.layer for row in self.candidates}
        names = [row.name if len(layers) == 1 else row.title for row in self.candidates]
        return [f"{i}  {name}" for i, name in enumerate(names, 1)]

    def _draw_numbers(self, x, y):
        """A number at each point, moved down from numbers that it would cover."""
        self.figure_.draw_without_rendering()  # which settles where the axes lie
        places = self.ax_.transData.transform(np.column_stack([x, y])) * 72 / self.figure_.dpi
        moved = _spread_labels(places, width=1.4 * _SIZE, height=1.1 * _SIZE) - places[:, 1]
        line = {"arrowstyle": "-", "color": "gray", "linewidth": 0.5}
        options = {"textcoords": "offset points", "va": "center", "arrowprops": line}
        return [
            self.ax_.annotate(
                str(i + 1), (x[i], y[i]), (_GAP, moved[i]), fontsize=_SIZE, **options
            )
            for i in range(len(x))
        ]


def _spread_labels(places, width, height):
    """Heights of labels of one size that cover no other, each at its place or under it."""
    heights, placed = places[:, 1].copy(), []
    for row in np.argsort(-heights, kind="stable"):
        near = [r for r in placed if abs(places[r, 0] - places[row, 0]) < width]
        if near:
            heights[row] = min(heights[row], heights[near].min() - height)
        placed.append(row)
    return heights
