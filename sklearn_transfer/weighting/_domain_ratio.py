"""Ratio of the densities of two domains, target over source, by classifiers of domains.

`DomainOdds` takes a classifier that a user has chosen. `estimate_domain_ratio` chooses one
by cross-validation, for reports, where nobody has looked at the data yet.
"""

import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from sklearn_transfer._kernels import compute_median_gamma
from sklearn_transfer._sampling import draw_seed
from sklearn_transfer.weighting._classifiers import predict_log_probabilities

_FOLDS = 5
_FEATURES = 100  # of the kernel
# Inverse penalties: equal domains of few rows need strong ones, distant domains weak ones.
_STRENGTHS = (0.001, 0.01, 0.1, 1, 10)
_LARGEST = 300  # logarithm of odds whose square is a number


class DomainOdds:
    """Ratio of the densities by a fitted classifier of domains.

    `share` is the number of source rows over that of target rows it was fitted on, `largest`
    a bound of the ratio.
    """

    def __init__(self, model, share, largest):
        self.model, self.share, self.largest = model, share, largest

    def __call__(self, X):
        logs = predict_log_probabilities(self.model, X, 2)
        log_ratio = logs[:, 1] - logs[:, 0] + np.log(self.share)
        return np.exp(np.minimum(log_ratio, np.log(self.largest)))


def estimate_domain_ratio(X, T, random_state):
    """Target over source density at source rows, from models that have not seen them."""
    n_folds = min(_FOLDS, len(X), len(T))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=draw_seed(random_state))
    features = _build_features(X, T, random_state)
    domain = np.repeat([0, 1], [len(X), len(T)])
    odds, least = None, np.inf
    for strength in _STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000)
        found = cross_val_predict(
            model, features, domain, cv=folds, method="decision_function"
        )
        loss = np.logaddexp(0, np.where(domain == 1, -found, found)).mean()
        if loss < least:
            odds, least = found, loss
    return np.exp(np.clip(odds[: len(X)], -_LARGEST, _LARGEST)) * len(X) / len(T)


def _build_features(X, T, random_state):
    """Scaled features of both domains, and random features of a kernel."""
    pooled = StandardScaler().fit_transform(np.concatenate([X, T]))
    kernel = Nystroem(
        gamma=compute_median_gamma(pooled[: len(X)], pooled[len(X) :]),
        n_components=min(_FEATURES, len(pooled) // 2),
        random_state=draw_seed(random_state),
    )
    return np.column_stack([pooled, kernel.fit_transform(pooled)])
