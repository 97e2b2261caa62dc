"""Classification into classes without samples, by their attributes."""

from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._validation import (
    as_target,
    check_class_labels,
    column_or_1d,
    forget_fit,
    format_list,
    shorten,
    validate_data,
)
from sklearn_transfer.heads._attributes import (
    Describer,
    match_descriptions,
    read_descriptions,
    require_attributes,
    warn_of_no_attributes,
)
from sklearn_transfer.heads._bilinear import RegularizationPath, solve_compatibility
from sklearn_transfer.heads._class_folds import (
    build_class_folds,
    choose_penalties,
    encode_signs,
    find_seen_class_margin,
)
from sklearn_transfer.heads._rows import normalize_rows
from sklearn_transfer.heads._temperature import EXPECTED, find_likeliest

_LEFT_OUT = 1000  # rows at most that choose the temperature
_DUAL = 0.01  # temperature that dual encoders are trained to


class GeneralizedScore(NamedTuple):
    """Accuracies of `ZeroShotClassifier.generalized_score` on seen and unseen classes."""

    seen: float
    unseen: float
    harmonic_mean: float

    def __str__(self):
        return (
            f"accuracy {self.seen:.3f} on seen and {self.unseen:.3f} on unseen classes, "
            f"harmonic mean {self.harmonic_mean:.3f}"
        )


