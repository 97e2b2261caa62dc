"""Classification by class means, from one sample per class, with new classes at any time."""

from numbers import Real

import numpy as np
from scipy.sparse import csr_array
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._sample_weight import validate_sample_weight
from sklearn_transfer._validation import (
    as_target,
    check_array,
    check_class_labels,
    column_or_1d,
    forget_fit,
    validate_data,
)
from sklearn_transfer.heads._rows import normalize_rows
from sklearn_transfer.heads._temperature import EXPECTED, compute_mean_distance, find_likeliest

_LEFT_OUT = 1000  # rows at most that choose the temperature


class PrototypeClassifier(
    ClassifierMixin, TakesCallbacks, LinksToDocumentation, BaseEstimator
):
    """Nearest class mean on centered features of length one, for few samples per class.

    With one to ten samples per class this is as accurate on pretrained features as a
    logistic regression and has nothing to tune. Classes can be added at any time with
    `partial_fit`, at the cost of a mean. With many samples per class, or classes that are not
    one cluster, a `LogisticRegression` learns more.

    Parameters
    ----------
    metric : {"euclidean", "cosine"}, default="euclidean"
        Distance of a row to a prototype. "cosine" scales both to length one, so that a class
        whose samples scatter is not penalized for its short mean. With one sample per class
        and `normalize=True` both are the same.

    normalize : bool, default=True
        Scale each row to length one after centering, before means are taken.

    center : "mean", None or array-like of shape (n_features,), default="mean"
        Vector that is subtracted from all rows before they are scaled. "mean" is the mean of
        the rows in `fit`, or in the first call of `partial_fit`, and 0 where these are of
        one class; later calls keep it. Give the mean of a larger set, labeled or not, where
        there is one. None subtracts nothing.

    shrinkage : float, default=0
        Number of samples that each class gets in addition, all at the mean of the training
        rows: the prototype of n samples moves toward it by the fraction shrinkage / (n +
        shrinkage). It helps when means are noisy and numbers of samples unequal. It is not
        the `shrink_threshold` of scikit-learn's NearestCentroid, which needs several samples
        per class.

    temperature : float or "auto", default="auto"
        Probabilities are softmax(-d / temperature) of the squared distances d. It does not
        change `predict`. 1 on features that are not normalized is that of prototypical
        networks. "auto" maximizes the likelihood of training rows that are left out; see
        Notes.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        All labels seen or announced, sorted.

    prototypes_ : ndarray of shape (n_classes, n_features)
        Mean of each class, after centering, scaling and shrinkage, and of length one where
        `metric="cosine"`. NaN for a class that has no sample yet.

    class_count_ : ndarray of shape (n_classes,)
        Sum of the sample weights of each class.

    center_ : ndarray of shape (n_features,)
        Vector that is subtracted from each row.

    temperature_ : float
        Temperature of `predict_proba`.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, where all are strings.

    See Also
    --------
    episodes : Accuracy from few samples per class, with its confidence interval.
    PretrainedFeatures : Features of images.
    sklearn.neighbors.NearestCentroid : The same with `center=None` and `normalize=False`.

    Notes
    -----
    Prediction is one matrix product in the precision of X; float32 stays float32. A row with a
    sample weight of 2 counts as two rows, one of weight 0 not at all. A class without any
    weight is never predicted and has probability 0. A single class is always predicted.

    `partial_fit` keeps sums, not rows. Called several times it gives the prototypes of one
    `fit` to all rows, except that `center="mean"` is the mean of its first call, which
    matters where `normalize=True` or `metric="cosine"`: begin with rows of several classes,
    or give the center. With "auto", each call fits the temperature to its rows, starting
    from the previous value.

    "auto" compares each of up to 1000 evenly spaced rows with the prototypes, its own
    without this row, and maximizes the likelihood of the labels, with a log-normal prior: a
    tenth of the mean squared distance between prototypes, give or take a factor of e. Where
    no class has two samples it is that tenth.

    References
    ----------
    Snell, J., Swersky, K. and Zemel, R. (2017). Prototypical networks for few-shot learning.
    NeurIPS 30.

    Wang, Y., Chao, W.-L., Weinberger, K. and van der Maaten, L. (2019). SimpleShot: revisiting
    nearest-neighbor classification for few-shot learning. arXiv:1911.04623.

    Examples
    --------
    >>> from sklearn_transfer import PrototypeClassifier
    >>> head = PrototypeClassifier().fit([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
    >>> head.predict([[3.0, 1.0]])
    array(['cat'], dtype='<U3')
    >>> head.partial_fit([[-1.0, -1.0]], ["owl"]).predict([[3.0, 1.0], [-2.0, -1.0]])
    array(['cat', 'owl'], dtype='<U3')
    """

    _parameter_constraints: dict = {
        "metric": [StrOptions({"euclidean", "cosine"})],
        "normalize": ["boolean"],
        "center": [StrOptions({"mean"}), None, "array-like"],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        *,
        metric="euclidean",
        normalize=True,
        center="mean",
        shrinkage=0.0,
        temperature="auto",
    ):
        self.metric = metric
        self.normalize = normalize
        self.center = center
        self.shrinkage = shrinkage
        self.temperature = temperature

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Learn the prototypes of all classes, and forget those of earlier calls.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples, one or more per class.
        y : array-like of shape (n_samples,)
            Labels of any kind.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative; the number of samples that a row stands for. None is 1 each.

        Returns
        -------
        self : object
            With one row per class in `prototypes_`.
        """
        forget_fit(self)
        return self._learn(X, y, None, sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Add samples, of classes seen before or new ones.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples, one or more.
        y : array-like of shape (n_samples,)
            Their labels; in any call some may be new.
        classes : array-like of shape (n_classes,), default=None
            Labels to expect, which fixes the columns of `predict_proba` from the first call
            on. Not needed, and not a limit.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative; the number of samples that a row stands for. None is 1 each.

        Returns
        -------
        self : object
            With the prototypes of all classes so far.
        """
        return self._learn(X, y, classes, sample_weight)

    def _learn(self, X, y, classes, sample_weight):
        first = not hasattr(self, "classes_")
        y = as_target(y)
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], reset=first)
        check_class_labels(y)
        weights = validate_sample_weight(sample_weight, X)
        labels = self._merge_labels(y, classes)
        if first:
            self.center_ = self._choose_center(X, y, weights)
            self._share = EXPECTED  # of the distance between prototypes: the temperature
        rows = self._embed(X.astype(np.float64), self.center_)
        self._grow_sums(labels)
        codes = np.searchsorted(labels, y)
        self._add_rows(rows, codes, weights)
        self._place_prototypes()
        self.temperature_ = self._choose_temperature(rows, codes, weights)
        return self

    def _merge_labels(self, y, classes):
        """Sorted labels of earlier calls, of y and of `classes`."""
        known = [y] if classes is None else [y, column_or_1d(classes)]
        if hasattr(self, "classes_"):
            known.append(self.classes_)
        unique_labels(*known)  # refuses a mixture of numbers and strings
        return np.unique(np.concatenate(known))

    def _choose_center(self, X, y, weights):
        if self.center is None:
            return np.zeros(X.shape[1])
        if not isinstance(self.center, str):
            return _validate_center(self.center, X.shape[1])
        y, X, weights = y[weights > 0], X[weights > 0], weights[weights > 0]
        if len(np.unique(y)) == 1:  # whose mean would tell it from nothing
            return np.zeros(X.shape[1])
        return np.average(X, axis=0, weights=weights).astype(np.float64)

    def _embed(self, X, center):
        """Rows centered and scaled, in the precision of X; a row at the center stays 0."""
        rows = X - center.astype(X.dtype)
        return normalize_rows(rows, center) if self.normalize else rows

    def _grow_sums(self, labels):
        """Sums and counts of earlier calls among those of new labels."""
        sums, counts = np.zeros((len(labels), self.n_features_in_)), np.zeros(len(labels))
        if hasattr(self, "classes_"):
            places = np.searchsorted(labels, self.classes_)
            sums[places], counts[places] = self._sums, self.class_count_
        self._sums, self.class_count_, self.classes_ = sums, counts, labels

    def _add_rows(self, rows, codes, weights):
        shape = len(self.classes_), len(rows)
        members = csr_array((weights, (codes, np.arange(len(rows)))), shape=shape)
        self._sums += members @ rows
        self.class_count_ += members.sum(axis=1)

    def _place_prototypes(self):
        """Prototypes from sums and counts, and the form in which they are multiplied."""
        self._seen = np.flatnonzero(self.class_count_ > 0)
        means = self._shrink(self._sums[self._seen], self.class_count_[self._seen])
        means = self._direct(means)
        self.prototypes_ = np.full(self._sums.shape, np.nan)
        self.prototypes_[self._seen] = means
        # Squared distances lose digits where rows lie far from the origin.
        self._shift = means.mean(axis=0)
        self._placed = means - self._shift

    def _keeps_lengths(self):
        return not self.normalize and self.metric == "euclidean"

    def _shrink(self, sums, counts):
        """Means of classes with `shrinkage` samples more, at the mean of all rows."""
        total = self._sums.sum(axis=0) / self.class_count_.sum()
        return (sums + self.shrinkage * total) / (counts + self.shrinkage)[:, None]

    def _direct(self, rows):
        """Rows in the form that the metric compares, in place."""
        return normalize_rows(rows) if self.metric == "cosine" else rows

    def _choose_temperature(self, rows, codes, weights):
        if self.temperature != "auto":
            return float(self.temperature)
        origin = self.center_ + self._shift if self._keeps_lengths() else self._shift
        scale = compute_mean_distance(self._placed, origin)
        distances, own, kept_weights = self._leave_out(rows, codes, weights)
        temperature = find_likeliest(
            distances, own, weights=kept_weights, expected=self._share * scale
        )
        self._share = temperature / scale
        return temperature

    def _leave_out(self, rows, codes, weights):
        """Distances of rows to prototypes, of which their own lacks them; classes; weights."""
        used = np.flatnonzero(weights > 0)
        if len(used) > _LEFT_OUT:
            used = used[np.linspace(0, len(used) - 1, _LEFT_OUT).round().astype(int)]
        # A row of weight 2 is two rows, one of which is left out.
        left = self.class_count_[codes[used]] - np.minimum(weights[used], 1)
        kept = left > 1e-9 * self.class_count_[codes[used]]  # else rounding
        used, left = used[kept], left[kept]
        rows, codes, weights = rows[used], codes[used], weights[used]
        sums = self._sums[codes] - np.minimum(weights, 1)[:, None] * rows
        prototypes = self._direct(self._shrink(sums, left)) - self._shift
        rows, own = self._direct(rows) - self._shift, np.searchsorted(self._seen, codes)
        distances = self._compute_distances(rows)
        distances[np.arange(len(own)), own] = ((rows - prototypes) ** 2).sum(axis=1)
        return distances, own, weights

    def _validate_rows(self, X):
        """Validated rows in the form in which they are multiplied."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        if self._keeps_lengths():
            X = _widen(X, self._placed)
            return self._embed(X, self.center_ + self._shift)
        rows = self._direct(self._embed(X, self.center_))
        rows -= self._shift.astype(rows.dtype)
        return rows

    def _compute_affinities(self, rows):
        """Half of what squared distances lack to the length of the row: one product."""
        placed = self._placed.astype(rows.dtype)
        products = rows @ placed.T
        products -= (0.5 * (self._placed**2).sum(axis=1)).astype(rows.dtype)
        return products

    def _compute_distances(self, rows):
        """Squared distances of rows to the prototypes of classes that have samples."""
        distances = self._compute_affinities(rows)
        distances *= -2
        distances += np.einsum("ij,ij->i", rows, rows)[:, None]
        return np.maximum(distances, 0, out=distances)

    def predict(self, X):
        """Class with the nearest prototype.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels; of equally near ones the first in `classes_`.
        """
        nearest = self._compute_affinities(self._validate_rows(X)).argmax(axis=1)
        return self.classes_[self._seen[nearest]]

    def decision_function(self, X):
        """Negative squared distances over the temperature.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Logits of `predict_proba`, -inf for a class without samples; of two classes the
            second's minus the first's.
        """
        scores = self._compute_logits(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X):
        """Probabilities of the classes, which sum to 1.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Softmax of the negative squared distances over the temperature.
        """
        return softmax(self._compute_logits(X), axis=1)

    def predict_log_proba(self, X):
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Logarithms of `predict_proba`, finite where probabilities vanish; -inf for a
            class without samples alone.
        """
        return log_softmax(self._compute_logits(X), axis=1)

    def _compute_logits(self, X):
        distances = self._compute_distances(self._validate_rows(X))
        distances /= -self.temperature_
        if len(self._seen) == len(self.classes_):
            return distances
        scores = np.full((len(distances), len(self.classes_)), -np.inf, distances.dtype)
        scores[:, self._seen] = distances
        return scores


def _widen(X, prototypes):
    """X, in double precision where squares of single precision overflow or vanish."""
    if X.dtype == np.float64:
        return X
    largest = max(np.abs(X).max(), np.abs(prototypes).max())
    return X if 1e-15 < largest < 1e15 else X.astype(np.float64)


def _validate_center(center, n_features):
    center = check_array(center, ensure_2d=False, dtype=np.float64, input_name="center")
    if center.shape != (n_features,):
        raise ValueError(
            f"center has shape {center.shape} and X has {n_features} features: give one "
            "number per feature, for example X_unlabeled.mean(axis=0)"
        )
    return center
