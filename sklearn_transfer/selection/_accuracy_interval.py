"""Confidence intervals of an accuracy from labels of a few rows."""

import numpy as np
from scipy.stats import beta, hypergeom

# Equal variance within strata and overall is assumed with the weight of this many labels, and
# from so many labels on, up to two changes more than were seen: a sample without a change by
# chance would have too short an interval. Without these, some targets of accuracy 0.97 are
# covered 0.90 times; with few labels the interval of Clopper and Pearson is wide enough.
_PRIOR_LABELS = 20


def compute_exact_interval(n_right, n_labels, n_target, confidence):
    """Interval of the accuracy on all target rows from labels of simple random rows.

    The numbers of right rows that neither tail of the hypergeometric law rejects.
    """
    tail = (1 - confidence) / 2
    least, most = n_right, n_target - n_labels + n_right

    def find_first(is_accepted, low, high):
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if is_accepted(middle) else (middle + 1, high)
        return low

    def supports_right(total):
        return hypergeom.sf(n_right - 1, n_target, total, n_labels) > tail

    def supports_wrong(wrong):  # the same for wrong rows, whose number grows downwards
        return hypergeom.sf(n_labels - n_right - 1, n_target, wrong, n_labels) > tail

    low = find_first(supports_right, least, most)
    wrong = find_first(supports_wrong, n_target - most, n_target - least)
    return low / n_target, (n_target - wrong) / n_target


def compute_binomial_interval(n_right, n_labels, confidence):
    """Interval of Clopper and Pearson; counts may have fractions."""
    tail, n_wrong = (1 - confidence) / 2, n_labels - n_right
    low = 0.0 if n_right <= 0 else float(beta.ppf(tail, n_right, n_wrong + 1))
    high = 1.0 if n_wrong <= 0 else float(beta.isf(tail, n_right + 1, n_wrong))
    return low, high


def count_changes(right):
    """Number of changes between right and wrong along the order of certainty."""
    right = np.asarray(right)
    return np.count_nonzero(right[..., 1:] != right[..., :-1], axis=-1)


def compute_variance_ratio(n_right, n_changes, n_labels):
    """Variance of the share of right rows over that of as many simple random rows.

    One row is drawn per stratum, so half the squared difference of neighbors estimates the
    variance within strata, or more than it where the strata differ.
    """
    variance = n_right * (n_labels - n_right) / (n_labels * max(n_labels - 1, 1))
    if variance == 0:
        return 1.0
    unseen = max(0.0, 1 - _PRIOR_LABELS / n_labels)
    within = n_changes / 2 + unseen + _PRIOR_LABELS * variance
    ratio = within / variance / (n_labels - 1 + _PRIOR_LABELS)
    return min(1.0, float(ratio))


def compute_spread_interval(n_right, n_changes, n_labels, n_target, confidence, of_rows=True):
    """Interval of the accuracy from labels of rows that are spread over the certainty.

    It is that of Clopper and Pearson with the number of random labels from an infinite
    target that have the same variance. `of_rows` asks for the accuracy on the target rows;
    otherwise these are themselves a sample.
    """
    share = n_right / n_labels
    if of_rows and n_labels == n_target:
        return share, share
    ratio = compute_variance_ratio(n_right, n_changes, n_labels)
    variance = ratio * (n_target - n_labels) / max(n_target - 1, 1) / n_labels
    if not of_rows:
        n_equal = 1 / (variance + 1 / n_target)
        return compute_binomial_interval(share * n_equal, n_equal, confidence)
    low, high = compute_binomial_interval(share / variance, 1 / variance, confidence)
    # The number of right rows is whole, which matters where most rows are labeled, and
    # labeled rows are certain.
    grain = n_labels / n_target**2
    low = max(low - grain, n_right / n_target)
    return low, min(high + grain, (n_target - n_labels + n_right) / n_target)