class ZeroShotClassifier(ClassifierMixin, TakesCallbacks, LinksToDocumentation, BaseEstimator):
    """Classifier that also predicts classes it has no samples of, by their attributes.

    Each class is described by a vector: attributes that people wrote down, or an embedding
    of its name. The classifier learns from classes that have samples, and then recognizes
    others by their description alone. If every class has samples, other classifiers are
    better.

    Parameters
    ----------
    method : {"eszsl", "cosine"}, default="eszsl"
        "eszsl" learns how features and attributes are related, in closed form. "cosine" is
        for features and attributes in one space, with the same columns, and the score is the
        cosine between them: those of an encoder of images and texts, of `ConSE`, or of texts
        and descriptions of classes, both embedded by `PretrainedTextFeatures`. It needs no
        labels.
    gamma : float or "auto", default="auto"
        Penalty on the side of the features, above 0. "auto" chooses among five values from
        0.001 to 10 times the mean eigenvalue of X'X; see Notes. Not used by "cosine".
    alpha : float or "auto", default="auto"
        Penalty on the side of the attributes, above 0. "auto" is as for `gamma`.
    normalize : bool, default=True
        Center features on their mean over the training rows and attributes on theirs over
        the seen classes, and scale both to length one. "cosine" scales in any case, and
        never centers.
    predict_over : {"all", "seen", "unseen"}, default="all"
        Which of the described classes are predicted: `classes_`.
    calibration : float or "auto", default=0.0
        Amount subtracted from the scores of seen classes, at least 0, when they compete with
        unseen ones, which are rarely predicted without it. "auto" holds classes out and
        takes the best harmonic mean of both accuracies; it is 0 for "cosine".
    temperature : float or "auto", default="auto"
        Probabilities are softmax(scores / temperature). It does not change `predict`. "auto"
        maximizes the likelihood of the training rows, each left out in turn for "eszsl"; it
        is 0.01 for "cosine" without labels, about that of dual encoders: exp(-logit_scale);
        0.1 is about right for `ConSE`.
    describer : estimator or None, default=None
        Turns texts that describe classes into vectors by `transform`, such as
        `PretrainedTextFeatures()`; for "cosine" into the space of X. A clone is fitted on the
        texts given to `fit`; one that is fitted already is passed in
        `sklearn.frozen.FrozenEstimator`. Vectors of texts are scaled to length one, and those
        of one class averaged. None: attributes are vectors.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels that are predicted, sorted.
    seen_classes_ : ndarray of shape (n_seen,)
        Labels in y, sorted.
    unseen_classes_ : ndarray of shape (n_unseen,)
        Described labels that are not in y, sorted.
    coef_ : ndarray of shape (n_features, n_attributes)
        V in Notes; "eszsl" alone.
    gamma_, alpha_ : float
        Penalties that were used; "eszsl" alone.
    calibration_, temperature_ : float
        As used.
    describer_ : estimator
        Fitted clone of `describer`; only if `fit` was given texts.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, where all are strings.

    See Also
    --------
    PrototypeClassifier : For classes of at least one sample.
    PretrainedFeatures : Features of images.
    PretrainedTextFeatures : Features of texts, and of descriptions of their classes.
    ConSE : Features of images in the space of texts.

    Notes
    -----
    With features X, Y of 1 for the class of a row and -1 for the other seen classes, and
    attributes S of the seen classes, the score of a row x for a class s is x'Vs, where V
    minimizes::

        |X V S' - Y|^2 + gamma |V S'|^2 + alpha |X V|^2 + gamma alpha |V|^2

    so V = (X'X + gamma I)^-1 X'Y S (S'S + alpha I)^-1 [1]_, solved by the smaller of X'X and
    XX', and of S'S and SS'.

    "auto" holds out seen classes: each pair of up to nine classes, of more classes five
    groups, drawn in two ways. It takes the penalties with which those held out are best told
    apart. With fewer than four seen classes, or without attributes, `gamma` has the least
    squared error on rows left out. Centers are those of all rows. Names of classes and
    scales of features change nothing. It costs one eigenvalue decomposition of X'X or XX',
    the smaller one, for each group.

    Without attributes each class is its own attribute: a ridge classifier of the seen
    classes, which a UserWarning says. In a Pipeline or search attributes travel as `fit(X,
    y, clf__attributes=attributes)`. A search slices arguments that are as long as X, so the
    number of described classes must differ from the number of samples.

    References
    ----------
    .. [1] Romera-Paredes, B. and Torr, P. (2015). An embarrassingly simple approach to
       zero-shot learning. ICML.
    .. [2] Chao, W.-L., Changpinyo, S., Gong, B. and Sha, F. (2016). An empirical study and
       analysis of generalized zero-shot learning for object recognition. ECCV.
    .. [3] Xian, Y., Schiele, B. and Akata, Z. (2017). Zero-shot learning: the good, the bad
       and the ugly. CVPR.

    Examples
    --------
    >>> from sklearn_transfer import ZeroShotClassifier
    >>> X = [[1, 0], [0.9, 0.1], [0, 1], [0.1, 1.1]]  # red, green
    >>> y = ["apple", "apple", "lime", "lime"]
    >>> colors = {"apple": [1, 0], "lime": [0, 1], "olive": [0.2, 0.8]}
    >>> model = ZeroShotClassifier(predict_over="unseen").fit(X, y, attributes=colors)
    >>> model.predict([[0.3, 0.7]])
    array(['olive'], dtype='<U5')
    >>> model.predict([[0.8, 0.3]], attributes={"cherry": [0.9, 0.1], "kiwi": [0.3, 0.9]})
    array(['cherry'], dtype='<U6')
    """

    _parameter_constraints: dict = {
        "method": [StrOptions({"eszsl", "cosine"})],
        "gamma": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "alpha": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "normalize": ["boolean"],
        "predict_over": [StrOptions({"all", "seen", "unseen"})],
        "calibration": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "temperature": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "describer": [HasMethods(["fit", "transform"]), None],
    }

    def __init__(
        self,
        method="eszsl",
        *,
        gamma="auto",
        alpha="auto",
        normalize=True,
        predict_over="all",
        calibration=0.0,
        temperature="auto",
        describer=None,
    ):
        self.method = method
        self.gamma = gamma
        self.alpha = alpha
        self.normalize = normalize
        self.predict_over = predict_over
        self.calibration = calibration
        self.temperature = temperature
        self.describer = describer

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, attributes=None):
        """Learn from seen classes how features and attributes are related.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.
        y : array-like of shape (n_samples,)
            Labels of any kind. With `method="cosine"` None is allowed: then no class counts
            as seen.
        attributes : mapping, (vectors, labels), DataFrame or list of str, default=None
            Vector of each class in y, and of others without samples that are to be
            predicted: a mapping from label to vector, an array (n_described, n_attributes)
            with its labels, or a DataFrame whose index holds the labels. With a `describer`
            each vector may be a text, or a list of texts, instead; a list of names describes
            each label by itself. None is one attribute per class, with a UserWarning.

        Returns
        -------
        self : object
            Fitted.
        """
        forget_fit(self)
        if self.method == "cosine":
            require_attributes(attributes)
        described = None if attributes is None else self._read(attributes, reset=True)
        X, seen, codes = self._validate(X, y, described)
        self._describe_classes(seen, described)
        self._center = self._choose_center(X)
        rows = self._embed(X.astype(np.float64))
        if self.method == "eszsl":
            self._learn(rows, codes, known=attributes is not None)
        else:
            self._compare(rows, codes)
        return self

    def _read(self, attributes, reset=False):
        """Labels, sorted, and their vectors; `reset` keeps the describer of texts."""
        is_fitted = hasattr(self, "describer_")
        describer = Describer(self.describer_ if is_fitted else self.describer, is_fitted)
        described = read_descriptions(attributes, describer)
        if reset and describer.is_fitted:
            self.describer_ = describer.estimator
        return described

    def _validate(self, X, y, described):
        """Validated X, the classes of y, and the number of that of each row."""
        options = {"dtype": [np.float64, np.float32], "reset": True}
        if self.method == "cosine" and y is None:
            X = validate_data(self, X, **options)
            return X, described[0][:0], np.empty(0, dtype=int)
        X, y = validate_data(self, X, as_target(y), **options)
        check_class_labels(y)
        return X, *np.unique(y, return_inverse=True)

    def _describe_classes(self, seen, described):
        """Classes, their attributes, and which of them are predicted."""
        if described is None:
            warn_of_no_attributes()
            described = seen, np.eye(len(seen))
        labels, vectors, is_seen = match_descriptions(seen, *described)
        if self.method == "cosine":
            self._check_width(vectors, self.n_features_in_, "X")
        self.seen_classes_, self.unseen_classes_ = labels[is_seen], labels[~is_seen]
        self._origin = self._choose_origin(vectors[is_seen])
        self._n_attributes = vectors.shape[1]
        chosen = {"all": is_seen | True, "seen": is_seen, "unseen": ~is_seen}
        self._all = labels, self._place(vectors), is_seen
        self._chosen = tuple(part[chosen[self.predict_over]] for part in self._all)
        self.classes_ = self._chosen[0]
        if not len(self.classes_):
            raise ValueError(
                f"predict_over={shorten(self.predict_over)}, and attributes describes no "
                f"{self.predict_over} class: describe one, or predict over others"
            )

    def _choose_origin(self, vectors):
        """What is subtracted from attributes."""
        centered = self.normalize and self.method == "eszsl"
        return vectors.mean(axis=0) if centered else np.zeros(vectors.shape[1])

    def _choose_center(self, X):
        centered = self.normalize and self.method == "eszsl"
        return X.mean(axis=0, dtype=np.float64) if centered else np.zeros(X.shape[1])

    def _normalizes(self):
        return self.normalize or self.method == "cosine"

    def _place(self, vectors):
        """Attributes in the form in which they are compared."""
        vectors = vectors - self._origin
        return normalize_rows(vectors, self._origin) if self._normalizes() else vectors

    def _embed(self, X):
        """Features in the form in which they are compared, in the precision of X."""
        rows = X - self._center.astype(X.dtype)
        return normalize_rows(rows, self._center) if self._normalizes() else rows

    def _learn(self, rows, codes, known):
        """V, its penalties, and what calibrates its scores."""
        _, S, is_seen = self._all
        S = S[is_seen]
        folds = build_class_folds(S) if known else []
        self.gamma_, self.alpha_ = choose_penalties(
            rows, codes, S, self.gamma, self.alpha, folds
        )
        Y = encode_signs(codes, len(S))
        self.coef_ = solve_compatibility(rows, Y, S, self.gamma_, self.alpha_)
        if self.calibration != "auto":
            self.calibration_ = float(self.calibration)
        elif is_seen.all():
            self.calibration_ = 0.0
        else:
            self.calibration_ = find_seen_class_margin(
                rows, codes, S, gamma=self.gamma_, alpha=self.alpha_, folds=folds
            )
        self.temperature_ = self._choose_temperature(
            lambda: RegularizationPath(rows, Y, S).score_left_out(self.gamma_, self.alpha_),
            codes,
        )

    def _compare(self, rows, codes):
        _, S, is_seen = self._all
        self.calibration_ = 0.0 if self.calibration == "auto" else float(self.calibration)
        self.temperature_ = self._choose_temperature(lambda: rows @ S[is_seen].T, codes)

    def _choose_temperature(self, make_scores, codes):
        if self.temperature != "auto":
            return float(self.temperature)
        if not len(codes):
            return _DUAL
        scores = make_scores()
        expected = EXPECTED * float(np.ptp(scores, axis=1).mean()) or 1.0
        if self.method == "cosine":
            expected = _DUAL
        n_used = min(len(scores), _LEFT_OUT)
        used = np.linspace(0, len(scores) - 1, n_used).round().astype(int)
        return find_likeliest(-scores[used], codes[used], np.ones(n_used), expected)

    def _resolve_candidates(self, attributes):
        """Labels to choose from, what describes them, and which of them were seen."""
        if attributes is None:
            return self._chosen
        labels, vectors = self._read(attributes)
        self._check_width(vectors, self._n_attributes, "those in fit")
        return labels, self._place(vectors), np.isin(labels, self.seen_classes_)

    def _check_width(self, vectors, expected, what):
        if vectors.shape[1] != expected:
            raise ValueError(
                f"attributes has vectors of length {vectors.shape[1]}, and {what} "
                f"{'has' if what == 'X' else 'have'} {expected}: both must be the same"
            )

    def _compute_scores(self, X, candidates):
        """Scores of each row for each candidate, those of seen ones lowered."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        rows = self._embed(X)
        _, vectors, is_seen = candidates
        directions = self.coef_ @ vectors.T if self.method == "eszsl" else vectors.T
        scores = rows @ directions.astype(X.dtype)
        if not is_seen.all():
            scores[:, is_seen] -= np.asarray(self.calibration_, dtype=X.dtype)
        return scores

    def predict(self, X, attributes=None):
        """Class with the highest score.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        attributes : mapping, (vectors, labels), DataFrame or list of str, default=None
            Classes to choose from, in the form of `fit`; they need not have been in `fit`.
            None is `classes_`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels; of equal scores the first in sorted order.
        """
        check_is_fitted(self)
        candidates = self._resolve_candidates(attributes)
        return candidates[0][self._compute_scores(X, candidates).argmax(axis=1)]

    def decision_function(self, X, attributes=None):
        """Scores less the calibration, over the temperature.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        attributes : mapping, (vectors, labels), DataFrame or list of str, default=None
            Classes to choose from, as in `predict`.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Logits of `predict_proba`, a column for each class in sorted order; of two
            classes the second's minus the first's.
        """
        scores = self._compute_logits(X, attributes)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X, attributes=None):
        """Probabilities of the classes, which sum to 1.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        attributes : mapping, (vectors, labels), DataFrame or list of str, default=None
            Classes to choose from, as in `predict`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Softmax of the scores over the temperature, a column for each class in sorted
            order.
        """
        return softmax(self._compute_logits(X, attributes), axis=1)

    def predict_log_proba(self, X, attributes=None):
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        attributes : mapping, (vectors, labels), DataFrame or list of str, default=None
            Classes to choose from, as in `predict`.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Logarithms of `predict_proba`, finite where probabilities vanish.
        """
        return log_softmax(self._compute_logits(X, attributes), axis=1)

    def _compute_logits(self, X, attributes):
        check_is_fitted(self)
        scores = self._compute_scores(X, self._resolve_candidates(attributes))
        scores /= self.temperature_
        return scores

    def generalized_score(self, X, y):
        """Accuracies where all classes of `fit` compete, seen and unseen ones apart.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples that `fit` has not seen, some of seen classes and some of unseen ones.
        y : array-like of shape (n_samples,)
            Their labels, all described in `fit`.

        Returns
        -------
        score : GeneralizedScore
            A named tuple of `seen` and `unseen`, the accuracies on either kind averaged over
            classes, and their `harmonic_mean`. Its text is one line.
        """
        check_is_fitted(self)
        labels, _, is_seen = self._all
        y = column_or_1d(y)
        unknown = np.setdiff1d(y, labels)
        if len(unknown):
            raise ValueError(
                f"y holds {format_list(unknown, 5)}, which attributes did not describe in"
                " fit: describe these classes there, or leave their samples out"
            )
        right = labels[self._compute_scores(X, self._all).argmax(axis=1)] == y
        accuracies = {k: right[y == k].mean() for k in np.unique(y)}
        means = []
        for kind, known in [("seen", labels[is_seen]), ("unseen", labels[~is_seen])]:
            found = [accuracies[k] for k in known if k in accuracies]
            if not found:
                raise ValueError(f"y holds no {kind} class: give samples of both kinds")
            means.append(float(np.mean(found)))
        total = sum(means)
        return GeneralizedScore(*means, 2 * means[0] * means[1] / total if total else 0.0)
