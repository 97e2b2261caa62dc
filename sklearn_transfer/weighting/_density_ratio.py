"""Ratios of densities by Gaussian kernels: KLIEP and uLSIF."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.linalg import eigh
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_transfer._sampling import draw_seed
from sklearn_transfer._strays import find_strays
from sklearn_transfer._validation import format_list
from sklearn_transfer.weighting._base import RatioWeighter
from sklearn_transfer.weighting._gaussian_basis import GaussianBasis, LogRatio, Ratio
from sklearn_transfer.weighting._mixture import compute_log, fit_mixture

_POSITIVE = Interval(Real, 0, None, closed="neither")
_COUNT = Interval(Integral, 1, None, closed="left")
_CHOICE_TOL = 1e-4  # of log-likelihoods that are only compared
_FLOOR = -700  # logarithm of ratios that are 0 but for rounding
_REGS = (1e-3, 1e-2, 0.1, 1.0, 10.0)
_ALONE_REG = 0.1  # the penalty where a domain has one row
_COMPARED = 5000  # rows of the target by which KLIEP chooses
_DOUBTFUL = 2.0, 3.0  # gap and distance of rows that KLIEP's choice ignores
_PAIRS = 2000  # rows of each domain that are left out in turn


class KLIEP(RatioWeighter):
    """Ratio of the densities by Gaussian kernels, at the greatest likelihood of the target.

    Use it in few dimensions, where a smooth positive ratio is wanted at any sample. Kullback-
    Leibler importance estimation chooses its width by the likelihood of target rows that
    were left out, and needs no labels.

    Parameters
    ----------
    gamma : float, "median", "cv" or array-like of floats, default="cv"
        Factor of the kernels `exp(-gamma |x - c|^2)`. "median" is 1 / (2 s^2) with s the
        median distance of rows of both domains; "cv" chooses among widths from 0.15 to 3
        times s, so that the unit of the features does not matter; an array holds candidates.
    n_centers : int, default=100
        Number of kernels, centered at random rows of the target; all rows if it has fewer.
    cv : int, default=5
        Number of folds of the target for choosing gamma, at most n_target. Of more than 5000
        target rows, random ones are used.
    tol : float, default=1e-6
        How far the objective may be from its maximum.
    max_iter : int, default=100
        Largest number of rounds of the solver; about ten are usual.
    random_state : int, RandomState instance or None, default=None
        Draws the centers and the folds.

    Attributes
    ----------
    weights_ : ndarray of shape (n_source,)
        Weights of the source rows in their order: at least 0, mean 1.
    ess_ : float
        Effective sample size, (sum of weights)^2 / (sum of squared weights).
    mean_weight_ : float
        Mean of the ratio over the source, which is 1 by its constraint.
    gamma_ : float
        Factor of the kernels that was used.
    gammas_ : ndarray of shape (n_candidates,)
        Candidates for it.
    scores_ : ndarray of shape (n_candidates,)
        Mean log ratio of target rows left out, for each candidate; 0 where there is nothing
        to choose.
    centers_ : ndarray of shape (n_centers, n_features)
        Centers of the kernels.
    objective_ : float
        Mean log ratio of the target, which estimates the divergence of it from the source.
    dual_gap_ : float
        Bound of how much higher the objective could be.
    n_iter_ : int
        Rounds of the solver.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features where X has them.

    See Also
    --------
    ULSIF : The same kernels by least squares, which may also be negative.
    DomainClassifierWeights : The ratio by a classifier of domains.
    KMM : Weights that match means in a kernel's space.

    Notes
    -----
    With kernels k_l at the centers the coefficients a solve::

        maximize mean_j log r(t_j),  r = sum_l a_l k_l,  subject to  a >= 0, mean_i r(x_i) = 1

    over target rows t and source rows x. With a_l = p_l / mean_i k_l(x_i) these are the
    proportions p of a mixture, a concave program that is solved by sequential quadratic
    programming. Everything is computed from logarithms of kernels, so that domains far apart
    do not underflow. The ratio is 0 nowhere and at most exp(700).

    As coefficients are positive the ratio cannot fall faster than its kernels: in 20
    dimensions it ranks samples worse than `ULSIF` and `DomainClassifierWeights`. With one
    target row gamma cannot be chosen, and "cv" means "median". Target rows twice as far out
    as all others are left out of the choice, which a single one could decide otherwise.

    **Assumption.** As of `KMM`: the same dependence of labels on inputs, and source rows
    wherever the target has some. The ratio must be smooth in units of the kernels' width,
    which in the hundreds of features of a network it is not.

    **Evidence.** On the fourteen development directions of `benchmarks/adaptation.py`, most
    with 1,280 features, a logistic regression of features of one unit had a mean accuracy of
    64.2 % unweighted and 59.6 % with these weights. Ten fell, by up to 20 points; the largest
    gain, 8 points, was with 64 features and other class shares.

    Memory grows with n + m n_centers. Without a target only `weights_`, `mean_weight_` and
    `ess_` are set.

    References
    ----------
    Sugiyama, M., Suzuki, T., Nakajima, S., Kashima, H., von Buenau, P. and Kawanabe, M.
    (2008). Direct importance estimation for covariate shift adaptation. Annals of the
    Institute of Statistical Mathematics 60.

    Kim, Y., Carbonetto, P., Stephens, M. and Anitescu, M. (2020). A fast algorithm for
    maximum likelihood estimation of mixture proportions using sequential quadratic
    programming. Journal of Computational and Graphical Statistics 29.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer import KLIEP
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(300, 1)), rng.normal(loc=1, size=(200, 1))
    >>> kliep = KLIEP(random_state=0).fit(X, X_target=X_target)
    >>> bool(np.average(X[:, 0], weights=kliep.weights_) > 0.8)
    True
    >>> left, right = kliep.predict_weights([[-1], [1]])
    >>> bool(left < 0.5 < 1.2 < right)
    True
    """

    _parameter_constraints: dict = {
        "gamma": [_POSITIVE, StrOptions({"median", "cv"}), "array-like"],
        "n_centers": [_COUNT],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "tol": [_POSITIVE],
        "max_iter": [_COUNT],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        gamma="cv",
        n_centers=100,
        cv=5,
        tol=1e-6,
        max_iter=100,
        random_state=None,
    ):
        self.gamma = gamma
        self.n_centers = n_centers
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    def _estimate(self, X_source, X_target, y_source):
        random_state = check_random_state(self.random_state)
        basis = GaussianBasis(X_source, X_target, self.n_centers, random_state)
        self.gammas_ = _validate_candidates(
            basis.list_gammas(self._choose_gamma(X_target)), "gamma"
        )
        distances = basis.compute_squared_distances(X_target) / basis.median
        log_means = basis.compute_log_means(X_source, self.gammas_)
        usual = ~find_strays(X_source, X_target, *_DOUBTFUL)[1]
        self.scores_ = self._compare_likelihoods(distances[usual], log_means, random_state)
        best = int(np.argmax(self.scores_))
        self.gamma_ = float(self.gammas_[best])
        self.centers_ = basis.centers
        terms = -self.gamma_ * distances - log_means[best]
        found = fit_mixture(terms, self.tol, self.max_iter)
        self.dual_gap_, self.n_iter_ = found.gap, found.n_iter
        self._warn_of_gap()
        self._ratio_ = LogRatio(
            basis, self.gamma_, compute_log(found.proportions) - log_means[best]
        )
        self.objective_ = float(np.mean(_compute_log_mixture(terms, found.proportions)))
        return self._ratio_(X_source)

    def _choose_gamma(self, X_target):
        alone = len(X_target) == 1 and isinstance(self.gamma, str)
        return "median" if alone else self.gamma

    def _compare_likelihoods(self, distances, log_means, random_state):
        """Mean log ratio of target rows left out, one for each gamma."""
        n_folds = min(self.cv, len(distances))
        if len(self.gammas_) == 1 or n_folds == 1:
            return np.zeros(len(self.gammas_))
        if len(distances) > _COMPARED:
            distances = distances[random_state.permutation(len(distances))[:_COMPARED]]
        seed = draw_seed(random_state)
        folds = list(KFold(n_folds, shuffle=True, random_state=seed).split(distances))
        scores = np.zeros(len(self.gammas_))
        for i, gamma in enumerate(self.gammas_):
            terms = -gamma * distances - log_means[i]
            for seen, held in folds:
                found = fit_mixture(terms[seen], _CHOICE_TOL, self.max_iter)
                logs = _compute_log_mixture(terms[held], found.proportions)
                scores[i] += np.maximum(logs, _FLOOR).sum() / len(distances)
        return scores

    def _warn_of_gap(self):
        if not self.dual_gap_ <= self.tol:
            warnings.warn(
                f"KLIEP stopped after {self.n_iter_} rounds at a gap of {self.dual_gap_:.2g}, "
                f"with tol={self.tol:.2g}. Raise max_iter or tol, or lower n_centers.",
                ConvergenceWarning,
                stacklevel=5,
            )


def _compute_log_mixture(terms, proportions):
    top = terms.max(axis=1)
    return top + compute_log(np.exp(terms - top[:, None]) @ proportions)


def _validate_candidates(candidates, name):
    if (
        candidates.size == 0
        or candidates.ndim != 1
        or not (np.isfinite(candidates) & (candidates > 0)).all()
    ):
        raise ValueError(
            f"{name} holds {format_list(candidates.ravel())}: candidates must be "
            "a list of positive numbers"
        )
    return candidates


class ULSIF(RatioWeighter):
    """Ratio of the densities by Gaussian kernels and least squares, in closed form.

    Use it as a fast first choice for a ratio at any sample: unconstrained least-squares
    importance fitting solves a linear system, and chooses width and regularization by exact
    leave-one-out errors. With `alpha` > 0 it is RuLSIF, whose ratio is bounded.

    Parameters
    ----------
    alpha : float, default=0
        Share of the target in the denominator, in [0, 1): the ratio that is fitted is
        p_target / (alpha p_target + (1 - alpha) p_source), at most 1 / alpha. Weights are
        then flatter than the plain ratio and vary less; 0.1 to 0.5 is usual.
    gamma : float, "median", "cv" or array-like of floats, default="cv"
        Factor of the kernels `exp(-gamma |x - c|^2)`. "median" is 1 / (2 s^2) with s the
        median distance of rows of both domains; "cv" chooses among widths from 0.15 to 3
        times s, so that the unit of the features does not matter; an array holds candidates.
    reg : float, "cv" or array-like of floats, default="cv"
        Penalty of the squared coefficients; "cv" chooses among powers of ten from 0.001 to
        10.
    n_centers : int, default=100
        Number of kernels, centered at random rows of the target; all rows if it has fewer.
    random_state : int, RandomState instance or None, default=None
        Draws the centers, and pairs of rows that are left out.

    Attributes
    ----------
    weights_ : ndarray of shape (n_source,)
        Weights of the source rows in their order: at least 0, mean 1.
    ess_ : float
        Effective sample size, (sum of weights)^2 / (sum of squared weights).
    mean_weight_ : float
        Mean of the ratio over the source; with alpha = 0 near 1 where it is estimated well.
    gamma_ : float
        Factor of the kernels that was used.
    reg_ : float
        Penalty that was used.
    gammas_, regs_ : ndarray of shape (n_gammas,), ndarray of shape (n_regs,)
        Candidates for both.
    scores_ : ndarray of shape (n_gammas, n_regs)
        Leave-one-out error of each pair of candidates, the least of which is chosen.
    centers_ : ndarray of shape (n_centers, n_features)
        Centers of the kernels.
    coef_ : ndarray of shape (n_centers,)
        Coefficients of the kernels.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features where X has them.

    See Also
    --------
    KLIEP : The same kernels at the greatest likelihood.
    DomainClassifierWeights : The ratio by a classifier of domains.
    KMM : Weights that match means in a kernel's space.

    Notes
    -----
    With kernels k_l at the centers, means E over the rows of a domain and the ratio
    r = sum_l a_l k_l the coefficients are the minimizer of::

        alpha / 2 E_target r^2 + (1 - alpha) / 2 E_source r^2 - E_target r + reg / 2 |a|^2

    and r is cut at 0. Coefficients may be negative, as in RuLSIF; cutting them too, as
    Kanamori et al. do, leaves a ratio that cannot fall faster than its kernels, which costs
    half of the rank correlation with the true one in 20 dimensions. Candidates are compared by
    the same objective, without the penalty, at a source and a target row that both were
    left out; 2000 pairs at most, all of them in closed form.

    If a domain has one row, nothing can be chosen, and "cv" means the median and 0.1. Where
    source rows are so far from the target that all kernels vanish the weights are left
    equal, with a warning; `KLIEP` sees farther. Memory grows with n + m. Without a target
    only `weights_`, `mean_weight_` and `ess_` are set.

    **Assumption.** As of `KMM`: the same dependence of labels on inputs, and source rows
    wherever the target has some. Where the domains hardly overlap, a least-squares fit of the
    ratio gives almost all weight to few rows; `alpha` bounds it.

    **Evidence.** On fourteen directions of real images (`python -m benchmarks.adaptation`) a
    logistic regression had a mean accuracy of 64.2 % unweighted and 57.2 % with these weights;
    on twelve others it was 72.7 and 65.8 %. Ten of the fourteen fell: by 27 and 48 points
    where noise or darkness left an `ess_` of 5 or 6 % of the rows, by up to 9 elsewhere. The
    largest gain was 0.3 points. Where the domains were equal nearly all weights were 1.

    References
    ----------
    Kanamori, T., Hido, S. and Sugiyama, M. (2009). A least-squares approach to direct
    importance estimation. JMLR 10.

    Yamada, M., Suzuki, T., Kanamori, T., Hachiya, H. and Sugiyama, M. (2013). Relative
    density-ratio estimation for robust distribution comparison. Neural Computation 25.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer import ULSIF
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(300, 2)), rng.normal(loc=[1, 0], size=(200, 2))
    >>> ulsif = ULSIF(random_state=0).fit(X, X_target=X_target)
    >>> bool(np.average(X[:, 0], weights=ulsif.weights_) > 0.8)
    True
    >>> bool(ULSIF(alpha=0.5, random_state=0).fit(X, X_target=X_target).ess_ > ulsif.ess_)
    True
    """

    _parameter_constraints: dict = {
        "alpha": [Interval(Real, 0, 1, closed="left")],
        "gamma": [_POSITIVE, StrOptions({"median", "cv"}), "array-like"],
        "reg": [_POSITIVE, StrOptions({"cv"}), "array-like"],
        "n_centers": [_COUNT],
        "random_state": ["random_state"],
    }

    def __init__(self, *, alpha=0.0, gamma="cv", reg="cv", n_centers=100, random_state=None):
        self.alpha = alpha
        self.gamma = gamma
        self.reg = reg
        self.n_centers = n_centers
        self.random_state = random_state

    def _estimate(self, X_source, X_target, y_source):
        random_state = check_random_state(self.random_state)
        basis = GaussianBasis(X_source, X_target, self.n_centers, random_state)
        self._set_candidates(basis, min(len(X_source), len(X_target)))
        source = basis.compute_moments(X_source, self.gammas_)
        target = basis.compute_moments(X_target, self.gammas_)
        pairs = self._draw_pairs(basis, X_source, X_target, random_state)
        self.scores_ = self._compute_errors(
            basis, pairs, source, target, len(X_source), len(X_target)
        )
        i, j = np.unravel_index(np.argmin(self.scores_), self.scores_.shape)
        self.gamma_, self.reg_ = float(self.gammas_[i]), float(self.regs_[j])
        self.centers_ = basis.centers
        products = self.alpha * target.products[i] + (1 - self.alpha) * source.products[i]
        values, vectors = _decompose(products)
        self.coef_ = vectors @ ((target.means[i] @ vectors) / (values + self.reg_))
        self._ratio_ = Ratio(basis, self.gamma_, self.coef_)
        return self._ratio_(X_source)

    def _set_candidates(self, basis, least):
        """Candidates of both parameters; `least` is the smaller number of rows."""
        gamma, reg = self.gamma, self.reg
        if least == 1:
            gamma = "median" if isinstance(gamma, str) else gamma
            reg = _ALONE_REG if isinstance(reg, str) else reg
        self.gammas_ = _validate_candidates(basis.list_gammas(gamma), "gamma")
        regs = _REGS if isinstance(reg, str) else reg
        self.regs_ = _validate_candidates(
            np.atleast_1d(np.asarray(regs, dtype=np.float64)), "reg"
        )

    def _draw_pairs(self, basis, X, T, random_state):
        """Squared distances to the centers of random rows of each domain."""
        n_pairs = min(len(X), len(T), _PAIRS)
        return [
            basis.compute_squared_distances(
                rows[random_state.permutation(len(rows))[:n_pairs]]
            )
            for rows in (X, T)
        ]

    def _compute_errors(self, basis, pairs, source, target, n, m):
        """Errors of rows left out, of all pairs of candidates."""
        scores = np.zeros((len(self.gammas_), len(self.regs_)))
        if scores.size == 1 or min(n, m) == 1:
            return scores
        for i, gamma in enumerate(self.gammas_):
            P, Q = (np.exp(-gamma / basis.median * distances) for distances in pairs)
            left_out = LeftOut(
                P,
                Q,
                source=n * source.products[i],
                target=m * target.products[i],
                total=m * target.means[i],
                n=n,
                m=m,
                alpha=self.alpha,
            )
            scores[i] = [left_out.compute_error(reg) for reg in self.regs_]
        return scores


class LeftOut:
    """Errors of uLSIF at pairs of rows that both were left out, in closed form.

    P and Q are kernels at the source and the target rows of the pairs, `source` and `target`
    sums of products of kernels over all n and m rows, `total` their sum over the target.
    Without a pair the system changes by a matrix of rank two.
    """

    def __init__(self, P, Q, source, target, total, n, m, alpha):
        self.alpha = alpha
        self.shares = (1 - alpha) / (n - 1), alpha / (m - 1)
        self.values, vectors = _decompose(self.shares[0] * source + self.shares[1] * target)
        self.P, self.Q = P @ vectors, Q @ vectors
        self.means = (total @ vectors - self.Q) / (m - 1)

    def solve_coefficients(self, reg):
        """Coefficients without each pair, in the basis of the eigenvectors."""
        a, b = self.shares
        inverse = 1 / (self.values + reg)
        P, Q = self.P * inverse, self.Q * inverse
        pp, pq, qq = (
            _multiply_rows(self.P, P),
            _multiply_rows(self.P, Q),
            _multiply_rows(self.Q, Q),
        )
        p, q = a * _multiply_rows(P, self.means), b * _multiply_rows(Q, self.means)
        # Cramer's rule for the two unknowns of the Woodbury identity.
        determinant = (1 - a * pp) * (1 - b * qq) - a * b * pq**2
        of_p = ((1 - b * qq) * p + a * pq * q) / determinant
        of_q = ((1 - a * pp) * q + b * pq * p) / determinant
        return self.means * inverse + P * of_p[:, None] + Q * of_q[:, None]

    def compute_error(self, reg):
        """Mean objective, without the penalty, at the rows left out."""
        coefs = self.solve_coefficients(reg)
        source = np.maximum(_multiply_rows(self.P, coefs), 0)
        target = np.maximum(_multiply_rows(self.Q, coefs), 0)
        quadratic = self.alpha * target**2 + (1 - self.alpha) * source**2
        return float(np.mean(quadratic / 2 - target))


def _multiply_rows(A, B):
    return np.einsum("ij,ij->i", A, B)


def _decompose(products):
    values, vectors = eigh(products)
    return np.maximum(values, 0), vectors
