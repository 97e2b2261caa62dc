"""Kernel mean matching."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_transfer._kernels import Kernel, compute_gamma, compute_median_distance
from sklearn_transfer._process.blas import one_blas_thread
from sklearn_transfer._sampling import draw_rows
from sklearn_transfer.weighting._base import BaseWeighter
from sklearn_transfer.weighting._box_slab import Region
from sklearn_transfer.weighting._working_set import Problem, solve

# Source rows up to which n_components="auto" approximates nothing, on one BLAS thread.
_EXACT = 10_000
_LANDMARKS = 1000  # components it takes beyond
_ALONE = 1e-3  # kernel mass off the diagonal, a share of that on it, that counts as none


class KMM(BaseWeighter):
    """Kernel mean matching: weights that move the mean of the source to the target's.

    Use it where the inputs of source and target are distributed differently while labels
    depend on inputs in the same way (covariate shift): a model fitted with these weights as
    `sample_weight` learns where the target lies. It estimates no densities, so it also works
    in many dimensions, and needs no labels.

    Parameters
    ----------
    kernel : {"rbf", "linear", "polynomial"} or callable, default="rbf"
        `exp(-gamma |x - y|^2)`, `x'y`, `(gamma x'y + 1)^3`, or a function of two arrays (n, d)
        and (m, d) that returns (n, m) values of a positive semi-definite kernel. A linear
        kernel matches means only.
    gamma : float or "median", default="median"
        Factor of the kernel; "median" is 1 / (2 s^2) with s the median distance of rows of
        both domains, so weights do not depend on the unit of the features. With large values
        every row is unlike all others, and a warning says so.
    B : float, default=1000
        Largest weight before scaling to mean 1. Small values give smooth weights and more
        effective samples, at a mean farther from the target's; B = 1 leaves them equal.
    eps : float or "auto", default="auto"
        How far the mean weight may be from 1 before scaling, in [0, 1). "auto" is
        1 / sqrt(n_source), at most 0.5.
    solver : {"auto", "working-set", "full"}, default="auto"
        "working-set" solves over the rows between the bounds and those that should leave
        one; "full" over all rows, which holds a matrix of n_source^2 numbers. "auto" begins
        with few rows and takes all where most are free and up to 8000 are given.
    tol : float, default=1e-6
        Duality gap, relative to the objective, at which the solver stops.
    max_iter : int, default=100
        Largest number of rounds, one working set each.
    n_components : int, "auto" or None, default="auto"
        Landmarks of a Nystroem approximation of the kernel, random rows of the source. None
        is exact; "auto" is None up to 10,000 source rows and 1000 beyond.
    random_state : int, RandomState instance or None, default=None
        Draws the landmarks, nothing else.

    Attributes
    ----------
    weights_ : ndarray of shape (n_source,)
        Weights of the source rows in their order: at least 0, mean 1.
    ess_ : float
        Effective sample size, (sum of weights)^2 / (sum of squared weights).
    mean_weight_ : float
        Mean of `solution_`, which `weights_` is divided by; within `eps` of 1.
    solution_ : ndarray of shape (n_source,)
        Minimizer of the problem in Notes: `weights_` before scaling to mean 1.
    objective_ : float
        Value of the problem at `solution_`.
    dual_gap_ : float
        Bound of how much lower the objective could be, relative to its absolute value. It
        is that of the exact kernel, so it includes the error of an approximation.
    approximation_error_ : float
        Share of the kernel's trace that the Nystroem approximation misses; 0 where exact.
    n_iter_ : int
        Rounds of the solver.
    gamma_ : float or None
        Factor of the kernel that was used; None where the kernel has none.
    mmd_before_, mmd_after_ : float
        Maximum mean discrepancy between source and target with equal weights and with
        `weights_`.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features where X has them.

    See Also
    --------
    KLIEP, ULSIF, DomainClassifierWeights : The ratio of the densities at any sample.
    NearestNeighborWeights : Counts of nearest target rows.
    LabelShiftWeights : Classes that have other shares in the target.
    TargetDomain : A target that searches do not slice.

    Notes
    -----
    With n source rows x, m target rows t, K the kernel of the source and
    k_i = n / m sum_j k(x_i, t_j), the weights b minimize::

        b'Kb / 2 - k'b   subject to   0 <= b <= B,  |mean(b) - 1| <= eps

    which up to a constant is n^2 / 2 times the squared distance of the kernel means. The gap
    is the largest gradient'(b - s) over feasible s, found by sorting. Objectives nearer to 0
    than 1e-5 of n times the kernel's trace are taken as that when the gap is compared.

    Working sets are solved directly, by primal-dual active sets around proximal points, or by
    accelerated projected gradients where those do not end. Factors are in single precision
    while that is accurate, since steps are measured from a gradient in double precision, as
    is the gap. Up to 10,000 source rows one BLAS thread is used.

    **Assumption.** Labels depend on inputs in the same way in both domains, the source has
    rows wherever the target has, and the model is too simple to be right everywhere.
    Weights move a fit toward the target; they cannot tell it how a changed image looks. Where
    the style of all samples has changed, no source row is like the target's, few rows get
    most of the weight, and the model is fitted on fewer rows for nothing: look at `ess_`.

    **Evidence.** A straight line fitted to a curve gains by them, see
    `examples/weighting/plot_kmm_covariate_shift.py`. On fourteen directions of real images
    (`python -m benchmarks.adaptation`: style, class shares, mixtures, no shift) a logistic
    regression had a mean accuracy of 64.2 % unweighted and 58.5 % with these weights; on
    twelve others it was 72.7 and 67.2 %. Twelve of the fourteen fell, by up to 15 points, and
    none gained more than 0.3.

    Time grows with n (n + m) for the kernel and with the cube of the rows between the
    bounds. Up to 8000 source rows the kernel is held; beyond, its values are computed in
    blocks whenever they are needed, so memory grows with n + m, in addition to at most three
    matrices of 8000^2 numbers ("full": n^2) and n_components numbers per row. Where more
    than 8000 rows lie between the bounds, rounds gain little and `n_components` is the
    better way.

    An approximation is solved to `tol`; `dual_gap_` is what it leaves of the exact problem,
    usually more. A ConvergenceWarning tells where that is more than what was gained over
    equal weights and half of the discrepancy is left. `fit` keeps none of the data. Without
    a target all weights are 1, and only `weights_`, `mean_weight_` and `ess_` are set.

    References
    ----------
    Huang, J., Smola, A., Gretton, A., Borgwardt, K. and Schoelkopf, B. (2007). Correcting
    sample selection bias by unlabeled data. NeurIPS 19.

    Gretton, A. et al. (2009). Covariate shift by kernel mean matching. In Dataset Shift in
    Machine Learning, MIT Press.

    Hintermueller, M., Ito, K. and Kunisch, K. (2002). The primal-dual active set strategy as
    a semismooth Newton method. SIAM Journal on Optimization 13.

    Williams, C. and Seeger, M. (2001). Using the Nystroem method to speed up kernel machines.
    NeurIPS 13.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer import KMM
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(300, 2)), rng.normal(loc=[1, 0], size=(200, 2))
    >>> kmm = KMM(B=5).fit(X, X_target=X_target)
    >>> bool(np.average(X[:, 0], weights=kmm.weights_) > 0.8)
    True
    """

    _parameter_constraints: dict = {
        "kernel": [StrOptions({"rbf", "linear", "polynomial"}), callable],
        "gamma": [Interval(Real, 0, None, closed="neither"), StrOptions({"median"})],
        "B": [Interval(Real, 0, None, closed="neither")],
        "eps": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
        "solver": [StrOptions({"auto", "working-set", "full"})],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            None,
        ],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        kernel="rbf",
        gamma="median",
        B=1000,
        eps="auto",
        solver="auto",
        tol=1e-6,
        max_iter=100,
        n_components="auto",
        random_state=None,
    ):
        self.kernel = kernel
        self.gamma = gamma
        self.B = B
        self.eps = eps
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.n_components = n_components
        self.random_state = random_state

    def _count_tasks(self):
        return self.max_iter

    def _check_source(self, n):
        self._build_region(n)

    def _estimate(self, X_source, X_target, y_source):
        # Threads wait for each other longer than they work on matrices of this size, up to
        # thirty times while another program runs.
        with one_blas_thread(len(X_source) <= _EXACT):
            return self._match(X_source, X_target, X_source)

    def _estimate_beside(self, strays, X_source, X_target, y_source):
        with one_blas_thread(len(X_source) <= _EXACT):
            return self._match(X_source, X_target, X_source[~strays])

    def _match(self, X_source, X_target, usual):
        """Weights by a kernel whose bandwidth and origin come from the usual source rows."""
        region = self._build_region(len(X_source))
        kernel = self._build_kernel(usual, X_target)
        if usual is X_source:
            X, T = kernel.prepare(X_source, X_target)
        else:
            _, X, T = kernel.prepare(usual, X_source, X_target)
        k = kernel.multiply(X, T, np.full(len(T), len(X) / len(T)))
        trace = float(np.abs(kernel.compute_diagonal(X)).sum())
        problem = Problem(kernel, X, k, region, len(X) * trace)
        problem.hold()
        solution = self._solve(problem, T, trace)
        total = problem.sum_all()
        self._warn_of_identity(total, trace)
        self._describe_solution(problem, solution, total, kernel.sum_all(T) / len(T) ** 2)
        self._warn_of_approximation(problem, solution, total)
        return self.solution_

    def _build_kernel(self, X_source, X_target):
        if self.kernel not in ("rbf", "polynomial"):
            self.gamma_ = None
            return Kernel(self.kernel, None)
        if self.gamma != "median":
            self.gamma_ = float(self.gamma)
            return Kernel(self.kernel, self.gamma_)
        distance = compute_median_distance(X_source, X_target)
        self.gamma_ = compute_gamma(distance)
        return Kernel(self.kernel, self.gamma_, distance)

    def _build_region(self, n):
        eps = min(0.5, 1 / np.sqrt(n)) if self.eps == "auto" else self.eps
        if 1 - eps > self.B:
            raise ValueError(
                f"B={self.B} with eps={eps:.3g} leaves no solution: no weight may pass B, and "
                f"their mean must be at least 1 - eps. Give B of at least {1 - eps:.3g}."
            )
        # No weight passes the sum of all, and a B of 1e300 would only overflow.
        return Region(min(float(self.B), n * (1 + eps)), n * (1 - eps), n * (1 + eps))

    def _solve(self, problem, T, trace):
        """The exact problem's solution, from an approximate one where asked for."""
        self.approximation_error_ = 0.0
        n_components = self.n_components
        if n_components == "auto":
            n_components = None if len(problem.X) <= _EXACT else _LANDMARKS
        solved = problem
        if n_components is not None and n_components < len(problem.X):
            solved, kept = self._approximate(problem, T, n_components)
            self.approximation_error_ = max(0.0, 1 - kept / trace) if trace else 0.0
        is_whole, task = self.solver == "full", self._find_task()
        solution = solve(solved, self.tol, self.max_iter, whole=is_whole, task=task)
        self._warn_of_gap(solution, solved)
        if solved is problem:
            return solution
        return problem.build_result(solution.x, solution.n_iter)

    def _approximate(self, problem, T, n_components):
        """The problem on Nystroem features, where the kernel is linear, and its trace."""
        draw = check_random_state(self.random_state)
        rows = draw_rows(len(problem.X), n_components, draw)
        landmarks = problem.X[rows]
        values, vectors = np.linalg.eigh(problem.kernel.compute_block(landmarks, landmarks))
        kept = values > 1e-10 * values.max()
        if not kept.any():  # of a kernel that is 0, which nothing can approximate
            return problem, float(np.abs(problem.kernel.compute_diagonal(problem.X)).sum())
        whiten = vectors[:, kept] / np.sqrt(values[kept])
        source = problem.kernel.map_features(problem.X, landmarks, whiten)
        target = problem.kernel.map_features(T, landmarks, whiten)
        k = len(source) * (source @ target.mean(axis=0))
        linear = Problem(Kernel("linear", None), source, k, problem.region, problem.scale)
        return linear, float(np.einsum("ij,ij->", source, source))

    def _describe_solution(self, problem, solution, total, target):
        """Set attributes from the total of the source kernel and the mean of the target's."""
        x, n = solution.x, len(solution.x)
        self.solution_ = x
        self.objective_ = solution.objective
        self.dual_gap_ = solution.gap / problem.compute_allowed(solution.objective, 1)
        self.n_iter_ = solution.n_iter
        share = 1 / x.mean()
        quadratic = share**2 * float(x @ (solution.gradient + problem.k))
        linear = share * float(x @ problem.k)
        self.mmd_before_ = _compute_root(total / n**2 - 2 * problem.k.mean() / n + target)
        self.mmd_after_ = _compute_root((quadratic - 2 * linear) / n**2 + target)

    def _warn_of_gap(self, solution, problem):
        gap = solution.gap / problem.compute_allowed(solution.objective, 1)
        if not gap <= self.tol:  # NaN where numbers overflow
            warnings.warn(
                f"KMM stopped after {solution.n_iter} rounds at a relative gap of {gap:.2g}, "
                f"with tol={self.tol:.2g}. Raise max_iter or tol, or approximate the kernel "
                "with n_components=1000.",
                ConvergenceWarning,
                stacklevel=7,
            )

    def _warn_of_approximation(self, problem, solution, total):
        """Warn where discrepancy is left and the gap is more than was gained over 1."""
        gained = total / 2 - problem.k.sum() - solution.objective
        left = self.mmd_after_ > self.mmd_before_ / 2
        if self.approximation_error_ and left and solution.gap > gained:
            warnings.warn(
                f"The approximate kernel misses {self.approximation_error_:.2g} of the exact "
                "one, and these weights may gain less than half of what the best would over "
                "equal ones. Raise n_components, or give None where memory and time allow.",
                ConvergenceWarning,
                stacklevel=6,
            )

    def _warn_of_identity(self, total, trace):
        # The diagonal of this kernel is 1, so its trace counts the rows.
        if self.kernel == "rbf" and trace > 1 and total - trace < _ALONE * trace:
            warnings.warn(
                f"With gamma={self.gamma_:.3g} every source row is unlike all others, so the "
                "weights say nothing. Lower gamma, or leave gamma='median'.",
                UserWarning,
                stacklevel=6,
            )


def _compute_root(squared):
    """Square root of a number that rounding may have taken below 0."""
    return float(np.sqrt(max(0.0, squared)))
