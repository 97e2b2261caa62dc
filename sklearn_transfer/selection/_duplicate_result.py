"""Groups of copies, and the report of copies that a split divides."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import check_cv

from sklearn_transfer._html import format_report
from sklearn_transfer._validation import as_target

_SHOWN = 5  # pairs in a text


@dataclass(frozen=True, repr=False, eq=False)
class DuplicateGroups:
    """What `duplicate_groups` found; see there."""

    groups: np.ndarray
    pairs: np.ndarray
    similarity: np.ndarray
    exact: np.ndarray
    kind: str
    threshold: float | None
    is_verified: bool
    n_left_out: int = 0

    @property
    def first_rows(self):
        """The first row of each group."""
        return np.unique(self.groups, return_index=True)[1]

    def find_leaks(self, train, test):
        """Report the test rows that have a copy among the training rows.

        Parameters
        ----------
        train, test : array-like of int, or of bool of shape (n_samples,)
            Rows of either side, as numbers or as a mask.

        Returns
        -------
        report : LeakReport
        """
        n = len(self.groups)
        return self._report([(_to_rows(train, n, "train"), _to_rows(test, n, "test"))])

    def find_leaks_in(self, cv, y=None, groups=None):
        """Report the test rows that have a copy among the training rows of their fold.

        Parameters
        ----------
        cv : int, cross-validator or iterable of splits
            As in `cross_val_score`; a number is that of folds, stratified where y is given.
        y : array-like of shape (n_samples,), default=None
            Labels, for splitters that use them.
        groups : array-like of shape (n_samples,), default=None
            Groups, for splitters that use them.

        Returns
        -------
        report : LeakReport
        """
        y = None if y is None else np.asarray(as_target(y))
        cv = check_cv(cv, y, classifier=y is not None)
        return self._report(cv.split(np.zeros((len(self.groups), 1)), y, groups))

    def _report(self, folds):
        found, n_test = [], []
        for fold, (train, test) in enumerate(folds):
            _check_apart(train, test)
            n_test.append(len(test))
            found.extend((fold, *leak) for leak in self._iterate_leaks(train, test))
        table = np.array([leak[:3] for leak in found], dtype=np.intp).reshape(-1, 3)
        return LeakReport(
            fold=table[:, 0],
            test_row=table[:, 1],
            train_row=table[:, 2],
            similarity=np.array([leak[3] for leak in found]),
            n_test=n_test,
        )

    def _iterate_leaks(self, train, test):
        """Yield a test row, a training row of its group, and their similarity or NaN."""
        first = self._find_first_equal()
        in_group, equal = {}, {}  # the first training row of each group, and of each content
        for row in sorted(np.asarray(train).tolist()):
            in_group.setdefault(self.groups[row], row)
            equal.setdefault(first[row], row)
        similar = self._list_similar(first)
        for row in np.asarray(test).tolist():
            if self.groups[row] not in in_group:
                continue
            near = similar[first[row]]
            # Rows of equal content are as similar as can be, also if no pair lists them.
            shown = [(1.0, first[row]), *((value, other) for other, value in near.items())]
            known = [(value, -equal[other]) for value, other in shown if other in equal]
            value, other = max(known, default=(np.nan, -in_group[self.groups[row]]))
            yield row, -other, value

    def _find_first_equal(self):
        """For each row, the first one of equal content."""
        first = np.arange(len(self.groups))
        first[self.pairs[self.exact, 1]] = self.pairs[self.exact, 0]
        return first.tolist()

    def _list_similar(self, first):
        """For the first row of each content, others that it was compared with."""
        similar = [{} for _ in self.groups]
        for pair, value in zip(self.pairs.tolist(), self.similarity, strict=True):
            low, high = (first[row] for row in pair)
            if low != high:
                similar[low][high] = similar[high][low] = float(value)
        return similar

    def to_dict(self):
        """All attributes in plain Python types."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, value in found.items():
            if isinstance(value, np.ndarray):
                found[name] = value.tolist()
        return found

    def _describe(self):
        sizes = np.bincount(self.groups)
        n_samples, n_groups = len(self.groups), int((sizes > 1).sum())
        if not n_groups:
            return f"No copies among {_count(n_samples, 'sample')}."
        return (
            f"{int(sizes[sizes > 1].sum())} of {n_samples} samples are in"
            f" {_count(n_groups, 'group')} of copies: keep one of each (first_rows), or split"
            " by groups."
        )

    def _iterate_rows(self):
        sizes = np.bincount(self.groups)
        yield "Samples", f"{len(self.groups)} ({self.kind})"
        largest = f", the largest of {sizes.max()}" if sizes.max() > 1 else ""
        yield "Groups of copies", f"{int((sizes > 1).sum())}{largest}"
        yield "Pairs of equal content", f"{int(self.exact.sum())}"
        yield "Pairs of near copies", self._describe_near()
        if self.n_left_out:
            what = "no more like each other than like other samples"
            repair = f"threshold={self.threshold:g} counts them"
            yield "Pairs left out", f"{self.n_left_out} ({what}; {repair})"
        for (first, second), value in list(zip(self.pairs, self.similarity, strict=True))[
            :_SHOWN
        ]:
            yield f"Rows {first} and {second}", f"similarity {value:.2f}"
        if len(self.pairs) > _SHOWN:
            yield "Other pairs", f"{len(self.pairs) - _SHOWN}"

    def _describe_near(self):
        if self.threshold is None:
            return "not searched"
        doubt = "" if self.is_verified else ", by the cosine of features alone"
        return f"{int((~self.exact).sum())} (similarity from {self.threshold:g}{doubt})"

    def __str__(self):
        lines = [f"{name:24} {value}" for name, value in self._iterate_rows()]
        return "\n".join(["Copies", *lines, self._describe()])

    __repr__ = __str__

    def _repr_html_(self):
        return format_report("Copies", self._iterate_rows(), self._describe())


