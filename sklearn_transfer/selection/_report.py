"""Text and HTML of a shift report."""

from dataclasses import dataclass

from sklearn_transfer._html import format_report
from sklearn_transfer.selection._adaptation_candidates import TITLES
from sklearn_transfer.selection._adaptation_table import AdaptationRanking

_ADVICE = {
    "nothing": "Do nothing: {reason}.",
    "reweight": (
        "Reweight (ImportanceWeighted, KMM): the domains differ but overlap, and weights keep "
        "{ess_share:.0%} of the source effective; a model that fits both domains anyway gains "
        "nothing."
    ),
    "reweight classes": (
        "Reweight the classes (LabelShiftWeights): their shares differ, and weights by class "
        "leave little of the difference."
    ),
    "align": (
        "Do not reweight: weights cannot help, as {reason}; align (CORAL) and check on a few "
        "target labels."
    ),
    "fine-tune": (
        "Do not reweight: weights cannot help, as {reason}, and mean and covariance do not "
        "explain the difference; fine-tune on target labels or choose another representation."
    ),
    "collect": (
        "Do not reweight: the domains overlap too little, as {reason}; collect target labels."
    ),
}

# Where labels let ways to adapt be compared, the advice names one of them.
_CHOSEN = {
    "none": (
        "Keep the model as it is: of {n_compared} ways to adapt, none makes the predictions"
        " for the target clearly more consistent; label a few target rows (target_accuracy) to"
        " see how good they are."
    ),
    "collect": (
        "Collect target labels: the domains overlap too little, as {reason}, and none of"
        " {n_compared} ways to adapt makes the predictions for the target clearly more"
        " consistent."
    ),
    "reweighted": "Reweight the source ({title}): {evidence}.",
    "aligned": "Align the domains ({title}): {evidence}.",
}

_SHOWN = 20  # classes of which the shares are shown


@dataclass(frozen=True, repr=False)
class ShiftReport:
    """What `shift_report` found; see there."""

    n_source: int
    n_target: int
    n_features: int
    mmd: float
    mmd_p_value: float
    auc: float
    auc_p_value: float
    ess: float
    ess_share: float
    outside_share: float
    feature_auc: float
    action: str
    alpha: float
    label_p_value: float | None = None
    classes: list | None = None
    source_priors: list | None = None
    target_priors: list | None = None
    class_p_value: float | None = None
    ranking: AdaptationRanking | None = None

    @property
    def method(self):
        """Name of the way to adapt that the evidence supports, as in `rank_adaptations`.

        None where none is supported, or none was compared.
        """
        if self.ranking is None or self.ranking.chosen.kind == "none":
            return None
        return self.ranking.chosen.name

    @property
    def advice(self):
        """What to do and why, in one sentence."""
        if self.ranking is None:
            known = self._list_values()
            return _ADVICE[self.action].format(reason=self._describe_reason(), **known)
        chosen = self.ranking.chosen
        kind = "collect" if self.action == "collect" else chosen.kind
        return _CHOSEN[kind].format(
            n_compared=len(self.ranking.candidates) - 1,
            title=TITLES.get(chosen.name),
            evidence=self._describe_evidence(),
            reason=self._describe_separation(),
        )

    def to_dict(self):
        """All attributes in plain Python types, the advice and the method included."""
        return {**self._list_values(), "method": self.method, "advice": self.advice}

    def _list_values(self):
        return {name: value for name, value in vars(self).items() if name != "ranking"}

    def _describe_evidence(self):
        chosen, n_compared = self.ranking.chosen, len(self.ranking.candidates) - 1
        return (
            f"of {n_compared} ways to adapt, it makes the predictions for the target most"
            f" consistent between neighbors (gain {chosen.gain:.2f} +-"
            f" {chosen.gain_error:.2f}), and changes {1 - chosen.agreement:.0%} of them; check"
            " on a few target labels"
        )

    def _describe_reason(self):
        if self.action == "nothing":
            p_values = [self.mmd_p_value, self.auc_p_value, self.label_p_value]
            tested = [p for p in p_values if p is not None]
            if min(tested) > self.alpha / len(tested):
                return f"no test tells the domains apart at level {self.alpha:g}"
            return (
                "the domains differ, but so little that weights would be nearly equal (they "
                f"keep {self.ess_share:.0%} of the source effective)"
            )
        if self.action == "collect":
            return self._describe_separation()
        if self.ess_share < 0.1:
            return f"they would rest on {self.ess:.0f} of {self.n_source} source rows"
        if self.outside_share > 0.2:
            return f"{self.outside_share:.0%} of the target lies outside of the source"
        return "they remove less than half of the difference"

    def _describe_doubt(self):
        """Evidence against the assumption of the test of label shift, or an empty text."""
        if self.class_p_value is None or self.class_p_value > self.alpha:
            return ""
        return (
            ", unreliable: it assumes that samples of a class look the same in both "
            f"domains, and they differ (p = {self.class_p_value:.3g})"
        )

    def _describe_separation(self):
        """What keeps the domains apart, as a classifier may see more than distances do."""
        apart = []
        if self.outside_share >= 0.5:
            apart.append(f"{self.outside_share:.0%} of the target lies outside of the source")
        if self.auc >= 0.99:
            apart.append(
                "a classifier tells their rows apart almost without error (area under the "
                f"curve {self.auc:.2f})"
            )
        if self.feature_auc >= 0.99:
            apart.append(
                "one feature alone tells them apart almost without error (area under the "
                f"curve {self.feature_auc:.2f})"
            )
        return " and ".join(apart)

    def _iterate_rows(self):
        """Pairs of a quantity and its value."""
        yield "Rows", f"{self.n_source} source, {self.n_target} target"
        yield "Features", f"{self.n_features}"
        yield "Squared MMD", f"{self.mmd:.3g} (p = {self.mmd_p_value:.3g})"
        yield "Classifier, area under curve", f"{self.auc:.2f} (p = {self.auc_p_value:.3g})"
        yield "Best feature, area under curve", f"{self.feature_auc:.2f}"
        if self.label_p_value is None:
            yield "Label shift", "not tested (no classes)"
        else:
            yield "Label shift", f"p = {self.label_p_value:.3g}{self._describe_doubt()}"
        yield "Effective source rows", f"{self.ess:.0f} ({self.ess_share:.0%})"
        yield "Target outside of the source", f"{self.outside_share:.0%}"
        yield from self._iterate_shares()

    def __str__(self):
        lines = [f"{name:31} {value}" for name, value in self._iterate_rows()]
        return "\n".join(["Shift report", *lines, self.advice])

    __repr__ = __str__

    def _repr_html_(self):
        return format_report("Shift report", self._iterate_rows(), self.advice)

    def _iterate_shares(self):
        """Shares of the classes; of many classes those that differ most."""
        if self.classes is None:
            return
        shares = list(zip(self.classes, self.source_priors, self.target_priors, strict=True))
        by_difference = sorted(shares, key=lambda share: -abs(share[1] - share[2]))
        shown = by_difference[:_SHOWN] if len(shares) > _SHOWN else shares
        doubt = ", unreliable" if self._describe_doubt() else ""
        for label, source, target in shown:
            value = f"{source:.0%} in the source, about {target:.0%} in the target{doubt}"
            yield f"Share of {label}", value
        if len(shares) > len(shown):
            yield "Other classes", f"{len(shares) - len(shown)}, which differ less"
