"""Records of ranked candidates, and their text, HTML and data frame."""

import html
from dataclasses import dataclass, field, replace
from typing import Any

from sklearn_transfer._validation import import_optional

_COLUMNS = {
    "name": "network",
    "layer": "layer",
    "score": None,  # its own name
    "cv_mean": "cross-validated",
    "n_features": "features",
    "seconds": "ms per sample",
    "n_parameters": "parameters",
}
_TEXTS = ("name", "layer")


@dataclass(frozen=True)
class Candidate:
    """A layer of a network and what `rank_backbones` found of it; see there."""

    name: str
    layer: str
    features: Any = field(repr=False)
    score: float | None = None
    n_features: int | None = None
    seconds: float | None = None
    n_parameters: int | None = None
    cv_mean: float | None = None
    cv_std: float | None = None
    problem: str | None = None

    @property
    def title(self):
        """Network and layer in one string."""
        return f"{self.name}, {self.layer}"

    def add_problem(self, error):
        """The candidate with what is wrong in place of a score."""
        text = f"{error}".strip() or type(error).__name__
        return replace(self, problem=text)

    def add_costs(self, done):
        """The candidate with the costs of a `LayerFeatures`."""
        seconds = done.seconds / done.n_computed if done.n_computed else None
        return replace(self, seconds=seconds, n_parameters=done.n_parameters)

    def add_results(self, **results):
        """The candidate with some further attributes."""
        return replace(self, **results)

    def format_cells(self):
        """Text of each column; empty where nothing is known."""
        score = "-" if self.score is None else f"{self.score:.4g}"
        known = {"name": self.name, "layer": self.layer, "score": score}
        if self.cv_mean is not None:
            known["cv_mean"] = f"{self.cv_mean:.3f} +- {self.cv_std:.3f}"
        if self.n_features is not None:
            known["n_features"] = str(self.n_features)
        if self.seconds is not None:
            known["seconds"] = f"{1000 * self.seconds:.1f}"
        if self.n_parameters is not None:
            known["n_parameters"] = f"{self.n_parameters / 1e6:.2f} M"
        return {**dict.fromkeys(_COLUMNS, ""), **known}


@dataclass(frozen=True, repr=False)
class BackboneRanking:
    """Candidates, the best first; what `rank_backbones` returns, see there."""

    candidates: tuple
    score_name: str

    @property
    def best(self):
        """The candidate with the highest score."""
        return self.candidates[0]

    def to_frame(self):
        """One row per candidate, without its extractor, as a pandas DataFrame.

        Returns
        -------
        frame : pandas.DataFrame
            Of as many rows as there are candidates; its column `score` is named so.
        """
        pandas = import_optional("pandas", "examples", "BackboneRanking.to_frame")
        rows = [
            {name: value for name, value in vars(row).items() if name != "features"}
            for row in self.candidates
        ]
        return pandas.DataFrame(rows)

    def plot(self, ax=None, *, against=None, scatter_kwargs=None):
        """Draw the score of each candidate against what it costs.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to draw on; None makes new ones.
        against : {"seconds", "n_parameters", "n_features", "cv_mean"}, default=None
            What the horizontal axis shows. None is "seconds" where all were measured, else
            "n_parameters".
        scatter_kwargs : dict, default=None
            Passed to `Axes.scatter`.

        Returns
        -------
        display : RankingDisplay
        """
        from sklearn_transfer.plotting import RankingDisplay

        return RankingDisplay.from_ranking(
            self, against=against, ax=ax, scatter_kwargs=scatter_kwargs
        )

    def _build_table(self):
        """Names of the columns that say something, their titles, and cells row by row."""
        cells = [row.format_cells() for row in self.candidates]
        shown = [name for name in _COLUMNS if any(row[name] for row in cells)]
        titles = [_COLUMNS[name] or self.score_name for name in shown]
        return shown, titles, [[row[name] for name in shown] for row in cells]

    def __str__(self):
        shown, titles, rows = self._build_table()
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        ways = ["<" if name in _TEXTS else ">" for name in shown]
        lines = [
            "  ".join(map("{:{}{}}".format, row, ways, widths)).rstrip()
            for row in [titles, *rows]
        ]
        return "\n".join([*lines, *describe_problems(self.candidates)])

    __repr__ = __str__

    def _repr_html_(self):
        _, titles, rows = self._build_table()
        head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
            for row in rows
        )
        lines = "".join(
            f"<p>{html.escape(line)}</p>" for line in describe_problems(self.candidates)
        )
        return (
            f"<table><caption>Networks by {html.escape(self.score_name)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{lines}"
        )


def describe_problems(candidates):
    """One line per problem, with the candidates that have it."""
    layers = {}
    for row in candidates:
        if row.problem is not None:
            layers.setdefault((row.name, row.problem), []).append(row.layer)
    for (name, problem), having in layers.items():
        yield f"{name} ({list_names(having)}): {problem}"


def list_names(names, separator=", ", limit=10):
    """The first of many names, for a message."""
    more = [f"and {len(names) - limit} more"] if len(names) > limit else []
    return separator.join([*names[:limit], *more])
