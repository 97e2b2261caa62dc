"""Maximum mean discrepancy, and the test that it is zero."""

from collections import namedtuple
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_transfer._kernels import Kernel, compute_median_gamma
from sklearn_transfer._sample_weight import validate_sample_weight
from sklearn_transfer._sampling import draw_rows
from sklearn_transfer._validation import column_or_1d, validate_domains
from sklearn_transfer.selection._permutation import compute_p_value, draw_groups

_POOLED = 1000  # rows whose distances give the bandwidth
_TILE = 1024  # rows and columns of the kernel held at once

MMDTestResult = namedtuple(
    "MMDTestResult", ["statistic", "p_value", "gamma", "n_permutations"]
)

_KERNEL = {
    "X": ["array-like"],
    "X_target": "no_validation",
    "kernel": [StrOptions({"rbf", "linear", "polynomial"}), callable],
    "gamma": [Interval(Real, 0, None, closed="neither"), StrOptions({"median"})],
}


@validate_params(
    {**_KERNEL, "unbiased": ["boolean"], "sample_weight": ["array-like", None]},
    prefer_skip_nested_validation=True,
)
def mmd(X, X_target, *, kernel="rbf", gamma="median", unbiased=True, sample_weight=None):
    """Squared maximum mean discrepancy: how far apart two samples lie.

    Zero where source and target have the same distribution, and only there with the "rbf"
    kernel. It measures; `mmd_test` says whether it is more than chance.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Source samples.
    X_target : array-like of shape (n_target, n_features) or TargetDomain
        Target samples.
    kernel : {"rbf", "linear", "polynomial"} or callable, default="rbf"
        `exp(-gamma |x - y|^2)`, `x'y`, `(gamma x'y + 1)^3`, or a function of two arrays (n, d)
        and (m, d) that returns (n, m) values. A linear kernel compares means only.
    gamma : float or "median", default="median"
        Factor of the kernel; "median" is 1 / (2 s^2) with s the median distance of rows of
        both domains, of 1000 evenly spaced ones where there are more.
    unbiased : bool, default=True
        True leaves pairs of a row with itself out: the mean over samples is then the true
        value, and the estimate may be below 0. It needs two rows of each domain (of weight
        above 0). False counts them: never below 0 but for rounding.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the source rows, such as `KMM().fit(X, X_target=X_target).weights_`; only
        their ratios count.

    Returns
    -------
    mmd : float
        The squared discrepancy. Its square root is a distance.

    See Also
    --------
    mmd_test : Is the discrepancy more than chance?
    KMM : Weights that make it small.

    Notes
    -----
    With w the weights at sum 1, x the source and t the m target rows::

        sum_ij w_i w_j k(x_i, x_j) - 2 / m sum_ij w_i k(x_i, t_j) + 1 / m^2 sum_ij k(t_i, t_j)

    "Unbiased" sums over i != j and divides by 1 - sum w_i^2 and by m (m - 1). The kernel is
    computed in blocks: time grows with (n + m)^2, memory with n + m.

    References
    ----------
    Gretton, A., Borgwardt, K., Rasch, M., Schoelkopf, B. and Smola, A. (2012). A kernel
    two-sample test. Journal of Machine Learning Research 13.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer.selection import mmd
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(500, 2)), rng.normal(1, 1, size=(500, 2))
    >>> print(f"{mmd(X, X_target):.2f} {abs(mmd(X, rng.normal(size=(500, 2)))):.2f}")
    0.23 0.00
    """
    X, T = validate_domains(X, X_target, "mmd")
    w = _normalize_weights(sample_weight, X)
    gamma = compute_median_gamma(X, T) if gamma == "median" else float(gamma)
    if kernel == "linear":
        X, T = _center_domains(X, T)
    kernel = Kernel(kernel, gamma)
    X, T = kernel.prepare(X, T)
    v = np.full(len(T), 1 / len(T))
    across = w @ kernel.multiply(X, T, v)
    within = _compute_within(kernel, X, w, unbiased, "X") + _compute_within(
        kernel, T, v, unbiased, "X_target"
    )
    return float(within - 2 * across)


def _normalize_weights(sample_weight, X):
    """Weights of the source rows, at sum 1."""
    if sample_weight is None:
        return np.full(len(X), 1 / len(X))
    weights = validate_sample_weight(column_or_1d(sample_weight), X)
    weights = weights / weights.max()
    return weights / weights.sum()


def _compute_within(kernel, X, w, unbiased, name):
    """Weighted mean of the kernel over pairs of rows of one domain."""
    total = w @ kernel.multiply(X, X, w)
    if not unbiased:
        return total
    if np.count_nonzero(w) < 2:
        raise ValueError(
            f"{name} has one row of weight above 0; the unbiased discrepancy needs two: give "
            "more rows, or unbiased=False"
        )
    return (total - w**2 @ kernel.compute_diagonal(X)) / (1 - w @ w)


