"""Accuracy on the target from labels of a few of its rows."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.validation import _num_samples

from sklearn_transfer._validation import _safe_indexing, format_list, shorten
from sklearn_transfer.selection._accuracy_interval import (
    compute_binomial_interval,
    compute_exact_interval,
    compute_spread_interval,
    compute_variance_ratio,
    count_changes,
)
from sklearn_transfer.selection._label_sample import (
    LabelSample,
    check_is_classifier,
    compute_certainty,
    unwrap_target,
)
from sklearn_transfer.selection._target_accuracy_result import TargetAccuracy

_SAME = 1e-3  # differences of a certainty that another batch or engine may cause


@validate_params(
    {
        "model": [HasMethods(["fit", "predict"])],
        "X_target": "no_validation",
        "y_some": ["array-like"],
        "sample": [LabelSample, "array-like", None],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "population": [StrOptions({"rows", "domain"})],
    },
    prefer_skip_nested_validation=True,
)
def target_accuracy(
    model, X_target, y_some, *, sample=None, confidence=0.95, population="rows"
):
    """Estimate the accuracy of a classifier on the target from labels of a few rows.

    Twenty, fifty or two hundred labels are enough for an interval that can be relied on,
    also where the probabilities of the model cannot, as is usual on shifted data.

    Parameters
    ----------
    model : classifier
        A fitted classifier: a Pipeline, a search, a fine-tuner on paths, or any other. It
        must not have seen the labels. It may be another one than that which the rows were
        chosen for, so that the same labels judge several models.
    X_target : sequence of n_target samples or TargetDomain
        All target samples, in any form that the model takes.
    y_some : array-like of shape (n_labels,) or (n_target,)
        True labels of the rows in `sample`, in their order. A longer one has an entry for
        each target row and may be missing (None, NaN or NA) outside `sample`. Labels that
        are not among the classes of the model count as wrong predictions.
    sample : LabelSample, array-like of row numbers or None, default=None
        Rows that the labels belong to:

        - what `choose_rows_to_label` returned, which gives the shortest intervals;
        - numbers of rows that were drawn at random, all with the same chance;
        - None: `y_some` has n_target entries, and those present are taken for a random
          sample. Labels of the first rows, or of easy ones, are not.
    confidence : float, default=0.95
        Level of the interval, between 0 and 1.
    population : {"rows", "domain"}, default="rows"
        "rows" asks for the accuracy on the rows of X_target, which is known exactly once all
        are labeled; "domain" for that on all samples where X_target comes from, of which it
        is a random sample.

    Returns
    -------
    result : TargetAccuracy
        Prints as a sentence, shows as HTML in a notebook, and holds

        accuracy : float
            Share of labeled rows that are predicted correctly.
        interval : tuple of float
            Confidence interval of the accuracy on the target.
        confidence : float
            As given.
        mean_certainty : float or None
            The estimate without labels: mean of the largest probability over all target
            rows. None for a model without `predict_proba`.
        n_labels, n_target : int
            Numbers of labeled rows and of all.
        effective_labels : float
            Number of simple random labels that are worth as much.
        n_unknown : int
            Number of labels that are not among the classes of the model.
        method : {"spread", "random", "all"}
            Kind of the sample: by `choose_rows_to_label`, simple random, or all rows.
        population : str
            As given.

        and `to_dict()`, all of it in plain Python types.

    Raises
    ------
    ValueError
        If the model is no classifier of one output, if a label of a chosen row is missing, if
        a row appears twice, or if no label is among the classes of the model.

    See Also
    --------
    choose_rows_to_label : Chooses the rows to label.
    negative_transfer_test : With labels of target rows, compares two models on them.
    ImportanceWeightedScorer : A score for the target, without its labels.

    Notes
    -----
    Of n rows spread over the certainty, all with the same chance, the accuracy is the plain
    mean. Its variance is at most that of simple random rows. The factor r between the two is
    estimated from the number m of changes between right and wrong along the certainty: half
    the squared difference of neighbors stands for the variance within strata. With s^2 the
    variance of right (1) and wrong (0) over the labeled rows,

        r = min(1, ((m / 2 + max(0, 1 - 20 / n)) / s^2 + 20) / (n - 1 + 20)),

    where 20 labels of prior weight pull r toward 1, and the interval is that of Clopper and
    Pearson [1]_ for n_eff = n / r / ((N - n) / (N - 1)) random labels of an infinite target,
    N being the number of target rows (for effective sizes see [2]_). Where the certainty says
    nothing, r is near 1 and the interval that of random rows. That one is valid for spread
    rows by Hoeffding's theorem [3]_, since the number of right rows is distributed as a sum of
    independent trials.

    With 20 to 200 labels, accuracies from 0.6 to 0.95, targets of 300 to 5000 rows, and
    certainties that are informative, useless or misleading, the 95 % interval covered in 943
    or more of 1000 draws in each of 585 settings (`benchmarks/target_accuracy.py`). At a
    certainty that is calibrated and informative, its length is 0.9, 0.85 and 0.8 times that
    of random rows at 20, 50 and 200 labels; plain prediction-powered intervals are shorter
    and cover too rarely with so few.

    Rows drawn at random have the exact interval of the hypergeometric law, or for
    ``population="domain"`` that of Clopper and Pearson; both use no certainty.

    All this assumes that every chosen row gets its label. Rows that cannot be labeled are
    rarely like the others: choose what they count as, for example a class of their own.
    A small set of labels serves once: choosing the best of many models by it makes the
    accuracy of the chosen one look too good.

    References
    ----------
    .. [1] Clopper, C. and Pearson, E. (1934). The use of confidence or fiducial limits
       illustrated in the case of the binomial. Biometrika 26.
    .. [2] Korn, E. and Graubard, B. (1998). Confidence intervals for proportions with small
       expected number of positive counts estimated from survey data. Survey Methodology 24.
    .. [3] Hoeffding, W. (1956). On the distribution of the number of successes in independent
       trials. Annals of Mathematical Statistics 27.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn_transfer.selection import choose_rows_to_label, target_accuracy
    >>> X, y = load_digits(return_X_y=True)
    >>> model = GaussianNB().fit(X[:300], y[:300])
    >>> sample = choose_rows_to_label(model, X[300:], 50, random_state=0)
    >>> result = target_accuracy(model, X[300:], y[300:][sample.rows], sample=sample)
    >>> low, high = result.interval
    >>> bool(low < model.score(X[300:], y[300:]) < high < result.mean_certainty)
    True
    """
    X_target = unwrap_target(X_target)
    check_is_classifier(model, "target_accuracy")
    n_target = _num_samples(X_target)
    rows = _resolve_rows(sample, n_target)
    rows, labels = _read_labels(y_some, rows, n_target)
    right, n_unknown = _compare_labels(model, _safe_indexing(X_target, rows), labels)
    spread = isinstance(sample, LabelSample) and sample.spread
    n_right, n_labels, ratio = int(right.sum()), len(right), 1.0
    options = {"n_target": n_target, "confidence": confidence}
    if spread:
        n_changes = int(count_changes(right[np.argsort(sample.ranks)]))
        ratio = compute_variance_ratio(n_right, n_changes, n_labels)
        interval = compute_spread_interval(
            n_right, n_changes, n_labels, of_rows=population == "rows", **options
        )
    elif population == "domain":
        interval = compute_binomial_interval(n_right, n_labels, confidence)
    else:
        interval = compute_exact_interval(n_right, n_labels, **options)
    return TargetAccuracy(
        accuracy=n_right / n_labels,
        interval=interval,
        confidence=float(confidence),
        mean_certainty=_compute_mean_certainty(model, X_target, sample),
        n_labels=n_labels,
        n_target=n_target,
        effective_labels=n_labels / ratio,
        n_unknown=n_unknown,
        method="all" if n_labels == n_target else "spread" if spread else "random",
        population=population,
    )


def _resolve_rows(sample, n_target):
    """Numbers of the labeled rows, or None where only the labels tell."""
    if sample is None:
        return None
    if isinstance(sample, LabelSample):
        if sample.n_target != n_target:
            raise ValueError(
                f"sample was chosen from {sample.n_target} rows, and X_target has {n_target}: "
                "give the X_target that choose_rows_to_label got"
            )
        return sample.rows
    rows = np.asarray(sample)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        raise ValueError(
            f"sample={shorten(sample)} is no list of row numbers: give the numbers of the "
            "labeled rows in X_target, or what choose_rows_to_label returned"
        )
    outside = rows[(rows < 0) | (rows >= n_target)]
    if len(outside):
        raise ValueError(
            f"sample names row {outside[0]}, and X_target has the rows 0 to {n_target - 1}"
        )
    values, counts = np.unique(rows, return_counts=True)
    if counts.max() > 1:
        raise ValueError(
            f"sample names row {values[counts.argmax()]} {counts.max()} times: draw rows "
            "without replacement, and give each once"
        )
    return rows


def _read_labels(y_some, rows, n_target):
    """Rows that have a label, and their labels."""
    # Here, because the package of fine-tuners loads Pillow.
    from sklearn_transfer.finetuning.targets.columns import make_table, read_labels

    table = make_table(y_some)
    if len(table.columns) != 1:
        raise ValueError(
            f"y_some has {len(table.columns)} columns: give one label for each labeled row"
        )
    labels, missing = read_labels(table.columns[0], "y_some")
    n_given = len(missing)
    if n_given == n_target:
        present = np.flatnonzero(~missing)
        if rows is None:
            return _require_labels(present, "y_some"), labels
        _check_complete(missing[rows], rows)
        return rows, labels[np.searchsorted(present, rows)]
    if rows is None:
        raise ValueError(
            f"y_some has {n_given} labels and X_target {n_target} rows: say which rows they "
            "belong to by sample=..., or give an entry for each row, None for no label"
        )
    if n_given != len(rows):
        raise ValueError(
            f"y_some has {n_given} labels and sample {len(rows)} rows: give a label for each "
            "row of sample, in their order"
        )
    _check_complete(missing, rows)
    return rows, labels


def _require_labels(present, name):
    if not len(present):
        raise ValueError(f"{name} has no label that is present: give at least one")
    return present


def _check_complete(missing, rows):
    if missing.any():
        raise ValueError(
            f"The label of row {rows[np.argmax(missing)]} is missing, which sample contains: "
            "rows that are left out are rarely like the others, so label it, or give it a "
            "class of its own, which counts as wrong"
        )


def _compare_labels(model, X, labels):
    """Mask of right predictions, and the number of labels that the model does not know."""
    predicted = np.asarray(model.predict(X))
    if predicted.shape != labels.shape:
        raise ValueError(
            f"{type(model).__name__}.predict returned an array of shape {predicted.shape} "
            f"for {len(labels)} rows: expected one label per row"
        )
    truth = labels.tolist()
    # In Python, because numpy turns numbers into strings before it compares them.
    pairs = zip(predicted.tolist(), truth, strict=True)
    right = np.array([label == other for label, other in pairs], dtype=bool)
    classes = getattr(model, "classes_", None)
    if classes is None:
        return right, 0
    known = set(np.asarray(classes).tolist())
    n_unknown = sum(label not in known for label in truth)
    if n_unknown == len(truth):
        raise ValueError(
            f"y_some holds {format_list(list(dict.fromkeys(truth)), 3)}, and the model knows "
            f"the classes {format_list(classes, 3)}: no label is among them. Give labels of "
            "the same type as in fit."
        )
    return right, n_unknown


def _compute_mean_certainty(model, X_target, sample):
    """Mean of the largest probability over all target rows, or None."""
    if not hasattr(model, "predict_proba"):
        return None
    if isinstance(sample, LabelSample) and sample.certainty is not None:
        # Equal on the labeled rows means by the same model, which has passed over all rows.
        known = sample.certainty[sample.rows]
        found = compute_certainty(model, _safe_indexing(X_target, sample.rows))
        if np.abs(found - known).max() <= _SAME:
            return float(sample.certainty.mean())
    return float(compute_certainty(model, X_target).mean())
