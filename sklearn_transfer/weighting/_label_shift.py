"""Weights for classes whose shares differ between the domains."""

import warnings
from numbers import Integral, Number, Real

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.multiclass import type_of_target

from sklearn_transfer._validation import check_classes, column_or_1d
from sklearn_transfer.weighting._base import BaseWeighter
from sklearn_transfer.weighting._classifiers import (
    build_default_classifier,
    draw_stratified_folds,
    predict_log_probabilities,
)
from sklearn_transfer.weighting._mixture import compute_log, fit_mixture

# Bounds of the singular value, relative to the largest, under which classes are confounded.
_WEAK = 0.05, 0.2
_CERTAIN = 30.0  # bound of logarithms of probabilities, and of what calibration adds to them
_STEEP = (0.01, 10.0)  # bounds of the inverse temperature


class LabelShiftWeights(BaseWeighter):
    """Weights for classes whose shares differ between source and target.

    Use it where samples of a class look the same in both domains while the frequencies of
    the classes differ (label shift): other seasons, other prevalence. It needs source
    labels.

    Parameters
    ----------
    estimator : classifier, default=None
        With `predict_proba`; clones are fitted on the source. None is a logistic regression
        on scaled features. It need not be accurate, as long as it tells the classes apart to
        some degree.
    method : {"em", "bbse"}, default="em"
        "em" takes the shares that make the target's probabilities most likely, the limit of
        the EM algorithm of Saerens et al.; with calibration it is the more accurate one
        [Alexandari 2020]. "bbse" inverts the confusion matrix of predicted classes, which
        needs no calibration and is linear.
    calibrate : bool, default=True
        Whether probabilities are calibrated on source rows left out, by a temperature and a
        shift for each class. Only "em" reads probabilities.
    cv : int, default=5
        Folds of the source whose rows are predicted by models that did not see them; at
        most n_source.
    tol : float, default=1e-6
        How far the mean log-likelihood of "em" may be from its maximum.
    max_iter : int, default=100
        Largest number of rounds of "em".
    task : {"auto", "classification"}, default="auto"
        "auto" refuses many distinct whole numbers as y, such as ages, by the rule of `logme`,
        unless `estimator` is given, which predicts classes; "classification" takes any.
    random_state : int, RandomState instance or None, default=None
        Draws the folds. It does not reach `estimator`.

    Attributes
    ----------
    weights_ : ndarray of shape (n_source,)
        Weights of the source rows in their order, one value per class: at least 0, mean 1.
    ess_ : float
        Effective sample size, (sum of weights)^2 / (sum of squared weights).
    mean_weight_ : float
        Mean of the class weights over the source, which is 1.
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    class_weights_ : ndarray of shape (n_classes,)
        Share of each class in the target over its share in the source.
    source_priors_, target_priors_ : ndarray of shape (n_classes,)
        Shares of the classes in the source, and as estimated in the target.
    confusion_ : ndarray of shape (n_classes, n_classes)
        Column j holds what source rows of class j, left out, are predicted as: shares of
        predicted classes for "bbse", mean probabilities for "em".
    estimator_ : classifier
        Fitted on all of the source, with classes as numbers from 0; None where y holds one
        class.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features where X has them.

    See Also
    --------
    KMM : Weights where inputs shift and labels follow them as before.
    DomainClassifierWeights : The same case, by a classifier of domains.

    Notes
    -----
    With source shares s and probabilities P(k | x) of the source, "em" maximizes over q::

        mean_j log sum_k q_k P(k | t_j) / s_k   subject to   q >= 0, sum q = 1

    which is concave, and so does not depend on a start. "bbse" solves C q = p, C the
    confusion matrix and p the predicted shares in the target; q is cut at 0 and scaled to
    sum 1.

    Where rows of different classes are predicted alike, the confusion matrix has a small
    singular value. With c rows in the smallest class and e = 1 / sqrt(c), within 0.05 and 0.2,
    it is small under e times the largest for "bbse" and e^2 times for "em". A warning then
    says so, and shares lean to the source's: "bbse" counts small singular values as 0, "em"
    adds e^2 m rows that are known to be of a class, in the source's shares.

    Weights belong to labels, so there is no `predict_weights` of features. `class_weight=`
    of scikit-learn takes `dict(zip(w.classes_, w.class_weights_))`. Without a target y is
    ignored, and only `weights_`, `mean_weight_` and `ess_` are set.

    **Assumption.** Samples of a class are distributed alike in both domains. Where they look
    different as well, the classifier's errors on the target are taken for other class shares:
    `shift_report` tests this. Weights help little where classes are told apart easily, as
    shares then hardly matter to the model, and cost rows where the rare classes matter.

    **Evidence.** On fourteen directions of real images (`python -m benchmarks.adaptation`),
    one of them a pure shift of class shares, a logistic regression had a mean accuracy of
    64.2 % unweighted and 58.2 % with these weights; on twelve others it was 72.7 and 68.4 %.
    On pure shifts it gained 1, 2 and 26 points; where images had changed it lost up to 24.

    References
    ----------
    Saerens, M., Latinne, P. and Decaestecker, C. (2002). Adjusting the outputs of a
    classifier to new a priori probabilities. Neural Computation 14.

    Lipton, Z., Wang, Y.-X. and Smola, A. (2018). Detecting and correcting for label shift
    with black box predictors. ICML.

    Alexandari, A., Kundaje, A. and Shrikumar, A. (2020). Maximum likelihood with
    bias-corrected calibration is hard-to-beat at label shift adaptation. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer import LabelShiftWeights
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = rng.random(500) < 0.5, rng.random(500) < 0.9
    >>> X, X_target = (rng.normal(2.0 * labels[:, None], 1) for labels in (y, y_target))
    >>> weighter = LabelShiftWeights(random_state=0).fit(X, y, X_target=X_target)
    >>> print(f"{weighter.target_priors_[1]:.1f}")
    0.9
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
        "method": [StrOptions({"em", "bbse"})],
        "calibrate": ["boolean"],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "task": [StrOptions({"auto", "classification"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        method="em",
        calibrate=True,
        cv=5,
        tol=1e-6,
        max_iter=100,
        task="auto",
        random_state=None,
    ):
        self.estimator = estimator
        self.method = method
        self.calibrate = calibrate
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.task = task
        self.random_state = random_state

    def _estimate(self, X_source, X_target, y_source):
        labels = _validate_labels(y_source)
        if self.estimator is None:
            check_classes(y_source, self.task, "LabelShiftWeights", ", else use KMM")
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.source_priors_ = np.bincount(codes) / len(codes)
        if len(self.classes_) == 1:
            self.estimator_ = None
            self.confusion_, self.target_priors_ = np.ones((1, 1)), np.ones(1)
        else:
            source, target = self._predict_left_out(X_source, codes, X_target)
            solve = self._solve_em if self.method == "em" else self._solve_bbse
            self.target_priors_ = solve(source, codes, target)
        self.class_weights_ = self.target_priors_ / self.source_priors_
        return self.class_weights_[codes]

    def _estimate_beside(self, strays, X_source, X_target, y_source):
        labels = _validate_labels(y_source)
        classes, codes = np.unique(labels, return_inverse=True)
        if len(np.unique(codes[~strays])) < len(classes):  # a class of nothing but strays
            return self._estimate(X_source, X_target, y_source)
        self._estimate(X_source[~strays], X_target, labels[~strays])
        return self.class_weights_[codes]

    def _predict_left_out(self, X, codes, X_target):
        """Log-probabilities of source rows by models that left them out, and of the target."""
        n_classes = len(self.classes_)
        model = build_default_classifier() if self.estimator is None else self.estimator
        random_state = check_random_state(self.random_state)
        folds = draw_stratified_folds(codes, min(self.cv, len(X)), random_state)
        source = np.empty((len(X), n_classes))
        for fold in np.unique(folds):
            held = folds == fold
            seen = np.unique(codes[~held])
            if len(seen) == 1:
                source[held] = _build_certain(seen[0], n_classes)
            else:
                fitted = self._fit_classifier(model, X[~held], codes[~held])
                source[held] = predict_log_probabilities(fitted, X[held], n_classes)
        self.estimator_ = self._fit_classifier(model, X, codes)
        return source, predict_log_probabilities(self.estimator_, X_target, n_classes)

    def _fit_classifier(self, model, X, codes):
        fitted = clone(model)
        with self._find_task().open("fit-classifier", inner=fitted):
            return fitted.fit(X, codes)

    def _count_tasks(self):
        return self.cv + 1

    def _solve_em(self, source, codes, target):
        source, target = np.maximum(source, -_CERTAIN), np.maximum(target, -_CERTAIN)
        if self.calibrate:
            slope, shift = fit_calibration(source, codes)
            source, target = slope * source + shift, slope * target + shift
        self.confusion_ = _average_classes(np.exp(log_softmax(source, axis=1)), codes)
        # Information on the shares grows with this matrix as with the square of the other.
        least = self._compute_least_singular_value(codes) ** 2
        terms = log_softmax(target, axis=1) - np.log(self.source_priors_)
        weights = np.full(len(terms), 1 / len(terms))
        if self._is_confounded(least):
            # Rows that are known to belong to a class, in the source's shares.
            terms = np.concatenate([terms, compute_log(np.eye(len(self.classes_)))])
            weights = np.concatenate([weights, least * self.source_priors_]) / (1 + least)
        found = fit_mixture(terms, self.tol, self.max_iter, self.source_priors_, weights)
        if not found.gap <= self.tol:
            warnings.warn(
                f"LabelShiftWeights stopped after {found.n_iter} rounds at a gap of "
                f"{found.gap:.2g}, with tol={self.tol:.2g}. Raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=5,
            )
        return found.proportions

    def _solve_bbse(self, source, codes, target):
        identity = np.eye(len(self.classes_))
        self.confusion_ = _average_classes(identity[source.argmax(axis=1)], codes)
        least = self._compute_least_singular_value(codes)
        self._is_confounded(least)
        predicted = identity[target.argmax(axis=1)].mean(axis=0)
        return invert_confusion(self.confusion_, predicted, self.source_priors_, least)

    def _compute_least_singular_value(self, codes):
        """Singular value that rows of the smallest class can tell from 0, within bounds."""
        return float(np.clip(1 / np.sqrt(np.bincount(codes).min()), *_WEAK))

    def _is_confounded(self, least):
        """Whether classes are predicted too much alike, with a warning if so."""
        values = np.linalg.svd(self.confusion_, compute_uv=False)
        confounded = bool(values[-1] < least * values[0])
        if confounded:
            warnings.warn(
                "The classifier predicts some classes alike (least singular value of the "
                f"confusion matrix {values[-1]:.2g}), so their shares in the target cannot be "
                "told apart. Give another estimator or features, or merge the classes.",
                UserWarning,
                stacklevel=6,
            )
        return confounded


def estimate_priors(X, codes, X_target, n_groups=10):
    """Shares of classes 0, 1, ... in the target by "em", and their standard errors.

    The errors are those of the jackknife: calibration and shares are estimated again without
    each group of source rows. They are at least 1 / n_source, as no errors among few rows
    do not mean that there are none.
    """
    weighter = LabelShiftWeights(task="classification", random_state=0)
    counts = np.bincount(codes)
    weighter.classes_, weighter.source_priors_ = np.arange(len(counts)), counts / len(codes)
    source, target = weighter._predict_left_out(X, codes, X_target)
    priors = weighter._solve_em(source, codes, target)
    groups = draw_stratified_folds(codes, n_groups, check_random_state(1))
    without = [
        weighter._solve_em(source[groups != group], codes[groups != group], target)
        for group in np.unique(groups)
        if len(np.unique(codes[groups != group])) == len(counts)
    ]
    if len(without) < 2:
        return priors, np.ones(len(counts))
    errors = np.sqrt(len(without) - 1) * np.std(without, axis=0)
    return priors, np.maximum(errors, 1 / len(codes))


def _validate_labels(y):
    """Labels of the source, checked to be classes."""
    if y is None:
        raise ValueError(
            "LabelShiftWeights needs the labels of the source: requires y to be passed, but "
            "the target y is None. Call fit(X, y, X_target=X_target)."
        )
    y = column_or_1d(y)
    assert_all_finite(y, input_name="y")
    if y.dtype == object and all(isinstance(label, Number) for label in y):
        y = np.asarray(y.tolist())
    kind = type_of_target(y, input_name="y")
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"y is {kind}: LabelShiftWeights needs classes. Bin continuous values, or use "
            "KMM, which needs no labels."
        )
    return y


def _build_certain(code, n_classes):
    """Log-probabilities of a model that knows one class."""
    found = np.full(n_classes, np.log(1e-300))
    found[code] = 0
    return found


def _average_classes(rows, codes):
    """Mean row of each class, as columns."""
    return np.column_stack([rows[codes == code].mean(axis=0) for code in np.unique(codes)])


def invert_confusion(confusion, predicted, source_priors, least):
    """Shares of the classes in the target by black-box shift estimation [Lipton 2018].

    The least-squares solution q of `confusion` q = `predicted` that is nearest to the
    shares of the source, cut at 0 and scaled to sum 1. Singular values under `least` times
    the largest count as 0.
    """
    missing = predicted - confusion @ source_priors
    step = np.linalg.lstsq(confusion, missing, rcond=least)[0]
    found = np.maximum(source_priors + step, 0)
    return found / found.sum() if found.any() else source_priors


def fit_calibration(logs, codes):
    """Inverse temperature and shifts of classes at which labels are most likely.

    Probabilities are then softmax(slope * logs + shift). The slope and the shifts of the
    logarithms are bounded, as classes that are told apart without error have no optimum.
    """
    n, n_classes = logs.shape
    means = logs.mean(axis=0)
    logs = logs - means  # so that the slope and the shifts have little in common
    hits = np.eye(n_classes)[codes]

    def compute_loss(parameters):
        slope, shift = parameters[0], parameters[1:]
        log_p = log_softmax(slope * logs + shift, axis=1)
        error = np.exp(log_p) - hits
        gradient = np.concatenate([[np.sum(error * logs)], error.sum(axis=0)]) / n
        return -np.sum(hits * log_p) / n, gradient

    bounds = [_STEEP] + [(-_CERTAIN, _CERTAIN)] * n_classes
    start = np.concatenate([[1.0], means])
    found = minimize(
        compute_loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-9},
    ).x
    return found[0], found[1:] - found[0] * means
