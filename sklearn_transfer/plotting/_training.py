"""Display of the losses and scores of a training."""

from collections.abc import Mapping
from importlib import import_module
from itertools import groupby

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._validation import format_list
from sklearn_transfer.plotting._axes import prepare_axes

_REQUIRED = ("epoch", "train_loss")
_CURVES = {
    "train_loss": {"label": "training loss", "color": "tab:blue"},
    "valid_loss": {"label": "validation loss", "color": "tab:orange"},
    "valid_score": {"label": "validation score", "color": "tab:green", "linestyle": "--"},
}
_FEW = 25  # epochs up to which each is marked by a point
_WIDE = 60  # characters of the names of phases from which they are slanted


class TrainingDisplay:
    """Losses and validation score of a training against the epoch.

    It shows whether training has settled, where it began to overfit (the validation loss
    rises while the training loss falls), and what each phase of a schedule brought. Create
    it with `from_estimator` or `from_history`.

    Parameters
    ----------
    history : list of dict
        One dict per epoch, as `from_history` takes it.
    name : str, default=None
        What was trained, for the title.

    Attributes
    ----------
    lines_ : dict of str to Line2D
        The curves: "train_loss" and, where the history has them, "valid_loss" and
        "valid_score".
    best_ : Line2D or None
        Vertical line at the best epoch.
    spans_ : list of Patch
        One shaded span per phase; empty where there is one phase.
    ax_ : Axes
        Axes of the losses.
    score_ax_ : Axes or None
        Axes of the score, at the right.
    phase_ax_ : SecondaryAxis or None
        Axis at the top with the names of the phases.
    legend_ : Legend
        Legend of all lines.
    figure_ : Figure
        Figure of the axes.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores against the number of samples.
    WeightsDisplay : Weights that multiply the loss.

    Notes
    -----
    A value that is missing or not finite is a gap in its curve. Several epochs may be marked
    best, as each is while the score still rises; the last of them is drawn.

    Examples
    --------
    >>> from sklearn_transfer.plotting import TrainingDisplay
    >>> history = [
    ...     {"epoch": 1, "train_loss": 0.9, "valid_loss": 0.8, "best": True},
    ...     {"epoch": 2, "train_loss": 0.4, "valid_loss": 0.9, "best": False},
    ... ]
    >>> display = TrainingDisplay.from_history(history)
    >>> sorted(display.lines_)
    ['train_loss', 'valid_loss']
    """

    def __init__(self, *, history, name=None):
        self.history = history
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, name=None, line_kwargs=None):
        """Training of a fitted estimator.

        Parameters
        ----------
        estimator : object
            With `history_`, such as a fitted FineTunedClassifier.
        ax : Axes, default=None
            Axes to draw on; None makes new ones.
        name : str, default=None
            For the title; None is the name of the class.
        line_kwargs : dict, default=None
            Passed to `Axes.plot` for each curve.

        Returns
        -------
        display : TrainingDisplay
        """
        if not hasattr(estimator, "history_"):
            check_is_fitted(estimator)
            raise ValueError(
                f"{type(estimator).__name__} has no history_, the epochs of a training: give a"
                " fitted FineTunedClassifier or FineTunedRegressor, or use from_history. In a"
                " Pipeline it is the last step, pipe[-1]; in a search, search.best_estimator_."
            )
        name = type(estimator).__name__ if name is None else name
        return cls.from_history(estimator.history_, ax=ax, name=name, line_kwargs=line_kwargs)

    @classmethod
    def from_history(cls, history, *, ax=None, name=None, line_kwargs=None):
        """A list of epochs.

        Parameters
        ----------
        history : list of dict
            One dict per epoch, in order, with the number "epoch" and "train_loss";
            "valid_loss", "valid_score", "phase" (str) and "best" (bool) are drawn if they
            are given, and other keys are ignored.
        ax : Axes, default=None
            Axes to draw on; None makes new ones.
        name : str, default=None
            For the title.
        line_kwargs : dict, default=None
            Passed to `Axes.plot` for each curve.

        Returns
        -------
        display : TrainingDisplay
        """
        return cls(history=_validate_history(history), name=name).plot(
            ax, line_kwargs=line_kwargs
        )

    def plot(self, ax=None, *, line_kwargs=None):
        """Draw the curves.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to draw on; None makes new ones.
        line_kwargs : dict, default=None
            Passed to `Axes.plot` for each curve.

        Returns
        -------
        display : TrainingDisplay
        """
        self.ax_, self.figure_ = prepare_axes(ax, "TrainingDisplay.plot")
        has_score = np.isfinite(self._read_values("valid_score")).any()
        self.score_ax_ = self.ax_.twinx() if has_score else None
        self._draw_phases()
        self.lines_ = dict(self._draw_curves(line_kwargs or {}))
        self.best_ = self._draw_best()
        self._label()
        return self

    def _read_values(self, key):
        """A number for each epoch, NaN where there is none."""
        values = [epoch.get(key) for epoch in self.history]
        return np.array([np.nan if v is None else float(v) for v in values])

    def _draw_curves(self, options):
        epochs = self._read_values("epoch")
        marker = "." if len(epochs) <= _FEW else None
        for key, style in _CURVES.items():
            values = self._read_values(key)
            values[~np.isfinite(values)] = np.nan
            if key != "train_loss" and np.isnan(values).all():
                continue
            ax = self.score_ax_ if key == "valid_score" else self.ax_
            (line,) = ax.plot(epochs, values, **{"marker": marker, **style, **options})
            yield key, line

    def _draw_phases(self):
        self.spans_, self.phase_ax_ = [], None
        phases = _find_phases(self.history)
        if len(phases) < 2:
            return
        for place, (_, first, last) in enumerate(phases):
            shade = {"color": "black", "alpha": 0.07 * (place % 2), "linewidth": 0}
            self.spans_.append(self.ax_.axvspan(first - 0.5, last + 0.5, **shade, zorder=0))
        names = [name for name, _, _ in phases]
        slanted = {"rotation": 30, "ha": "left"} if sum(map(len, names)) > _WIDE else {}
        self.phase_ax_ = self.ax_.secondary_xaxis("top")
        centers = [(first + last) / 2 for _, first, last in phases]
        self.phase_ax_.set_xticks(centers, names, fontsize="small", **slanted)
        self.phase_ax_.tick_params(length=0)

    def _draw_best(self):
        best = [epoch["epoch"] for epoch in self.history if epoch.get("best")]
        if not best:
            return None
        style = {"color": "black", "linestyle": ":", "linewidth": 1}
        return self.ax_.axvline(best[-1], label=f"best epoch, {best[-1]}", **style)

    def _label(self):
        ticker = import_module("matplotlib.ticker")
        self.ax_.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
        epochs = self._read_values("epoch")
        self.ax_.set(xlim=(epochs.min() - 0.5, epochs.max() + 0.5))
        self.ax_.set(xlabel="Epoch", ylabel="Loss")
        handles = [*self.lines_.values(), *([self.best_] if self.best_ else [])]
        top = self.ax_
        if self.score_ax_ is not None:
            self.score_ax_.set_ylabel("Validation score")
            top = self.score_ax_  # drawn last, so that no curve crosses the legend
        # Losses fall and scores rise: the middle of the right side stays free.
        self.legend_ = top.legend(handles=handles, loc="center right", fontsize="small")
        n = len(self.history)
        facts = f"{n} epoch{'s' if n > 1 else ''}"
        self.ax_.set_title(facts if self.name is None else f"{self.name}, {facts}")


def _validate_history(history):
    """The epochs as a list of dicts of their own."""
    if isinstance(history, (Mapping, str)) or not hasattr(history, "__iter__"):
        raise ValueError(
            f"history is a {type(history).__name__}, expected a list with one dict per epoch"
        )
    history = list(history)
    if not history:
        raise ValueError("history has no epochs: expected one dict for each")
    for place, epoch in enumerate(history):
        if not isinstance(epoch, Mapping):
            raise ValueError(
                f"history[{place}] is a {type(epoch).__name__}, expected a dict of an epoch"
            )
        missing = [key for key in _REQUIRED if epoch.get(key) is None]
        if missing:
            raise ValueError(
                f"history[{place}] has no {missing[0]!r}, only {format_list(sorted(epoch))}:"
                " each epoch"
                f" needs {' and '.join(map(repr, _REQUIRED))}"
            )
    return [dict(epoch) for epoch in history]


def _find_phases(history):
    """Name, first and last epoch of each run of epochs in one phase."""
    runs = groupby(history, key=lambda epoch: str(epoch.get("phase") or ""))
    runs = [(name, [epoch["epoch"] for epoch in epochs]) for name, epochs in runs]
    return [(name, min(epochs), max(epochs)) for name, epochs in runs]
