"""Report of what adaptation has done: shares of predicted classes, and a warning."""

import warnings
from dataclasses import asdict, dataclass, fields

import numpy as np

from sklearn_transfer._html import format_report
from sklearn_transfer._validation import shorten

# A collapse: of the classes beyond the first, counted by the effective number, adapted
# predictions keep less than this share of the source's, and of those without adaptation.
_OF_SOURCE, _OF_BASELINE = 1 / 3, 1 / 2
_SHOWN = 20  # classes of which the shares are shown
PUBLISHED = ("adapt_report_", "target_classes_")


@dataclass(frozen=True, repr=False)
class AdaptationReport:
    """Effects of adapting a network to a target domain, by predictions without labels.

    The network is compared with a linear head on its embedding as it was before, fitted on
    the same labeled rows ("source-only"). What is not known is None, as are numbers of classes
    for a regression and for several tasks.

    Parameters
    ----------
    objective : str
        The parameter `adapt`.
    n_steps : int
        Training steps with a batch of the target.
    n_labeled, n_target : int
        Labeled rows that the network was trained on, and rows of the target.
    agreement : float or None
        Share of target rows for which both predict the same class, or of entries where there
        are several labels per row; for numbers, their correlation.
    classes : list or None
        The classes, in the order of all shares.
    source_shares : list or None
        Shares of the classes among the labeled rows, by weight.
    source_only_shares, adapted_shares : list or None
        Shares of the classes among both predictions for the target.
    source_effective : float or None
        Effective number of classes of the labeled rows: the exponential of the entropy of
        their shares.
    source_only_effective, adapted_effective : float or None
        The same of the mean predicted probabilities for the target.
    source_only_score, adapted_score : float or None
        Scores on the validation samples of the source.
    kind : {"multiclass", "multilabel", "regression"} or None
        What both predict; None where kinds differ or there are several tasks of classes.
    """

    objective: str
    n_steps: int
    n_labeled: int
    n_target: int
    agreement: float | None = None
    classes: list | None = None
    source_shares: list | None = None
    source_only_shares: list | None = None
    adapted_shares: list | None = None
    source_effective: float | None = None
    source_only_effective: float | None = None
    adapted_effective: float | None = None
    source_only_score: float | None = None
    adapted_score: float | None = None
    kind: str | None = None

    @property
    def is_collapsed(self):
        """Whether predictions fall on far fewer classes than before, and than in the source.

        It is not if those without adaptation are as concentrated.
        """
        if self.adapted_effective is None:
            return False
        adapted = self.adapted_effective - 1
        is_few = adapted < _OF_SOURCE * (self.source_effective - 1)
        if self.source_only_effective is None:
            return is_few
        return is_few and adapted < _OF_BASELINE * (self.source_only_effective - 1)

    @property
    def summary(self):
        """The result in one sentence."""
        if self.is_collapsed:
            return (
                f"Predictions for the target fall on {self.adapted_effective:.1f} classes"
                f"{self._describe_before()} and {self.source_effective:.1f} in the source: the"
                " adaptation has probably collapsed."
            )
        adapted = f"Adapted in {self.n_steps} step{'' if self.n_steps == 1 else 's'}"
        if self.agreement is None:
            return f"{adapted}."
        if self.kind == "regression":
            return (
                f"{adapted}; predictions for the target with and without it have a correlation"
                f" of {self.agreement:.2f}."
            )
        return (
            f"{adapted}; {1 - self.agreement:.0%} of the predictions for the target differ"
            " from those without it."
        )

    def to_dict(self):
        """All attributes in plain Python types, with `is_collapsed` and `summary`.

        Returns
        -------
        record : dict
            The attributes by name.
        """
        more = {"is_collapsed": self.is_collapsed, "summary": self.summary}
        return {**asdict(self), **more}

    def _describe_before(self):
        before = self.source_only_effective
        return "" if before is None else f", against {before:.1f} without adaptation"

    def _iterate_rows(self):
        """Pairs of a quantity and its text."""
        yield "Objective", self.objective
        yield "Steps", str(self.n_steps)
        yield "Rows", f"{self.n_labeled} labeled, {self.n_target} of the target"
        if self.agreement is not None:
            is_number = self.kind == "regression"
            name = "Correlation" if is_number else "Equal predictions"
            text = f"{self.agreement:.2f}" if is_number else f"{self.agreement:.0%}"
            yield f"{name}, source-only and adapted", text
        if self.adapted_score is not None:
            yield (
                "Score on validation samples",
                _format_pair(self.source_only_score, self.adapted_score, ".3f"),
            )
        if self.classes is not None:
            yield from self._iterate_classes()

    def _iterate_classes(self):
        effective = _format_pair(self.source_only_effective, self.adapted_effective, ".1f")
        yield "Effective classes", f"{effective}, {self.source_effective:.1f} in the source"
        before = self.source_only_shares
        before = [None] * len(self.classes) if before is None else before
        rows = zip(self.classes, self.source_shares, before, self.adapted_shares, strict=True)
        rows = sorted(rows, key=lambda row: -abs(row[3] - row[1]))
        for label, source, first, adapted in rows[:_SHOWN]:
            shares = _format_pair(first, adapted, ".0%")
            yield f"Share of {label}", f"{shares}, {source:.0%} in the source"
        if len(rows) > _SHOWN:
            yield "Other classes", f"{len(rows) - _SHOWN}, which differ less"

    def __str__(self):
        rows = list(self._iterate_rows())
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:{width}} {text}" for name, text in rows]
        return "\n".join(["Adaptation report", *lines, self.summary])

    __repr__ = __str__

    def _repr_html_(self):
        return format_report("Adaptation report", self._iterate_rows(), self.summary)


