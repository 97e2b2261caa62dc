"""Rows whose label is probably wrong, by probabilities from models that did not see them."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
    cross_val_predict,
)
from sklearn.utils import check_random_state, indexable
from sklearn.utils._param_validation import HasMethods, validate_params

from sklearn_transfer._html import format_report
from sklearn_transfer._modalities.contents import is_missing
from sklearn_transfer._sampling import draw_seed
from sklearn_transfer._validation import (
    as_target,
    check_class_labels,
    column_or_1d,
    format_list,
    import_optional,
)

_FOLDS = 5
_SHOWN = 10  # rows in a text


@dataclass(frozen=True, repr=False, eq=False)
class LabelErrors:
    """What `label_errors` found; see there."""

    rows: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    quality: np.ndarray
    probabilities: np.ndarray
    classes: np.ndarray

    def to_dict(self):
        """All attributes in plain Python types."""
        return {
            name: np.asarray(getattr(self, name)).tolist()
            for name in self.__dataclass_fields__
        }

    def _describe(self):
        n = len(self.quality)
        if not len(self.rows):
            return f"No label of {n} rows looks wrong."
        return f"{len(self.rows)} of {n} labels look wrong: check them, the first ones first."

    def _iterate_rows(self):
        yield "Rows", f"{len(self.quality)}"
        yield "Labels that look wrong", f"{len(self.rows)}"
        found = zip(self.rows, self.given, self.suggested, strict=True)
        for row, given, suggested in list(found)[:_SHOWN]:
            yield (
                f"Row {row}",
                f"{given}, rather {suggested} (quality {self.quality[row]:.2f})",
            )
        if len(self.rows) > _SHOWN:
            yield "Other rows", f"{len(self.rows) - _SHOWN}"

    def __str__(self):
        lines = [f"{name:24} {value}" for name, value in self._iterate_rows()]
        return "\n".join(["Label errors", *lines, self._describe()])

    __repr__ = __str__

    def _repr_html_(self):
        return format_report("Label errors", self._iterate_rows(), self._describe())


@validate_params(
    {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "X": "no_validation",
        "y": ["array-like"],
        "groups": ["array-like", None],
        "cv": ["cv_object"],
        "params": [dict, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def label_errors(
    estimator, X, y, *, groups=None, cv=None, params=None, n_jobs=None, random_state=None
):
    """Find rows whose label is probably wrong, by a model that did not see them.

    With features of a pretrained network a linear model is good from few rows, so the rows on
    which it is sure of another label are worth a look. Needs the package cleanlab, from
    the extra `quality`.

    Parameters
    ----------
    estimator : classifier
        With `predict_proba`, such as a Pipeline of `PretrainedFeatures` and
        `LogisticRegression`. Clones of it are fitted.
    X : sequence of n_samples samples
        Whatever the estimator takes.
    y : array-like of shape (n_samples,)
        Labels, some of them wrong.
    groups : array-like of shape (n_samples,), default=None
        Rows that stay together in a fold, such as those of `duplicate_groups`: a copy with
        the same wrong label would confirm it.
    cv : int, cross-validator or iterable of splits, default=None
        Folds, in which each row is tested once. None is five, stratified, drawn by
        `random_state`. With `groups`, None and numbers keep these together.
    params : dict, default=None
        Passed to `fit` of the estimator as in `cross_val_predict`, such as
        ``{"sample_weight": weights}``, of which each fold gets its rows.
    n_jobs : int, default=None
        Folds fitted at once, as in scikit-learn.
    random_state : int, RandomState instance or None, default=None
        Draws the folds where `cv=None`. It does not reach the estimator.

    Returns
    -------
    result : LabelErrors
        Prints as a short report, shows as HTML in a notebook, and holds

        rows : ndarray of shape (n_found,)
            Rows whose label looks wrong, the surest first.
        given, suggested : ndarray of shape (n_found,)
            The label of these rows, and the one that the model holds most probable.
        quality : ndarray of shape (n_samples,)
            Probability of each row's own label.
        probabilities : ndarray of shape (n_samples, n_classes)
            Of all classes, for each row by a model that was fitted on other rows.
        classes : ndarray of shape (n_classes,)
            Labels of the columns of `probabilities`.

        and `to_dict()`, all of it in plain Python types.

    Raises
    ------
    ImportError
        If cleanlab is not installed.
    ValueError
        If labels are missing or fewer than two classes, if the training rows of a fold lack
        a class, or if `predict_proba` does not give probabilities of all classes.

    See Also
    --------
    duplicate_groups : Copies, which hide wrong labels.
    choose_rows_to_label : Which rows to label.

    Notes
    -----
    Confident learning [1]_ counts for each pair of classes how many rows with the one label
    are more probable than usual under the other, so that the number of rows that are found is
    an estimate and no parameter. It takes the probabilities at their word and wrong labels
    for chance within a class: rows of a hard class, and those of a group that the model does
    not know, look like errors too. A wrong label that the network cannot see is not found.
    Look at the rows before you change or drop them, and never drop test rows because the
    model is wrong about them.

    References
    ----------
    .. [1] C. Northcutt, L. Jiang, I. Chuang. "Confident Learning: Estimating Uncertainty in
       Dataset Labels". JAIR, 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_transfer.selection import label_errors
    >>> X, y = load_iris(return_X_y=True)
    >>> y[:3] = 2
    >>> result = label_errors(LogisticRegression(max_iter=1000), X, y, random_state=0)
    >>> sorted(result.rows[:3].tolist()), result.suggested[:3].tolist()
    ([0, 1, 2], [0, 0, 0])
    """
    import_optional("cleanlab", "quality", "label_errors")
    from cleanlab.filter import find_label_issues

    labels = _validate_labels(y)
    X, labels, groups = indexable(X, labels, groups)
    classes, codes = np.unique(labels, return_inverse=True)
    folds = _build_folds(cv, classes, codes, groups, random_state)
    probabilities = cross_val_predict(
        estimator, X, labels, cv=folds, n_jobs=n_jobs, method="predict_proba", params=params
    )
    _check_probabilities(probabilities, (len(labels), len(classes)), estimator)
    quality = probabilities[np.arange(len(codes)), codes]
    wrong = find_label_issues(codes, probabilities, n_jobs=1)
    rows = np.flatnonzero(wrong)
    rows = rows[np.argsort(quality[rows], kind="stable")]
    return LabelErrors(
        rows=rows,
        given=labels[rows],
        suggested=classes[probabilities[rows].argmax(axis=1)],
        quality=quality,
        probabilities=probabilities,
        classes=classes,
    )


def _validate_labels(y):
    """Labels as an array, of two classes or more and none of them missing."""
    y = as_target(y)
    missing = [
        row for row, label in enumerate(np.asarray(y, object).ravel()) if is_missing(label)
    ]
    if missing:
        raise ValueError(
            f"y has no label in {len(missing)} rows, {format_list(missing)}: pass the rows"
            " with a label, of X and of y"
        )
    if not len(y):
        raise ValueError("y is empty: a wrong label needs two or more classes")
    check_class_labels(y)
    labels = column_or_1d(y)
    if len(set(labels.tolist())) < 2:
        raise ValueError(
            f"y holds the one class {labels.tolist()[0]!r}: a wrong label needs two or more"
            " classes"
        )
    return labels


def _build_folds(cv, classes, codes, groups, random_state):
    """Rows to fit on and rows to test, of each fold."""
    if cv is None:
        _check_five(classes, codes, groups)
        splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
        seed = draw_seed(check_random_state(random_state))
        cv = splitter(_FOLDS, shuffle=True, random_state=seed)
    elif isinstance(cv, Integral) and groups is not None:
        cv = StratifiedGroupKFold(cv)
    cv = check_cv(cv, codes, classifier=True)
    folds = list(cv.split(np.zeros(len(codes)), codes, groups))
    for number, (train, _) in enumerate(folds):
        absent = np.setdiff1d(np.arange(len(classes)), codes[train])
        if len(absent):
            raise ValueError(
                f"The training rows of fold {number} hold no row of class"
                f" {classes.tolist()[absent[0]]!r}, so that its probability is unknown: leave"
                " the class out, or pass a stratified cv"
            )
    return folds


def _check_five(classes, codes, groups):
    """Raise ValueError where five folds cannot be made."""
    counts = np.bincount(codes)
    least = counts.argmin()
    if counts[least] < _FOLDS:
        repair = "leave it out, or add to it"
        if counts[least] > 1:
            repair = f"pass cv={counts[least]} or fewer, or leave the class out"
        raise ValueError(
            f"Class {classes.tolist()[least]!r} has {counts[least]} of the {len(codes)} rows,"
            f" and cv=None makes {_FOLDS} folds: {repair}"
        )
    n_groups = _FOLDS if groups is None else len(np.unique(groups))
    if n_groups < _FOLDS:
        raise ValueError(
            f"groups holds {n_groups} groups, and cv=None makes {_FOLDS} folds: pass"
            f" cv={n_groups} or fewer"
        )


def _check_probabilities(probabilities, shape, estimator):
    name = f"predict_proba of {type(estimator).__name__}"
    if probabilities.shape != shape:
        raise ValueError(
            f"{name} gave an array of shape {probabilities.shape}, expected {shape}: a column"
            " for each class"
        )
    is_good = (probabilities >= 0).all(axis=1)
    is_good &= np.isclose(probabilities.sum(axis=1), 1, atol=1e-3)
    if not is_good.all():
        row = int(np.argmin(is_good))
        shown = format_list(probabilities[row].tolist())
        raise ValueError(
            f"{name} gave {shown} for row {row}, expected probabilities that add up to 1: wrap"
            " the estimator in CalibratedClassifierCV"
        )
