"""Scores of predicted probabilities of target rows, as functions of arrays."""

import numpy as np

from sklearn_transfer.selection._neighbors import compute_neighbor_information

_TINY = 1e-12  # probabilities under it add nothing to a sum of p log p


def compute_infomax_parts(probabilities, neighbors=None, shares=None):
    """What each row adds to the mutual information of rows and classes, over its maximum.

    With K classes this is (log K - KL(mean p | shares) - mean H(p)) / log K in the mean over
    rows, which is the mutual information where the shares are equal, as they are for None.
    """
    n_classes = probabilities.shape[1]
    mean = probabilities.mean(axis=0)
    ratio = np.log(np.maximum(probabilities, _TINY)) - np.log(np.maximum(mean, _TINY))
    if shares is not None:
        ratio = ratio + np.log(shares * n_classes)
    return (probabilities * ratio).sum(axis=1) / np.log(n_classes)


def compute_bnm_parts(probabilities, neighbors=None, shares=None):
    """What each row adds to the nuclear norm of the probabilities, over its maximum.

    Columns are multiplied by the roots of K times the expected shares of the K classes, so
    that predictions of one class for each row, in these shares, reach the maximum.
    """
    matrix = probabilities
    if shares is not None:
        matrix = matrix * np.sqrt(shares * matrix.shape[1])
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    parts = np.einsum("ij,ij->i", left @ right, matrix)
    return parts * np.sqrt(len(matrix) / min(matrix.shape))


# Scores of probabilities of target rows, as the mean of parts of the rows.
PARTS = {
    "neighbors": compute_neighbor_information,
    "infomax": compute_infomax_parts,
    "bnm": compute_bnm_parts,
}


def compute_confidence(probabilities, confidence="maximum"):
    """Confidence in each row: its largest probability, or its negative entropy."""
    if confidence == "maximum":
        return probabilities.max(axis=1)
    return (probabilities * np.log(np.maximum(probabilities, _TINY))).sum(axis=1)


def estimate_accuracy(source, codes, target, sample_weight=None, confidence="maximum"):
    """Accuracy on target rows by the average thresholded confidence [Garg 2022].

    Parameters
    ----------
    source, target : ndarray of shape (n, n_classes), (m, n_classes)
        Probabilities of held-out source rows and of target rows.
    codes : ndarray of shape (n,)
        Numbers of the classes of the source rows; -1 is none of them.
    sample_weight : ndarray of shape (n,), default=None
        Weights of the source rows, above 0.
    confidence : {"maximum", "entropy"}
        See `compute_confidence`.

    Returns
    -------
    accuracy : float
        Share of target rows above the threshold that a share of source rows equal to the
        accuracy there exceeds. Between the confidences of source rows next to the threshold
        it falls linearly, so that the estimate has no steps, and of source rows that are
        tied there such a part counts as keeps their accuracy exact.
    """
    weights = np.ones(len(source)) if sample_weight is None else sample_weight
    is_wrong = source.argmax(axis=1) != codes
    if is_wrong.all():
        return 0.0
    values, groups = np.unique(compute_confidence(source, confidence), return_inverse=True)
    below = np.cumsum(np.bincount(groups.ravel(), weights)) / weights.sum()
    error = np.average(is_wrong, weights=weights)
    mass = np.diff(below, prepend=0.0)
    counted = np.clip((below - error) / mass, 0, 1)
    # Nothing is known under the least confidence of the source, not even without an error.
    found = compute_confidence(target, confidence)
    return float(np.interp(found, values, counted, left=0.0).mean())
