"""Choice of the target rows to label, spread over the certainty of a model."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, validate_params
from sklearn.utils.validation import _num_samples, check_is_fitted

from sklearn_transfer._validation import TargetDomain


@dataclass(frozen=True, repr=False, eq=False)
class LabelSample:
    """What `choose_rows_to_label` chose; see there."""

    rows: np.ndarray
    ranks: np.ndarray
    probability: float
    certainty: np.ndarray | None
    n_target: int

    def __len__(self):
        return len(self.rows)

    @property
    def spread(self):
        """Whether the rows are spread over the certainty, rather than simple random."""
        return self.certainty is not None and bool(np.ptp(self.certainty) > 0)

    def to_dict(self):
        """All attributes in plain Python types."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, value in found.items():
            if isinstance(value, np.ndarray):
                found[name] = value.tolist()
        return {**found, "spread": self.spread}

    def __str__(self):
        how = "spread over the certainty of the model" if self.spread else "simple random"
        return (
            f"{len(self)} of {self.n_target} target rows, {how}, each with probability "
            f"{self.probability:.3g}"
        )

    def __repr__(self):
        return f"<LabelSample: {self}>"


@validate_params(
    {
        "model": [HasMethods(["fit", "predict"])],
        "X_target": "no_validation",
        "n_labels": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def choose_rows_to_label(model, X_target, n_labels, *, random_state=None):
    """Choose the target rows whose labels tell most about the accuracy of a model.

    Each row has the same chance, and the rows are spread over the certainty of the model:
    so many certain ones, so many doubtful ones. `target_accuracy` then needs fewer labels
    than with simple random rows, and stays valid where the certainty is misleading.

    Parameters
    ----------
    model : classifier
        A fitted classifier: a Pipeline, a search, a fine-tuner on paths, or any other. It
        passes over X_target once.
    X_target : sequence of n_target samples or TargetDomain
        Target samples without labels, in any form that the model takes.
    n_labels : int
        Number of rows to choose; all are chosen if there are not so many. Choose it before
        labeling: stopping when the result pleases makes intervals too short.
    random_state : int, RandomState instance or None, default=None
        Draws the rows. The same int and model give the same rows again.

    Returns
    -------
    sample : LabelSample
        Prints as a sentence, and holds

        rows : ndarray of shape (n_labels,)
            Row numbers in X_target, ascending.
        ranks : ndarray of shape (n_labels,)
            Place of each of these rows in the order of certainty, 0 for the least certain.
        probability : float
            Chance of each target row to be chosen, n_labels / n_target.
        certainty : ndarray of shape (n_target,) or None
            Largest probability of each row; margin of the decision for a model without
            `predict_proba`; None for one without either.
        n_target : int
            Number of target rows.
        spread : bool
            False where the certainty is None or the same for all rows, so that the rows are
            a simple random sample.

        and `to_dict()`, all of it in plain Python types.

    Raises
    ------
    ValueError
        If the model is no classifier of one output, or if its certainty is NaN somewhere.

    See Also
    --------
    target_accuracy : Estimates the accuracy from labels of these rows.

    Notes
    -----
    Rows are sorted by certainty, ties in random order, and cut into n_labels strata of
    n_target / n_labels rows. One row is drawn from each by ordered pivotal sampling [1]_,
    which treats a row on the border of two strata so that all rows keep exactly the same
    chance. Only the order of the certainty counts, hence overconfidence does not matter.

    Doubtful rows are not drawn more often than others. If they were, and the certainty were
    wrong, a few certain rows would have to speak for most of the target.

    References
    ----------
    .. [1] Chauvet, G. (2012). On a characterization of ordered pivotal sampling. Bernoulli
       18.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn_transfer.selection import choose_rows_to_label, target_accuracy
    >>> X, y = load_digits(return_X_y=True)
    >>> model = GaussianNB().fit(X[:300], y[:300])
    >>> sample = choose_rows_to_label(model, X[300:], 50, random_state=0)
    >>> len(sample), round(sample.probability, 3), sample.spread
    (50, 0.033, True)
    >>> labels = y[300:][sample.rows]  # in practice, look at these rows
    >>> target_accuracy(model, X[300:], labels, sample=sample).n_labels
    50
    """
    X_target = unwrap_target(X_target)
    check_is_classifier(model, "choose_rows_to_label")
    random_state = check_random_state(random_state)
    n_target = _num_samples(X_target)
    n_labels = min(int(n_labels), n_target)
    certainty = compute_certainty(model, X_target)
    order = random_state.permutation(n_target)
    if certainty is not None:
        order = order[np.argsort(certainty[order], kind="stable")]
    chosen = order[draw_spread_places(n_target, n_labels, random_state)]
    by_number = np.argsort(chosen)
    return LabelSample(
        rows=chosen[by_number],
        ranks=by_number,
        probability=n_labels / n_target,
        certainty=certainty,
        n_target=n_target,
    )


def unwrap_target(X_target):
    """Target samples of any form."""
    return X_target.X if isinstance(X_target, TargetDomain) else X_target


def check_is_classifier(model, user):
    """Raise if `model` is no fitted classifier of one output."""
    if not is_classifier(model):
        raise ValueError(
            f"{type(model).__name__} is no classifier, and {user} takes one, as a prediction "
            "must be right or wrong: for numbers, label random rows and average their errors"
        )
    check_is_fitted(model)
    if isinstance(getattr(model, "classes_", None), list):
        raise ValueError(
            f"{type(model).__name__} has {len(model.classes_)} outputs, and {user} takes a "
            "classifier of one: wrap it so that predict returns one column"
        )


def compute_certainty(model, X):
    """Certainty of the prediction of each row, or None where the model does not tell."""
    if hasattr(model, "predict_proba"):
        certainty = np.asarray(model.predict_proba(X), dtype=np.float64).max(axis=1)
    elif hasattr(model, "decision_function"):
        decision = np.asarray(model.decision_function(X), dtype=np.float64)
        if decision.ndim == 2:
            top = np.partition(decision, -2, axis=1)[:, -2:]
            certainty = top[:, 1] - top[:, 0]
        else:
            certainty = np.abs(decision)
    else:
        return None
    bad = np.flatnonzero(np.isnan(certainty))
    if len(bad):
        raise ValueError(
            f"The certainty of {type(model).__name__} is NaN in row {bad[0]} of X_target: "
            "leave out rows that the model cannot predict"
        )
    return certainty


def draw_spread_places(n_places, n, random_state):
    """`n` of the places 0, 1, ... in ascending order, by ordered pivotal sampling.

    Chances are counted in units of 1 / n_places, so that they are exact.
    """
    draws = random_state.random_sample(n_places).tolist()
    chosen, holder, chance = [], 0, n
    for place in range(1, n_places):
        total = chance + n
        if total < n_places:  # one of the two keeps the chances of both
            if draws[place] * total >= chance:
                holder = place
            chance = total
        else:  # one of the two is chosen, and the other keeps what is over
            if draws[place] * (2 * n_places - total) < n_places - n:
                chosen.append(holder)
                holder = place
            else:
                chosen.append(place)
            chance = total - n_places
    if len(chosen) < n:
        chosen.append(holder)
    return np.sort(np.array(chosen, dtype=np.intp))
