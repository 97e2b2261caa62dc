"""Display of what ways to adapt gain over a model that does not adapt."""

import numpy as np

from sklearn_transfer.plotting._axes import prepare_axes

_FIELDS = ("candidates", "chosen", "score_name")
_COLORS = {
    "none": "black",
    "reweighted": "tab:blue",
    "aligned": "tab:orange",
    "adapted": "tab:green",
    "given": "tab:purple",
}


class AdaptationDisplay:
    """Gains in a score over the model without adaptation, with their standard errors.

    It shows which ways to adapt the evidence supports, and how clearly. Create it with
    `from_ranking`, or by the method `plot` of a ranking.

    Parameters
    ----------
    candidates : list of AdaptationCandidate
        Candidates with a gain, from the top.
    chosen : AdaptationCandidate
        The one whose name is bold.
    score_name : str
        Name of the score.

    Attributes
    ----------
    points_ : list of Line2D
        The gains, in the order of the candidates.
    intervals_ : list of Line2D
        Two standard errors to both sides of each gain.
    line_ : Line2D
        No gain, 0.
    legend_ : Legend
        Colors of the kinds.
    ax_ : Axes
        Axes drawn on.
    figure_ : Figure
        Figure of the axes.

    See Also
    --------
    rank_adaptations : The ranking that is drawn.
    NegativeTransferDisplay : What transfer brings, on labeled samples.

    Notes
    -----
    Candidates that could not be rated are left out. An open circle marks one that collapsed
    and is never chosen.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer import rank_adaptations
    >>> from sklearn_transfer.plotting import AdaptationDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=100)
    >>> X = rng.normal(3.0 * y[:, None], 1, size=(100, 2))
    >>> ranking = rank_adaptations(["mean"], X, y, X + 4, cv=None)
    >>> display = AdaptationDisplay.from_ranking(ranking)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['mean', 'none']
    """

    def __init__(self, candidates, chosen, score_name):
        self.candidates = candidates
        self.chosen = chosen
        self.score_name = score_name

    @classmethod
    def from_ranking(cls, ranking, *, ax=None):
        """Draw a ranking.

        Parameters
        ----------
        ranking : AdaptationRanking
            What `rank_adaptations` returns: `candidates`, `chosen` and `score_name`.
        ax : Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        display : AdaptationDisplay
            What was drawn.
        """
        missing = [name for name in _FIELDS if not hasattr(ranking, name)]
        if missing:
            raise ValueError(
                f"ranking is a {type(ranking).__name__} without {' and '.join(missing)}: give "
                "what rank_adaptations returned"
            )
        candidates = [row for row in ranking.candidates if row.gain is not None]
        return cls(candidates, ranking.chosen, ranking.score_name).plot(ax)

    def plot(self, ax=None):
        """Draw the gains.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        display : AdaptationDisplay
        """
        self.ax_, self.figure_ = prepare_axes(ax, "AdaptationDisplay.plot")
        if ax is None:
            self.figure_.set_figheight(1.5 + 0.3 * len(self.candidates))
        self.line_ = self.ax_.axvline(0, color="black", linestyle="--", linewidth=1)
        self.points_, self.intervals_ = [], []
        for place, row in enumerate(self.candidates):
            self._draw_row(place, row)
        self._label()
        return self

    def _draw_row(self, place, row):
        color = _COLORS[row.kind]
        ends = row.gain + 2 * row.gain_error * np.array([-1, 1])
        (interval,) = self.ax_.plot(ends, [place, place], color=color, linewidth=2)
        face = "white" if row.collapsed else color
        (point,) = self.ax_.plot(
            [row.gain], [place], "o", color=color, markerfacecolor=face, label=row.kind
        )
        self.intervals_.append(interval)
        self.points_.append(point)

    def _label(self):
        n = len(self.candidates)
        self.ax_.set_yticks(range(n), [row.name for row in self.candidates])
        for label, row in zip(self.ax_.get_yticklabels(), self.candidates, strict=True):
            label.set_fontweight("bold" if row is self.chosen else "normal")
        self.ax_.set_ylim(n - 0.5, -0.5)  # the first row on top
        self.ax_.set_xlabel(f"Gain in the score {self.score_name!r}, +- 2 standard errors")
        drawn = zip(self.candidates, self.points_, strict=True)
        by_kind = {row.kind: point for row, point in drawn}
        self.legend_ = self.ax_.legend(
            by_kind.values(), by_kind, fontsize="small", loc="best", frameon=False
        )
