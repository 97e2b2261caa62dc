"""Temperature of probabilities that come from distances, as functions of arrays."""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

# What suits one sample per class, on photos and on digits.
EXPECTED = 0.1
_WIDTH = math.log(1000)  # of the search, to both sides in the logarithm


def compute_mean_distance(prototypes, origin):
    """Mean squared Euclidean distance of all pairs of prototypes; 1 where that is 0.

    `origin` was subtracted from them, so that of equal ones rounding leaves a spread.
    """
    n = len(prototypes)
    spread = ((prototypes - prototypes.mean(axis=0)) ** 2).sum() / n
    if n == 1 or spread <= 1e-28 * ((prototypes**2).sum() / n + origin @ origin):
        return 1.0
    return float(2 * n / (n - 1) * spread)


def find_likeliest(distances, own, weights, expected):
    """Temperature T at which softmax(-distances / T) makes the rows' own classes likeliest.

    `own` is the class of each row. The logarithm of T has a normal prior about that of
    `expected` with a deviation of 1, without which T would be 0 where no row errs.
    """
    if not len(distances):
        return expected
    excess = np.take_along_axis(distances, own[:, None], axis=1) - distances

    def compute_loss(step):
        return weights @ logsumexp(excess / (expected * math.exp(step)), axis=1) + step**2 / 2

    found = minimize_scalar(
        compute_loss, bounds=(-_WIDTH, _WIDTH), method="bounded", options={"xatol": 1e-6}
    )
    return expected * math.exp(found.x)