@dataclass(frozen=True, repr=False, eq=False)
class LeakReport:
    """Test rows that have a copy among the training rows of their fold.

    Parameters
    ----------
    fold, test_row, train_row : ndarray of shape (n_leaks,)
        Number of the fold, the test row, and the most similar training row of its group.
    similarity : ndarray of shape (n_leaks,)
        Of these two; NaN where they were not compared and are copies through other rows.
    n_test : list of int
        Number of test rows of each fold.
    """

    fold: np.ndarray
    test_row: np.ndarray
    train_row: np.ndarray
    similarity: np.ndarray
    n_test: list

    @property
    def share(self):
        """Share of test rows that have a copy among the training rows, over all folds."""
        return len(self.test_row) / max(sum(self.n_test), 1)

    def to_dict(self):
        """All attributes in plain Python types, and the share."""
        found = {
            name: np.asarray(getattr(self, name)).tolist()
            for name in self.__dataclass_fields__
        }
        return {**found, "share": self.share}

    def _describe(self):
        n_leaks, n_test = len(self.test_row), sum(self.n_test)
        over = f" of {len(self.n_test)} folds" if len(self.n_test) > 1 else ""
        if not n_leaks:
            return f"None of {n_test} test rows{over} has a copy among the training rows."
        verb = "has" if n_leaks == 1 else "have"
        return (
            f"{n_leaks} of {n_test} test rows{over} ({self.share:.0%}) {verb} a copy among the"
            " training rows.".replace("%)", " %)")
        )

    def _iterate_rows(self):
        leaks = zip(self.fold, self.test_row, self.train_row, self.similarity, strict=True)
        for fold, row, other, value in list(leaks)[:_SHOWN]:
            where = f" (fold {fold})" if len(self.n_test) > 1 else ""
            how = "through other copies" if np.isnan(value) else f"similarity {value:.2f}"
            yield f"Row {row}{where}", f"is like row {other} ({how})"
        if len(self.test_row) > _SHOWN:
            yield "Other test rows", f"{len(self.test_row) - _SHOWN}"

    def __str__(self):
        lines = [f"{name} {value}." for name, value in self._iterate_rows()]
        return "\n".join([self._describe(), *lines, *self._list_advice()])

    __repr__ = __str__

    def _list_advice(self):
        if not len(self.test_row):
            return []
        return ["Split by groups: StratifiedGroupKFold with groups=result.groups."]

    def _repr_html_(self):
        conclusion = " ".join([self._describe(), *self._list_advice()])
        return format_report("Copies across the split", self._iterate_rows(), conclusion)


def _to_rows(rows, n_samples, name):
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != (n_samples,):
            raise ValueError(
                f"{name} is a mask of shape {rows.shape}, and there are {n_samples} samples:"
                " give a mask of that length, or the numbers of rows"
            )
        return np.flatnonzero(rows)
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} is an array of {rows.dtype} with shape {rows.shape}: give the numbers of"
            " rows, or a mask"
        )
    beyond = rows[(rows < 0) | (rows >= n_samples)]
    if len(beyond):
        raise ValueError(
            f"{name} holds row {beyond[0]}, and there are {n_samples} samples: give numbers"
            f" from 0 to {n_samples - 1}"
        )
    return rows.astype(np.intp)


def _check_apart(train, test):
    both = np.intersect1d(train, test)
    if len(both):
        raise ValueError(
            f"Row {both[0]} is in train and in test: give each row to one side alone"
        )


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