@validate_params(
    {
        **_KERNEL,
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "max_samples": [Interval(Integral, 2, None, closed="left"), None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def mmd_test(
    X,
    X_target,
    *,
    kernel="rbf",
    gamma="median",
    n_permutations=499,
    max_samples=5000,
    random_state=None,
):
    """Test whether source and target have the same distribution, by kernel means.

    Use it before any adaptation: without a difference there is nothing to adapt. With the
    "rbf" kernel it sees any kind of difference, given enough rows.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Source samples, at least two.
    X_target : array-like of shape (n_target, n_features) or TargetDomain
        Target samples, at least two.
    kernel : {"rbf", "linear", "polynomial"} or callable, default="rbf"
        As in `mmd`.
    gamma : float or "median", default="median"
        Factor of the kernel; "median" is 1 / (2 s^2) with s the median distance of rows of
        both domains, of 1000 random ones where there are more.
    n_permutations : int, default=499
        Random splits of all rows that the given one is compared with. The least p-value is
        1 / (1 + n_permutations).
    max_samples : int or None, default=5000
        Largest number of rows of each domain that are compared, drawn at random. None
        compares all; time grows with the square of the rows.
    random_state : int, RandomState instance or None, default=None
        Draws the splits and the rows.

    Returns
    -------
    result : MMDTestResult
        A named tuple of

        statistic : float
            Unbiased squared maximum mean discrepancy.
        p_value : float
            Small where the distributions differ.
        gamma : float
            Factor of the kernel that was used.
        n_permutations : int
            Number of splits.

    See Also
    --------
    classifier_two_sample_test : The same question, put to a classifier.
    shift_report : All tests, and what to do.

    Notes
    -----
    p = (1 + number of splits with a statistic at least as large) / (1 + n_permutations). It
    is exact at any number of rows and any kernel: the bandwidth depends on the rows of both
    domains together, not on which is which. Rows must be independent: several
    frames of one video count as different ones and make p too small.

    All splits are evaluated in one pass over tiles of the kernel: time grows with
    n_permutations (n + m)^2, memory with n_permutations (n + m) bytes.

    References
    ----------
    Gretton, A., Borgwardt, K., Rasch, M., Schoelkopf, B. and Smola, A. (2012). A kernel
    two-sample test. Journal of Machine Learning Research 13.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer.selection import mmd_test
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(100, 2)), rng.normal(1, 1, size=(80, 2))
    >>> mmd_test(X, X_target, random_state=0).p_value
    0.002
    """
    X, T = validate_domains(X, X_target, "mmd_test", least=2)
    random_state = check_random_state(random_state)
    X = X[draw_rows(len(X), max_samples, random_state)]
    T = T[draw_rows(len(T), max_samples, random_state)]
    gamma = compute_pooled_gamma(X, T, random_state) if gamma == "median" else float(gamma)
    statistic, permuted, scale = compute_permuted_mmd(
        X, T, kernel, gamma, n_permutations, random_state
    )
    p_value = compute_p_value(statistic, permuted, scale)
    return MMDTestResult(statistic, p_value, gamma, n_permutations)


def compute_pooled_gamma(X, T, random_state):
    """Median bandwidth of random rows of both domains.

    Rows drawn from each domain apart would let the bandwidth tell which is which.
    """
    pooled = np.concatenate([X, T])
    if len(pooled) > _POOLED:
        pooled = pooled[random_state.permutation(len(pooled))[:_POOLED]]
    return compute_median_gamma(pooled[:1], pooled[1:])


def compute_permuted_mmd(X, T, kernel, gamma, n_permutations, random_state):
    """The unbiased discrepancy, that of each random split, and the scale of rounding."""
    n, m = len(X), len(T)
    if kernel == "linear":
        X, T = _center_domains(X, T)
    kernel = Kernel(kernel, gamma)
    (pooled,) = kernel.prepare(np.concatenate([X, T]))
    given = np.repeat(np.array([1, 0], dtype=np.int8), [n, m])
    random = draw_groups(n, m, n_permutations, random_state)
    groups = np.column_stack([given, random])
    inside, to_all = _sum_groups(kernel, pooled, groups)
    first, across = inside, to_all[:-1] - inside
    second = to_all[-1] - first - 2 * across
    values = first / (n * (n - 1)) + second / (m * (m - 1)) - 2 * across / (n * m)
    scale = float(np.abs(kernel.compute_diagonal(pooled)).mean())
    return float(values[0]), values[1:], scale


def _sum_groups(kernel, pooled, groups):
    """Sums of the kernel off its diagonal: a'Ka of each group a, then a'K1 and 1'K1."""
    tiles = [slice(i, i + _TILE) for i in range(0, len(pooled), _TILE)]
    inside, row_sums = np.zeros(groups.shape[1]), np.zeros(len(pooled))
    for i, rows in enumerate(tiles):
        left = groups[rows].astype(np.float64)
        for columns in tiles[i:]:
            block = kernel.compute_block(pooled[rows], pooled[columns])
            if columns == rows:
                np.fill_diagonal(block, 0)
            twice = 1 if columns == rows else 2
            right = block @ groups[columns].astype(np.float64)
            inside += twice * np.einsum("ij,ij->j", left, right)
            row_sums[rows] += block.sum(axis=1)
            if columns != rows:
                row_sums[columns] += block.sum(axis=0)
    to_all = [row_sums @ column for column in groups.T]
    return inside, np.array([*to_all, row_sums.sum()])


def _center_domains(X, T):
    """Both domains about one origin: a linear kernel far from it loses digits."""
    center = np.concatenate([X, T]).mean(axis=0)
    return X - center, T - center
