"""Detection of models that leave out classes on a target, by estimated shares of classes."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.utils import check_random_state

from sklearn_transfer.selection._mmd import compute_pooled_gamma
from sklearn_transfer.selection._within_classes import compare_within_classes
from sklearn_transfer.weighting._label_shift import estimate_priors

_ERRORS = 2.0  # standard errors by which a share may be larger than its estimate
# Level of the test that some class, of all that a model may leave out, has a share: one
# standard error for one class. A stricter one misses twice as many collapses in small folds.
_ABSENT = 0.16
_NEGLIGIBLE = 0.02  # of an equal share: estimates cannot tell less from 0, as none is under 0
_FRACTION = 0.1  # of the least share that a class is likely to have, which is to be predicted
_LEVEL = 0.05  # of the test whether the estimate's assumption holds
_FEWEST = 10  # rows of each domain from which shares are estimated


@dataclass(frozen=True, eq=False)
class TargetShares:
    """Estimated shares of classes in the target.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    shares, errors : ndarray of shape (n_classes,)
        Shares, which sum to 1, and their standard errors.
    is_estimate : bool
        Whether they are estimated from the target. Else they are the source's, since samples
        of a class differ between the domains, so that such an estimate means nothing.
    """

    classes: np.ndarray
    shares: np.ndarray
    errors: np.ndarray
    is_estimate: bool

    @property
    def least(self):
        """Shares that the classes have at least, as far as the estimate can tell.

        With more classes, of which any may be left out, more errors are taken off each.
        """
        n_known = max(np.count_nonzero(self.errors), 2)  # classes not known have error 0
        n_errors = norm.isf(_ABSENT / (n_known - 1))
        found = np.maximum(self.shares - n_errors * self.errors, 0)
        if self.is_estimate:
            found[found < _NEGLIGIBLE / n_known] = 0
        return found

    @property
    def most(self):
        """Shares that the classes have at most, as far as the estimate can tell."""
        return np.minimum(self.shares + _ERRORS * self.errors, 1)

    def align(self, classes):
        """The same for other classes, sorted; those that are not known get share 0."""
        union = np.union1d(self.classes, classes)
        values = np.zeros((2, len(union)))
        values[:, np.searchsorted(union, self.classes)] = self.shares, self.errors
        return TargetShares(union, *values, self.is_estimate)

    def spread(self, classes):
        """Shares of some classes to compare predictions with, all of them above 0.

        They lean to equal shares as far as their errors are large.
        """
        known = self.align(classes)
        rows = np.searchsorted(known.classes, classes)
        least = 1 / (len(classes) * 100)
        values = known.shares[rows] + np.maximum(known.errors[rows], least)
        return values / values.sum()


def estimate_target_shares(X, y, X_target):
    """`TargetShares` of labeled rows of the source and rows of the target.

    A logistic regression, cross-fitted and calibrated on the source, gives the most likely
    shares, whose errors are about half those of black-box shift estimation. They are used if
    a test finds that rows of a class are alike in both domains, as they assume; otherwise
    shares are the source's. Of fewer than 10 rows, or one class, nothing is known.

    Parameters
    ----------
    X, X_target : ndarray of shape (n, n_features), (m, n_features)
        Rows of features.
    y : ndarray of shape (n,)
        Labels of X.
    """
    classes, codes = np.unique(y, return_inverse=True)
    counts = np.bincount(codes)
    shares, n_target = counts / len(y), len(X_target)
    # Nothing supports that the target lacks a class of the source, so only the number of
    # target rows limits what is expected. One row more per class gives all of them an error.
    near = (counts + 1) / (len(y) + len(classes))
    source = TargetShares(classes, shares, np.sqrt(near * (1 - near) / n_target), False)
    if len(classes) < 2 or min(len(y), n_target) < _FEWEST:
        return TargetShares(classes, shares, np.full(len(classes), np.inf), False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = estimate_priors(X, codes, X_target)
        is_alike = _are_alike_within_classes(X, codes, found[0], X_target)
    return TargetShares(classes, *found, is_estimate=True) if is_alike else source


def _are_alike_within_classes(X, codes, shares, X_target):
    random_state = check_random_state(0)
    gamma = compute_pooled_gamma(X, X_target, random_state)
    p_value = compare_within_classes(X, codes, shares, X_target, gamma, _LEVEL, random_state)
    return p_value is not None and p_value > _LEVEL


def find_collapse(predicted, classes, shares):
    """Whether a model leaves out a class that the target is likely to hold.

    Parameters
    ----------
    predicted : ndarray of shape (n_classes,)
        Shares of the classes among the model's predictions for target rows.
    classes : ndarray of shape (n_classes,)
        Labels of these classes, sorted.
    shares : TargetShares
        What is known of the shares in the target.

    Returns
    -------
    is_collapsed : bool
        Whether a class is predicted for less than a tenth of the share that it has at least,
        its estimate less one standard error if there are two classes, and more if there are
        more.
    """
    known = shares.align(classes)
    found = np.zeros(len(known.classes))
    found[np.searchsorted(known.classes, classes)] = predicted
    return bool((found < _FRACTION * known.least).any())


def limit_accuracy(predicted, classes, shares):
    """Largest accuracy of predictions in these shares: sum_k min(predicted_k, most_k).

    Where the shares in the target are not estimated it is 1, unless the predictions leave out
    a class: of collapsed models, the one that predicts most of the classes then comes first.
    """
    if not shares.is_estimate and not find_collapse(predicted, classes, shares):
        return 1.0
    known = shares.align(classes)
    found = np.zeros(len(known.classes))
    found[np.searchsorted(known.classes, classes)] = predicted
    return float(min(1.0, np.minimum(found, known.most).sum()))
