"""Text and HTML of a test for negative transfer."""

from dataclasses import dataclass

import numpy as np

from sklearn_transfer._html import format_report


@dataclass(frozen=True, repr=False, eq=False)
class NegativeTransferResult:
    """What `negative_transfer_test` found; see there."""

    differences: np.ndarray
    scores_transferred: np.ndarray
    scores_baseline: np.ndarray
    mean_difference: float
    interval: tuple
    p_value: float
    verdict: str
    scoring: str
    baseline: str
    confidence: float
    n_labels: int | None = None

    def to_dict(self):
        """All attributes in plain Python types."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, value in found.items():
            if isinstance(value, np.ndarray):
                found[name] = value.tolist()
        return found

    def __str__(self):
        mean, against = self.scores_transferred.mean(), self.scores_baseline.mean()
        return (
            f"Transfer {self._choose_verb()}: {self.scoring} {mean:.3f}"
            f"{self._describe_place()} against {against:.3f} of the baseline {self.baseline}, "
            f"{self._describe_spread()}."
        )

    __repr__ = __str__

    def _choose_verb(self):
        if self.verdict != "undecided":
            return self.verdict
        return "neither helps nor hurts for certain"

    def _describe_place(self):
        return "" if self.n_labels is None else f" on {self.n_labels} labeled target rows"

    def _describe_spread(self):
        n = len(self.differences)
        if np.isnan(self.p_value):
            return f"a difference of {self.mean_difference:+.3f} in each of {n} folds"
        low, high = self.interval
        return (
            f"difference {self.mean_difference:+.3f} ({self._format_percent()} interval "
            f"{low:+.3f} to {high:+.3f}, p = {self.p_value:.2g}, {n} folds)"
        )

    def _format_percent(self):
        return f"{100 * self.confidence:.4g} %"

    def _iterate_rows(self):
        """Pairs of what was compared and what was found."""
        yield "Verdict", self.verdict
        yield f"Mean {self.scoring}, transferred", f"{self.scores_transferred.mean():.3f}"
        yield f"Mean {self.scoring}, {self.baseline}", f"{self.scores_baseline.mean():.3f}"
        yield "Mean difference", f"{self.mean_difference:+.3f}"
        if np.isnan(self.p_value):
            yield f"{self._format_percent()} interval", "none, as all differences are equal"
        else:
            low, high = self.interval
            yield f"{self._format_percent()} interval", f"{low:+.3f} to {high:+.3f}"
            yield "p-value", f"{self.p_value:.2g}"
        yield "Folds", f"{len(self.differences)}"
        if self.n_labels is not None:
            yield "Labeled target rows", f"{self.n_labels}"

    def _repr_html_(self):
        return format_report("Negative transfer", self._iterate_rows(), str(self))
