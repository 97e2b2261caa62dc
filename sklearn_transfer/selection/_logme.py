"""LogME, the evidence of a linear model from features to labels."""

import warnings

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.utils._param_validation import StrOptions, validate_params
from sklearn.utils.validation import check_array, check_consistent_length

from sklearn_transfer._validation import as_target, check_table, resolve_task
from sklearn_transfer.selection._scores import center_features, decompose, encode_classes

_LEAST_NOISE = 1e-12  # variance of the noise, as a share of the mean square of a target
_RATIOS = np.log(np.geomspace(1e-20, 1e12, 300))  # alpha / beta, over the largest s squared


@validate_params(
    {
        "X": ["array-like"],
        "y": ["array-like"],
        "task": [StrOptions({"auto", "classification", "regression"})],
    },
    prefer_skip_nested_validation=True,
)
def logme(X, y, *, task="auto"):
    """Log maximum evidence of a linear model from features to labels, per sample.

    The usual first choice: it needs no source labels, weighs fit against the width of
    the features, and takes regression too.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Labels of any kind, of at least two classes; or numbers, one column per output.
    task : {"auto", "classification", "regression"}, default="auto"
        "auto" is regression where y holds fractions, and classification where it holds
        texts, truth values, categories or a few whole numbers of several rows each. Many
        distinct whole numbers, such as ages, may be either, and a ValueError asks which:
        more than 20, or fewer than five rows of each on average (two where they count from
        0 or 1 without a gap), unless they count so and have equally many rows each.

    Returns
    -------
    score : float
        Higher is better. Only scores of the same y can be compared.

    See Also
    --------
    h_score : Faster, for classes only.
    leep : From probabilities of source classes.

    Notes
    -----
    A target t (0 or 1 for each class in turn, or an output) is Gaussian with mean 0 and
    covariance I / beta + X X' / alpha, X centered and t not. The score is the mean over
    targets of the maximum over alpha and beta of log p(t) / n_samples. Given alpha / beta
    the best beta is known, so the maximum is sought along one line, from a grid over all of
    it: it is the highest of the maxima, where the published iteration finds a stationary
    point. One SVD serves all targets.

    alpha / beta lies between 1e-20 and 1e12 times the largest squared singular value, and
    1 / beta is at least 1e-12 times the mean square of the target. A UserWarning reports
    where the second bound holds: features that give the outputs without error have an
    infinite evidence.

    References
    ----------
    You, K., Liu, Y., Wang, J. and Long, M. (2021). LogME: practical assessment of pre-trained
    models for transfer learning. ICML.

    You, K., Liu, Y., Zhang, Z., Wang, J., Jordan, M. and Long, M. (2022). Ranking and tuning
    pre-trained models: a new paradigm for exploiting model hubs. JMLR 23.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_transfer.selection import logme
    >>> X, y = load_iris(return_X_y=True)
    >>> logme(X, y) > logme(X[:, :1], y)
    True
    """
    X = check_table(X, user="logme", dtype=np.float64, input_name="X")
    targets = _encode_targets(X, as_target(y), task)
    U, s = decompose(center_features(X))
    spectrum = (s / s[0]) ** 2 if len(s) else s
    evidences, n_at_bound = _compute_evidences(U, spectrum, targets)
    if n_at_bound:
        warnings.warn(
            f"The features give {n_at_bound} of {len(evidences)} targets without error, so "
            "the evidence has no maximum: its value at the bound 1 / beta = 1e-12 of the mean "
            "square is used. Give more samples or fewer features.",
            UserWarning,
            stacklevel=3,
        )
    return float(np.mean(evidences) / len(X))


def _encode_targets(X, y, task):
    """Targets as columns, one per class or output."""
    if resolve_task(y, task) == "classification":
        codes, counts = encode_classes(X, y)
        return (codes[:, None] == np.arange(len(counts))).astype(float)
    y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
    check_consistent_length(X, y)
    y = y.reshape(len(y), -1)
    constant = np.flatnonzero(np.ptp(y, axis=0) == 0)
    if len(constant):
        raise ValueError(
            f"y has one value only in output {constant[0]}: a score needs at least two"
        )
    return y


def _compute_evidences(U, spectrum, targets):
    """Highest log evidence of each target, and how many have their noise at the bound."""
    n = len(targets)
    largest = np.abs(targets).max(axis=0)
    targets = targets / largest  # first, so that squares neither overflow nor vanish
    units = np.sqrt((targets**2).mean(axis=0))
    targets /= units
    Z = U.T @ targets
    targets -= U @ Z
    squares, rests = Z**2, (targets**2).sum(axis=0)

    grid = _compute_loss(squares, rests, n, _compute_scales(spectrum, _RATIOS))[0]
    starts = np.argmin(grid, axis=0)
    found = [
        _find_highest(squares[:, i], rests[i], n, spectrum, start)
        for i, start in enumerate(starts)
    ]
    losses, noises = np.transpose(found)
    evidences = -0.5 * (losses + n * np.log(2 * np.pi)) - n * (np.log(units) + np.log(largest))
    return evidences, int(np.sum(noises < _LEAST_NOISE))


def _find_highest(squares, rest, n, spectrum, start):
    """Lowest loss about a point of the grid, and its noise before the bound."""

    def compute_loss(ratio):
        return _compute_loss(squares, rest, n, _compute_scales(spectrum, [ratio]))

    bracket = _RATIOS[max(start - 1, 0)], _RATIOS[min(start + 1, len(_RATIOS) - 1)]
    best = minimize_scalar(
        lambda ratio: compute_loss(ratio)[0][0],
        bounds=bracket,
        method="bounded",
        options={"xatol": 1e-8},
    )
    return best.fun, compute_loss(best.x)[1][0]


def _compute_scales(spectrum, ratios):
    """Variances along the singular vectors over that of the noise, one row per ratio."""
    return 1 + np.exp(-np.asarray(ratios))[:, None] * spectrum


def _compute_loss(squares, rests, n, scales):
    """-2 log evidence at the best noise, less n log 2 pi, and that noise before its bound.

    One row per ratio, and one column per target where there are several.
    """
    free = ((1 / scales) @ squares + rests) / n
    noise = np.maximum(free, _LEAST_NOISE)
    log_det = np.log(scales).sum(axis=1).reshape(-1, *[1] * (free.ndim - 1))
    return n * (np.log(noise) + free / noise) + log_det, free