def _format_pair(before, after, form):
    adapted = f"{after:{form}} adapted"
    return adapted if before is None else f"{before:{form}} source-only, {adapted}"


def publish_adaptation(estimator, comparison, parts):
    """Set the attributes of a fitted estimator that tell of its adaptation; may warn."""
    targets, baseline = estimator._targets, comparison.baseline
    found = {
        "objective": _name_objective(estimator.adapt),
        "kind": _find_kind(targets),
        "n_steps": comparison.n_steps,
        "n_labeled": len(parts.train),
        "n_target": len(parts.target),
        "adapted_score": comparison.valid_score,
    }
    if baseline is not None:
        found["source_only_score"] = baseline.valid_score
        found["agreement"] = _compute_agreement(targets, baseline.outputs, comparison.outputs)
    if targets.single and targets.tasks[0].kind == "multiclass":
        found |= _compare_classes(targets.tasks[0], comparison, parts.train)
    report = estimator.adapt_report_ = AdaptationReport(**found)
    if any(task.kind != "regression" for task in targets.tasks):
        shares = [_compute_shares(task, comparison.outputs) for task in targets.tasks]
        estimator.target_classes_ = shares[0] if targets.single else shares
    if report.is_collapsed:
        _warn_of_collapse(report)


def forget_adaptation(estimator):
    """Delete what an earlier call has published."""
    for name in PUBLISHED:
        vars(estimator).pop(name, None)


def write_adaptation(estimator):
    """What a file of JSON holds of these attributes, by name."""
    if not hasattr(estimator, "adapt_report_"):
        return {}
    report = estimator.adapt_report_
    found = {"adapt_report_": {f.name: getattr(report, f.name) for f in fields(report)}}
    if hasattr(estimator, "target_classes_"):
        shares = estimator.target_classes_
        found["target_classes_"] = (
            [None if s is None else s.tolist() for s in shares]
            if isinstance(shares, list)
            else shares.tolist()
        )
    return found


def read_adaptation(estimator, written):
    """Set the attributes that `write_adaptation` wrote, if there are any."""
    if "adapt_report_" in written:
        estimator.adapt_report_ = AdaptationReport(**written["adapt_report_"])
    if "target_classes_" in written:
        shares = written["target_classes_"]
        estimator.target_classes_ = (
            np.array(shares)
            if estimator._targets.single
            else [None if s is None else np.array(s) for s in shares]
        )


def _name_objective(adapt):
    """The parameter `adapt` as text, in which there is no address of memory."""
    if type(adapt).__repr__ is object.__repr__:
        return f"{type(adapt).__name__}()"
    return shorten(adapt)


def _find_kind(targets):
    """What a report says of the kind of all that is predicted."""
    kinds = {task.kind for task in targets.tasks}
    is_clear = kinds == {"regression"} or len(targets.tasks) == 1
    return kinds.pop() if is_clear else None


def _compute_shares(task, outputs):
    """Shares of the predicted classes or labels; None for numbers."""
    outputs = outputs[:, task.columns]
    if task.kind == "multiclass":
        return np.bincount(outputs.argmax(axis=1), minlength=task.n_outputs) / len(outputs)
    return (outputs > 0).mean(axis=0) if task.kind == "multilabel" else None


def _compute_agreement(targets, before, after):
    """Share of equal entries of two predictions, or the mean correlation of numbers."""
    if _find_kind(targets) == "regression":
        pairs = zip(before.T, after.T, strict=True)
        found = [np.corrcoef(pair)[0, 1] for pair in pairs if min(map(np.ptp, pair)) > 0]
        return float(np.mean(found)) if found else None
    if len(targets.tasks) > 1:
        return None
    return float((targets.predict(before) == targets.predict(after)).mean())


def _compare_classes(task, comparison, train):
    """Entries of a report about the classes of the only task."""
    sums = np.bincount(train.encoded[0], train.weights, minlength=task.n_outputs)
    shares = sums / sums.sum()
    found = {
        "classes": task.classes.tolist(),
        "source_shares": shares.tolist(),
        "source_effective": _count_effective(shares),
        "adapted_shares": _compute_shares(task, comparison.outputs).tolist(),
        "adapted_effective": _count_predicted(task, comparison.outputs),
    }
    if comparison.baseline is not None:
        outputs = comparison.baseline.outputs
        found["source_only_shares"] = _compute_shares(task, outputs).tolist()
        found["source_only_effective"] = _count_predicted(task, outputs)
    return found


def _count_predicted(task, outputs):
    proba = task.predict_proba(outputs[:, task.columns].astype(np.float64))
    return _count_effective(proba.mean(axis=0))


def _count_effective(shares):
    """Exponential of the entropy of shares."""
    present = shares[shares > 0]
    return float(np.exp(-(present * np.log(present)).sum()))


def _warn_of_collapse(report):
    warnings.warn(
        f"Adaptation with {report.objective} predicts {report.adapted_effective:.1f} classes"
        f" of the target{report._describe_before()} and {report.source_effective:.1f} in the"
        " source, which looks like a collapse. Unless the target is known to hold so few"
        " classes, use adapt=None, another objective, a smaller weight of this one, or fewer"
        " epochs.",
        UserWarning,
        stacklevel=6,
    )
