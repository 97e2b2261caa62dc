"""Scores of features or source predictions for a task, without training a model on it."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.validation import assert_all_finite, check_array, check_consistent_length

from sklearn_transfer._validation import (
    check_class_labels,
    check_classes,
    check_table,
    column_or_1d,
)

_TASK = StrOptions({"auto", "classification"})
_SUM_TOLERANCE = 1e-3  # float16 softmax over many classes stays within


@validate_params(
    {"probabilities": ["array-like"], "y": ["array-like"], "task": [_TASK]},
    prefer_skip_nested_validation=True,
)
def leep(probabilities, y, *, task="auto"):
    """Log expected empirical prediction of the labels from source probabilities.

    Use it if a network still has its source classifier: one pass gives the probabilities. It
    compares networks also where their source classes differ.

    Parameters
    ----------
    probabilities : array-like of shape (n_samples, n_source_classes)
        Probabilities of the source classes, at least 0. A row may sum to between 0.999 and
        1.001, and is divided by its sum; else a ValueError names the row.
    y : array-like of shape (n_samples,)
        Labels of any kind, of at least two classes.
    task : {"auto", "classification"}, default="auto"
        "auto" refuses many distinct whole numbers, such as ages, by the rule of `logme`;
        "classification" takes any as classes.

    Returns
    -------
    score : float
        At most 0; higher is better.

    See Also
    --------
    nce : The same from source labels.
    logme : A score of features.

    Notes
    -----
    With the empirical joint distribution P(y, z) = 1/n sum of p_i(z) over the samples with
    label y, the score is the mean of log sum_z P(y_i | z) p_i(z). Source classes without mass
    add nothing.

    References
    ----------
    Nguyen, C., Hassner, T., Seeger, M. and Archambeau, C. (2020). LEEP: a new measure to
    evaluate transferability of learned representations. ICML.

    Examples
    --------
    >>> from sklearn_transfer.selection import leep
    >>> round(leep([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]], ["a", "a", "b"]), 3)
    -0.245
    """
    probabilities = _validate_probabilities(probabilities)
    codes, counts = encode_classes(probabilities, y, task, "leep")
    joint = _sum_by_class(probabilities, codes, len(counts))
    mass = joint.sum(axis=0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    expected = np.einsum("ij,ij->i", probabilities, conditional[codes])
    return float(np.log(expected).mean())


@validate_params(
    {"source_labels": ["array-like"], "y": ["array-like"], "task": [_TASK]},
    prefer_skip_nested_validation=True,
)
def nce(source_labels, y, *, task="auto"):
    """Negative conditional entropy of the labels, given source labels.

    Use it where the samples have labels of the source task, or a network's most likely
    source class in their place.

    Parameters
    ----------
    source_labels : array-like of shape (n_samples,)
        Labels of any kind in the source task.
    y : array-like of shape (n_samples,)
        Labels of any kind, of at least two classes.
    task : {"auto", "classification"}, default="auto"
        "auto" refuses many distinct whole numbers, such as ages, by the rule of `logme`;
        "classification" takes any as classes.

    Returns
    -------
    score : float
        In nats, at most 0; higher is better, and 0 where the source labels tell y.

    See Also
    --------
    leep : The same from source probabilities.

    Notes
    -----
    The score is the sum of P(y, z) log P(y | z) over the pairs that occur. It rises
    with the number of source classes, to 0 where each sample has its own.

    References
    ----------
    Tran, A., Nguyen, C. and Hassner, T. (2019). Transferability and hardness of supervised
    classification tasks. ICCV.

    Examples
    --------
    >>> from sklearn_transfer.selection import nce
    >>> round(nce(["cat", "cat", "car", "car"], [0, 0, 0, 1]), 3)
    -0.347
    """
    source, sources = _encode(source_labels, "source_labels")
    codes, counts = encode_classes(source_labels, y, task, "nce")
    pairs, joint = np.unique(source * len(counts) + codes, return_counts=True)
    given = sources[pairs // len(counts)]
    return float(joint @ np.log(joint / given) / len(codes))


@validate_params(
    {
        "X": ["array-like"],
        "y": ["array-like"],
        "shrinkage": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both"), None],
        "task": [_TASK],
    },
    prefer_skip_nested_validation=True,
)
def h_score(X, y, *, shrinkage="auto", task="auto"):
    """Variance between classes, relative to all variance of the features.

    Fast, and without an iteration; compare features of one task only, since it grows with
    the number of classes.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,)
        Labels of any kind, of at least two classes.
    shrinkage : "auto", float in [0, 1] or None, default="auto"
        Share of the scaled identity in the covariance. "auto" is Ledoit and Wolf's optimum.
        None or 0 is the score as first published, through a pseudo-inverse: with more
        features than samples it is n_classes - 1 for almost any features. At 1 it is 0.
    task : {"auto", "classification"}, default="auto"
        "auto" refuses many distinct whole numbers, such as ages, by the rule of `logme`;
        "classification" takes any as classes.

    Returns
    -------
    score : float
        Between 0 and n_classes - 1; higher is better.

    See Also
    --------
    logme : Slower, and also for regression.
    gbc : Overlap of classes in pairs.

    Notes
    -----
    With the covariance S of the features, the covariance B of their class means, shrinkage a
    and t = trace(S) / n_features, the score is trace(((1 - a) S + a t I)^-1 (1 - a) B). One
    SVD of the features solves it. A shrinkage of 1 found by "auto" gives 0 and a UserWarning.

    References
    ----------
    Bao, Y. et al. (2019). An information-theoretic approach to transferability in task
    transfer learning. ICIP.

    Ibrahim, S., Ponomareva, N. and Mazumder, R. (2022). Newer is not always better:
    rethinking transferability metrics, their peculiarities, stability and performance.
    ECML PKDD.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_transfer.selection import h_score
    >>> X, y = load_iris(return_X_y=True)
    >>> round(h_score(X, y, shrinkage=None), 3)
    1.192
    """
    X, codes, counts = _validate_features_and_classes(X, y, task, "h_score")
    X = center_features(X)
    U, s = decompose(X)
    if not len(s):
        return 0.0
    a = ledoit_wolf_shrinkage(X, assume_centered=True) if shrinkage == "auto" else shrinkage
    a = float(a or 0)
    if shrinkage == "auto" and a >= 1:
        warnings.warn(
            f"The covariance of {len(X)} samples is shrunk to a multiple of the identity, so "
            "the score is 0 for any features: give more samples, or shrinkage as a number",
            UserWarning,
            stacklevel=3,
        )
    means = _sum_by_class(U, codes, len(counts)) / counts[:, None]
    between = (1 - a) * s**2 * (counts @ means**2)
    return float(np.sum(between / ((1 - a) * s**2 + a * (s @ s) / X.shape[1])))


@validate_params(
    {
        "X": ["array-like"],
        "y": ["array-like"],
        "covariance": [StrOptions({"diag", "full", "spherical"})],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "reg_covar": [Interval(Real, 0, None, closed="neither")],
        "task": [_TASK],
    },
    prefer_skip_nested_validation=True,
)
def gbc(X, y, *, covariance="diag", n_components=64, reg_covar=1e-6, task="auto"):
    """Negative overlap of the classes, each taken as a Gaussian.

    It looks at classes in pairs, so that two classes that cannot be told apart cost the same
    wherever the others lie. It needs several samples per class.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,)
        Labels of any kind, of at least two classes.
    covariance : {"diag", "full", "spherical"}, default="diag"
        Form of each class's covariance.
    n_components : int or None, default=64
        Principal components that are kept, at most; None leaves the features as they are.
    reg_covar : float, default=1e-6
        Added to each class's variances, as a share of the mean variance of the features kept.
    task : {"auto", "classification"}, default="auto"
        "auto" refuses many distinct whole numbers, such as ages, by the rule of `logme`;
        "classification" takes any as classes.

    Returns
    -------
    score : float
        Between -n_classes (n_classes - 1) and 0; higher is better.

    See Also
    --------
    h_score : All classes at once.

    Notes
    -----
    The score is the sum of -exp(-D) over ordered pairs of classes, with Bhattacharyya's
    distance `D = d' S^-1 d / 8 + log(|S| / sqrt(|S1| |S2|)) / 2`, d the difference of the
    means and S the mean of the covariances S1 and S2. A class of one sample has only the
    variance of `reg_covar`, so it seems apart from every other.

    References
    ----------
    Pandy, M., Agostinelli, A., Uijlings, J., Ferrari, V. and Mensink, T. (2022).
    Transferability estimation using Bhattacharyya class separability. CVPR.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_transfer.selection import gbc
    >>> X, y = load_iris(return_X_y=True)
    >>> gbc(X, y) > gbc(X[:, :1], y)
    True
    """
    X, codes, counts = _validate_features_and_classes(X, y, task, "gbc")
    X = center_features(X)
    if n_components is not None:
        U, s = decompose(X)
        X = U[:, :n_components] * s[:n_components]
    n_classes = len(counts)
    spread = X.var(axis=0).mean() if X.size else 0
    if spread == 0:
        return -float(n_classes * (n_classes - 1))
    rows = [X[codes == c] / np.sqrt(spread) for c in range(n_classes)]
    means = np.array([r.mean(axis=0) for r in rows])
    variances = np.array([_compute_covariance(r, covariance) for r in rows])
    if covariance == "full":
        variances += reg_covar * np.eye(X.shape[1])
        distances = _iterate_full_distances
    else:
        variances += reg_covar
        distances = _iterate_diagonal_distances
    return 0.0 - 2 * float(sum(np.exp(-d).sum() for d in distances(means, variances)))


def _compute_covariance(X, form):
    if form == "full":
        return np.cov(X.T, bias=True).reshape(X.shape[1], -1)
    variance = X.var(axis=0)
    return np.full_like(variance, variance.mean()) if form == "spherical" else variance


def _iterate_diagonal_distances(means, variances):
    """Distances of each class from those after it."""
    logs = np.log(variances).sum(axis=1)
    for i in range(len(means) - 1):
        mixed = (variances[i] + variances[i + 1 :]) / 2
        apart = ((means[i] - means[i + 1 :]) ** 2 / mixed).sum(axis=1)
        yield apart / 8 + np.log(mixed).sum(axis=1) / 2 - (logs[i] + logs[i + 1 :]) / 4


def _iterate_full_distances(means, covariances):
    logs = np.linalg.slogdet(covariances)[1]
    for i in range(len(means) - 1):
        for j in range(i + 1, len(means)):
            mixed, d = (covariances[i] + covariances[j]) / 2, means[i] - means[j]
            apart = d @ np.linalg.solve(mixed, d)
            yield apart / 8 + np.linalg.slogdet(mixed)[1] / 2 - (logs[i] + logs[j]) / 4


def _validate_probabilities(probabilities):
    P = check_array(probabilities, dtype=np.float64, input_name="probabilities")
    negative = np.flatnonzero((P < 0).any(axis=1))
    if len(negative):
        row = negative[0]
        raise ValueError(
            f"probabilities has {P[row].min():.4g} in row {row}: all must be at least 0. Give "
            "the softmax of the network's outputs, not the outputs."
        )
    sums = P.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > _SUM_TOLERANCE)
    if len(off):
        raise ValueError(
            f"probabilities sum to {sums[off[0]]:.4g} in row {off[0]}, and must sum to 1: "
            "give the probabilities of all source classes, or divide each row by its sum"
        )
    return P / sums[:, None]


def _validate_features_and_classes(X, y, task, user):
    X = check_table(X, user=user, dtype=np.float64, input_name="X")
    return X, *encode_classes(X, y, task, user)


def encode_classes(X, y, task="classification", user="a score"):
    """Number of each row's class from 0 on, and the sizes of the classes."""
    codes, counts = _encode(y, "y")
    check_consistent_length(X, codes)
    check_classes(y, task, user, "; a regression is rated by logme")
    if len(counts) < 2:
        raise ValueError("y has one class only: a score needs samples of at least two classes")
    return codes, counts


def _encode(labels, name):
    labels = column_or_1d(labels)
    assert_all_finite(labels, input_name=name)
    check_class_labels(labels)
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return codes.reshape(-1), counts


def _sum_by_class(X, codes, n_classes):
    """Sums of the rows of each class."""
    sums = np.zeros((n_classes, X.shape[1]))
    for c in range(n_classes):
        sums[c] = X[codes == c].sum(axis=0)
    return sums


def center_features(X):
    """Centered features, in a unit in which squares neither overflow nor vanish."""
    X = X / (np.abs(X).max() or 1)
    constant = np.ptp(X, axis=0) == 0
    X -= X.mean(axis=0)
    X[:, constant] = 0  # not the rounding of their mean
    return X / (np.abs(X).max() or 1)


def decompose(X):
    """Left singular vectors and singular values, only those above rounding."""
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    kept = s > s[0] * max(X.shape) * np.finfo(float).eps
    return U[:, kept], s[kept]
