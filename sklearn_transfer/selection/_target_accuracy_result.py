"""Text and HTML of an accuracy on the target."""

from dataclasses import asdict, dataclass

from sklearn_transfer._html import format_report


@dataclass(frozen=True, repr=False)
class TargetAccuracy:
    """What `target_accuracy` found; see there."""

    accuracy: float
    interval: tuple
    confidence: float
    mean_certainty: float | None
    n_labels: int
    n_target: int
    effective_labels: float
    n_unknown: int
    method: str
    population: str

    def to_dict(self):
        """All attributes in plain Python types."""
        return asdict(self)

    def __str__(self):
        parts = [
            f"Accuracy on the target {self.population} {self.accuracy:.3f} "
            f"{self._describe_evidence()}.",
            self._compare_with_certainty(),
            self._describe_unknown(),
        ]
        return " ".join(part for part in parts if part)

    __repr__ = __str__

    def _describe_evidence(self):
        if self._is_exact():
            return f"exactly, as all {self.n_target} rows are labeled"
        labels = f"{self.n_labels} label{'s' if self.n_labels > 1 else ''}"
        worth = ""
        if round(self.effective_labels) > self.n_labels:
            worth = f", worth {self.effective_labels:.0f} random ones"
        return f"({self._format_interval()}), from {labels} of {self.n_target} rows{worth}"

    def _is_exact(self):
        return self.method == "all" and self.population == "rows"

    def _format_interval(self):
        low, high = self.interval
        return f"{100 * self.confidence:.4g} % interval {low:.3f} to {high:.3f}"

    def _compare_with_certainty(self):
        if self.mean_certainty is None:
            return ""
        low, high = self.interval
        limit = "it" if self._is_exact() else "the interval"
        found = "within the interval"
        if self.mean_certainty > high:
            found = f"above {limit}: the model is overconfident here"
        elif self.mean_certainty < low:
            found = f"below {limit}: the model is underconfident here"
        return f"The mean certainty of the model is {self.mean_certainty:.3f}, {found}."

    def _describe_unknown(self):
        if not self.n_unknown:
            return ""
        plural = self.n_unknown > 1
        return (
            f"{self.n_unknown} label{'s are' if plural else ' is'} not among the classes of "
            f"the model and count{'' if plural else 's'} as wrong."
        )

    def _iterate_rows(self):
        """Pairs of what was estimated and what was found."""
        yield "Accuracy", f"{self.accuracy:.3f}"
        low, high = self.interval
        yield f"{100 * self.confidence:.4g} % interval", f"{low:.3f} to {high:.3f}"
        if self.mean_certainty is not None:
            yield "Mean certainty, without labels", f"{self.mean_certainty:.3f}"
        yield "Labels", f"{self.n_labels} of {self.n_target} rows ({self.method})"
        yield "Worth of random labels", f"{self.effective_labels:.1f}"
        if self.n_unknown:
            yield "Labels of unknown classes", f"{self.n_unknown}"

    def _repr_html_(self):
        return format_report("Accuracy on the target", self._iterate_rows(), str(self))
