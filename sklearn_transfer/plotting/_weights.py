"""Display of weights as a histogram."""

import numpy as np
from sklearn.utils.validation import check_array, check_is_fitted

from sklearn_transfer._sample_weight import compute_effective_size, validate_sample_weight
from sklearn_transfer.plotting._axes import prepare_axes

_BINS = 30


class WeightsDisplay:
    """Histogram of the weights of source samples.

    It shows whether few rows carry most of the weight: then a model fitted with them is
    noisy. Create it with `from_weights` or `from_estimator`.

    Parameters
    ----------
    weights : ndarray of shape (n_source,)
        Weights of the source rows, at mean 1.
    ess : float
        Effective sample size.
    largest_share : float
        Share of the largest weight in the sum of all.
    name : str, default=None
        What gave the weights, for the title.

    Attributes
    ----------
    bars_ : BarContainer
        Bars of the histogram.
    line_ : Line2D
        The mean weight, 1.
    ax_ : Axes
        Axes drawn on.
    figure_ : Figure
        Figure of the axes.

    See Also
    --------
    DomainDisplay : Both domains in a plane.
    KMM : Weights by kernel mean matching.

    Examples
    --------
    >>> from sklearn_transfer.plotting import WeightsDisplay
    >>> display = WeightsDisplay.from_weights([0.5, 0.5, 1.0, 2.0])
    >>> print(f"{display.ess:.2f} {display.largest_share:.2f}")
    2.91 0.50
    """

    def __init__(self, *, weights, ess, largest_share, name=None):
        self.weights = weights
        self.ess = ess
        self.largest_share = largest_share
        self.name = name

    @classmethod
    def from_estimator(cls, weighter, *, ax=None, name=None, bar_kwargs=None):
        """Weights of a fitted weighter.

        Parameters
        ----------
        weighter : object
            With `weights_`, such as a fitted KMM.
        ax : Axes, default=None
            Axes to draw on; None makes new ones.
        name : str, default=None
            For the title; None is the name of the class.
        bar_kwargs : dict, default=None
            Passed to `Axes.bar`.

        Returns
        -------
        display : WeightsDisplay
        """
        check_is_fitted(weighter, "weights_")
        name = type(weighter).__name__ if name is None else name
        return cls.from_weights(weighter.weights_, ax=ax, name=name, bar_kwargs=bar_kwargs)

    @classmethod
    def from_weights(cls, weights, *, ax=None, name=None, bar_kwargs=None):
        """Any weights.

        Parameters
        ----------
        weights : array-like of shape (n_source,)
            At least 0, with one above 0. They are scaled to mean 1.
        ax : Axes, default=None
            Axes to draw on; None makes new ones.
        name : str, default=None
            For the title.
        bar_kwargs : dict, default=None
            Passed to `Axes.bar`.

        Returns
        -------
        display : WeightsDisplay
        """
        return cls(**_describe(weights), name=name).plot(ax, bar_kwargs=bar_kwargs)

    def plot(self, ax=None, *, bar_kwargs=None):
        """Draw the histogram.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to draw on; None makes new ones.
        bar_kwargs : dict, default=None
            Passed to `Axes.bar`.

        Returns
        -------
        display : WeightsDisplay
        """
        self.ax_, self.figure_ = prepare_axes(ax, "WeightsDisplay.plot")
        counts, edges = np.histogram(self.weights, _BINS, range=(0, self.weights.max()))
        options = {"align": "edge", "edgecolor": "white", **(bar_kwargs or {})}
        self.bars_ = self.ax_.bar(edges[:-1], counts, np.diff(edges), **options)
        self.line_ = self.ax_.axvline(1, color="black", linestyle="--", label="equal weights")
        n = len(self.weights)
        facts = (
            f"effective sample size {self.ess:.0f} of {n}, largest weight "
            f"{self.largest_share:.1%} of all"
        )
        self.ax_.set_title(
            facts if self.name is None else f"{self.name}\n{facts}", fontsize=10
        )
        self.ax_.set(xlabel="Weight (mean 1)", ylabel="Source samples")
        if counts.max() > 20 * max(1, np.median(counts)):
            self.ax_.set_yscale("symlog", linthresh=1)
            self.ax_.set_ylim(bottom=0)
        self.ax_.legend()
        return self


def _describe(weights):
    """Weights at mean 1, their effective sample size, and the share of the largest."""
    weights = check_array(
        weights, ensure_2d=False, dtype=np.float64, input_name="weights", ensure_min_samples=1
    ).ravel()
    weights = validate_sample_weight(weights, weights, "weights")
    weights = weights / weights.max()
    weights = weights / weights.mean()
    share = float(weights.max() / len(weights))
    ess = compute_effective_size(weights)
    return {"weights": weights, "ess": ess, "largest_share": share}
