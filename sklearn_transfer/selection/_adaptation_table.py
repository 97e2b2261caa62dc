"""Records of ranked adaptations, and their text, HTML and data frame."""

import html
from dataclasses import dataclass, field
from typing import Any

from sklearn_transfer._validation import import_optional
from sklearn_transfer.selection._ranking_table import list_names

SCORES = {
    "neighbors": "neighbors",
    "infomax": "InfoMax",
    "bnm": "BNM",
    "importance-weighted": "weighted",
    "dev": "DEV",
    "reverse": "reverse",
}


@dataclass(frozen=True)
class AdaptationCandidate:
    """A way to adapt and what `rank_adaptations` found of it; see there."""

    name: str
    kind: str
    estimator: Any = field(default=None, repr=False)
    scores: dict = field(default_factory=dict)
    gain: float | None = None
    gain_error: float | None = None
    accuracy: float | None = None
    accuracy_error: float | None = None
    agreement: float | None = None
    seconds: float | None = None
    collapsed: bool = False
    supported: bool = False
    problem: str | None = None

    def format_cells(self):
        """Text of each column; empty where nothing is known."""
        cells = {"candidate": self.name, "kind": self.kind}
        for name, title in SCORES.items():
            if name in self.scores:
                cells[title] = f"{self.scores[name]:.3f}"
        if self.gain is not None:
            cells["gain"] = f"{self.gain:+.3f} +- {self.gain_error:.3f}"
        if self.accuracy is not None:
            cells["accuracy"] = f"{self.accuracy:.2f} +- {self.accuracy_error:.2f}"
        if self.agreement is not None:
            cells["agreement"] = f"{self.agreement:.2f}"
        if self.seconds is not None:
            cells["seconds"] = f"{self.seconds:.1f}"
        if self.collapsed:
            cells["candidate"] += " (collapsed)"
        return cells


@dataclass(frozen=True, repr=False)
class AdaptationRanking:
    """Candidates, the best first; what `rank_adaptations` returns, see there."""

    candidates: tuple
    chosen: AdaptationCandidate
    reason: str
    score_name: str

    @property
    def source_only(self):
        """The candidate that does not adapt."""
        return next(row for row in self.candidates if row.kind == "none")

    def to_frame(self):
        """One row per candidate, without its estimator, as a pandas DataFrame.

        Returns
        -------
        frame : pandas.DataFrame
            Of as many rows as there are candidates, with a column for each score; the column
            `chosen` is true in one of them.
        """
        pandas = import_optional("pandas", "examples", "AdaptationRanking.to_frame")
        left_out = ("estimator", "scores")
        rows = [
            {
                "chosen": row is self.chosen,
                **{k: v for k, v in vars(row).items() if k not in left_out},
                **row.scores,
            }
            for row in self.candidates
        ]
        return pandas.DataFrame(rows)

    def plot(self, ax=None):
        """Draw the score of each candidate beside that of the model that does not adapt.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        display : AdaptationDisplay
        """
        from sklearn_transfer.plotting import AdaptationDisplay

        return AdaptationDisplay.from_ranking(self, ax=ax)

    def _build_table(self):
        """Titles of the columns that say something, and cells row by row."""
        cells = [row.format_cells() for row in self.candidates]
        order = ["candidate", "kind", *SCORES.values()]
        order += ["gain", "accuracy", "agreement", "seconds"]
        titles = [title for title in order if any(title in row for row in cells)]
        return titles, [[row.get(title, "") for title in titles] for row in cells]

    def __str__(self):
        titles, rows = self._build_table()
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        ways = ["<" if title in ("candidate", "kind") else ">" for title in titles]
        lines = [
            "  ".join(map("{:{}{}}".format, row, ways, widths)).rstrip()
            for row in [titles, *rows]
        ]
        return "\n".join([*lines, *describe_failures(self.candidates), self.reason])

    __repr__ = __str__

    def _repr_html_(self):
        titles, rows = self._build_table()
        head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
        body = "".join(
            f"<tr{' style=font-weight:bold' if row is self.chosen else ''}>"
            f"{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
            for row, cells in zip(self.candidates, rows, strict=True)
        )
        lines = "".join(
            f"<p>{html.escape(line)}</p>" for line in describe_failures(self.candidates)
        )
        return (
            f"<table><caption>Adaptations by {html.escape(self.score_name)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{lines}"
            f"<p><strong>{html.escape(self.reason)}</strong></p>"
        )


def describe_failures(candidates):
    """One line per problem, with the candidates that have it."""
    names = {}
    for row in candidates:
        if row.problem is not None:
            names.setdefault(row.problem, []).append(row.name)
    for problem, having in names.items():
        yield f"{list_names(having)}: {problem}"
