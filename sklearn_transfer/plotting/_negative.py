"""Display of what transfer brings over a baseline."""

from collections.abc import Mapping
from textwrap import fill

import numpy as np

from sklearn_transfer._validation import shorten
from sklearn_transfer.plotting._axes import prepare_axes

_FIELDS = (
    *("differences", "mean_difference", "interval", "verdict"),
    *("scoring", "baseline", "confidence"),
)
_LABEL_WIDTH = 28  # characters of a line
_COLORS = {"helps": "tab:green", "hurts": "tab:red", "undecided": "dimgray"}


class NegativeTransferDisplay:
    """Differences in score between transfer and a baseline, with their interval.

    It shows whether transfer helps, hurts, or whether the folds do not tell: an interval
    that lies on one side of zero decides. Create it with `from_result`.

    Parameters
    ----------
    results : dict of str to result
        Results of `selection.negative_transfer_test`, one per row, from the top.

    Attributes
    ----------
    points_ : list of PathCollection
        Differences of the folds, one collection per row.
    means_ : list of Line2D
        The mean differences.
    intervals_ : list of Line2D
        The confidence intervals of the means.
    verdicts_ : list of Annotation
        The verdicts, at the right.
    line_ : Line2D
        No difference, 0.
    ax_ : Axes
        Axes drawn on.
    figure_ : Figure
        Figure of the axes.

    See Also
    --------
    DomainDisplay : Where the domains overlap.
    TrainingDisplay : Losses and score of a training.

    Notes
    -----
    Folds share training rows, so the interval is wider than one of as many independent
    differences would be; the spread of the points does not show that. Where the scores are
    those on labeled target rows, the interval also contains the spread over these. Above 0
    the score with transfer is the larger one. An interval that is not finite is left out.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import LinearRegression, Ridge
    >>> from sklearn_transfer import negative_transfer_test
    >>> from sklearn_transfer.plotting import NegativeTransferDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> result = negative_transfer_test(LinearRegression(), Ridge(), X, y)
    >>> display = NegativeTransferDisplay.from_result(result)
    >>> display.ax_.get_xlabel()
    'Difference in r2 (above 0: transfer helps)'
    """

    def __init__(self, *, results):
        self.results = results

    @classmethod
    def from_result(cls, result, *, ax=None):
        """One result, or several to compare.

        Parameters
        ----------
        result : result or dict of str to result
            What `selection.negative_transfer_test` returns: `differences` of shape
            (n_folds,), `mean_difference`, `interval` (low, high), `verdict` ("helps",
            "hurts" or "undecided"), `scoring`, `baseline` and `confidence`. A dict gives a
            row each, with the keys as labels.
        ax : Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        display : NegativeTransferDisplay
        """
        if not isinstance(result, Mapping):
            _check_fields("result", result)
            result = {f"against {result.baseline}": result}
        if not result:
            raise ValueError("result is an empty dict: give one result or more")
        for label, one in result.items():
            _check_fields(f"result[{shorten(label)}]", one)
        return cls(results=dict(result)).plot(ax)

    def plot(self, ax=None):
        """Draw the rows.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        display : NegativeTransferDisplay
        """
        self.ax_, self.figure_ = prepare_axes(ax, "NegativeTransferDisplay.plot")
        if ax is None:
            self.figure_.set_figheight(1.5 + 0.6 * len(self.results))
        self.line_ = self.ax_.axvline(0, color="black", linestyle="--", linewidth=1)
        self.points_, self.means_, self.intervals_, self.verdicts_ = [], [], [], []
        for row, result in enumerate(self.results.values()):
            self._draw_row(row, result)
        self._label()
        return self

    def _draw_row(self, row, result):
        color = _COLORS[result.verdict]
        differences = np.asarray(result.differences, dtype=float)
        below = np.full(len(differences), row + 0.2)
        faint = {"color": color, "alpha": 0.4, "s": 18, "linewidths": 0}
        self.points_.append(self.ax_.scatter(differences, below, **faint))
        ends = [result.interval[0], result.interval[1]]
        (interval,) = self.ax_.plot(
            ends if np.isfinite(ends).all() else [np.nan, np.nan],
            [row, row],
            color=color,
            marker="|",
            markersize=10,
        )
        (mean,) = self.ax_.plot([result.mean_difference], [row], "o", color=color)
        self.intervals_.append(interval)
        self.means_.append(mean)
        self.verdicts_.append(
            self.ax_.annotate(
                result.verdict,
                (1.02, row),
                xycoords=self.ax_.get_yaxis_transform(),
                va="center",
                color=color,
                annotation_clip=False,
            )
        )

    def _label(self):
        results = list(self.results.values())
        labels = [fill(str(label), _LABEL_WIDTH) for label in self.results]
        self.ax_.set_yticks(range(len(results)), labels)
        self.ax_.set_ylim(len(results) - 0.5, -0.5)  # the first row on top
        scores = {str(result.scoring) for result in results}
        score = scores.pop() if len(scores) == 1 else "score"
        self.ax_.set_xlabel(f"Difference in {score} (above 0: transfer helps)")
        confidences = {f"{100 * result.confidence:g} %" for result in results}
        level = f"{confidences.pop()} " if len(confidences) == 1 else ""
        self.ax_.set_title(f"Folds, mean and {level}confidence interval", fontsize=10)


def _check_fields(name, result):
    missing = [field for field in _FIELDS if not hasattr(result, field)]
    if missing:
        raise ValueError(
            f"{name} is a {type(result).__name__} without {', '.join(missing)}: give what"
            " negative_transfer_test returned, or a dict of such results"
        )
    if result.verdict not in _COLORS:
        raise ValueError(
            f"{name} has the verdict {shorten(result.verdict)}, expected one of"
            f" {tuple(_COLORS)}"
        )
