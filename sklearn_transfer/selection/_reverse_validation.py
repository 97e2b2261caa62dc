"""Scorer of models by models that learn their predictions for the target."""

import numpy as np
from sklearn.base import is_regressor
from sklearn.metrics import get_scorer

from sklearn_transfer._validation import accepts_weights, shorten
from sklearn_transfer.selection._collapse import find_collapse
from sklearn_transfer.selection._label_free_base import (
    PENALTY,
    GuardedScorer,
    get_classes,
)
from sklearn_transfer.selection._target_fit import fit_reverse

_UNBOUNDED_PENALTY = 1e6  # where scores may be of any size


class ReverseValidationScorer(GuardedScorer):
    """Score on the source of a model that learned the predictions for the target.

    Use it to choose models for a target without labels, also regressors and classifiers
    without probabilities, where other scorers do not apply. A clone of the model is fitted
    on the target with the model's own predictions, adapted back to the source where it takes
    `X_target`, and scored on the held-out source samples: predictions that follow the
    classes in the target let it return to the source.

    Parameters
    ----------
    X_target : array-like of shape (n_target, n_features), or sequence of n_target samples
        Samples of the target, of the kind that is scored, or a `TargetDomain`. They are not
        copied: leave them as they are while the scorer is in use.
    representation : transformer, default=None
        Turns samples into the features from which shares of classes are estimated; a clone
        is fitted on the samples that are scored. None takes the samples themselves, which
        must then be a table of numbers. Regressors do not need it.
    scoring : str or callable, default=None
        Score of the reverse model. None is the accuracy of classifiers and R^2 of
        regressors. A callable takes `(estimator, X, y)`, and `sample_weight` if weights are
        given.

    See Also
    --------
    InfoMaxScorer : Needs no second fit; says how collapsed models are guarded against.
    ImportanceWeightedScorer : The score itself, weighted, where domains overlap.
    negative_transfer_test : Whether adaptation helps, from a few labels of the target.

    Notes
    -----
    The range is that of `scoring`: 0 to 1 for accuracy, and at most 1 for R^2. Where a
    classifier predicts one class the reverse model predicts it too, and its accuracy is the
    share of that class in the source, even if the target holds no other. A classifier that
    leaves out a class that the target is likely to hold gets 3 less, or a million less if
    `scoring` is given, by the rule of `InfoMaxScorer`; regressors are not guarded.

    Where predictions leave a class out, the reverse model gives it the probability 0, so that
    metrics of probabilities are defined. Each call costs one fit on the target. The reverse
    model may return to the source although the predictions are wrong: permuted classes that a
    second fit permutes back, or a model that ignores the target, such as one that learns both
    domains apart. Differences between models are small where the target is far away, since
    the reverse model then has to extrapolate.

    References
    ----------
    .. [1] Zhong, E., Fan, W., Yang, Q., Verscheure, O. and Ren, J. (2010). Cross validation
       framework to choose amongst models and datasets for transfer learning. ECML PKDD.
    .. [2] Ganin, Y., Ustinova, E., Ajakan, H., Germain, P., Larochelle, H., Laviolette, F.,
       Marchand, M. and Lempitsky, V. (2016). Domain-adversarial training of neural networks.
       JMLR 17.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn_transfer import ReverseValidationScorer
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(200, 3)), rng.normal(1, 1, size=(200, 3))
    >>> scorer = ReverseValidationScorer(X_target=X_target)
    >>> bool(cross_val_score(Ridge(), X, X @ [1, 2, 3], scoring=scorer).min() > 0.9)
    True
    """

    def __init__(self, *, X_target, representation=None, scoring=None):
        super().__init__(X_target=X_target, representation=representation)
        self.scoring = scoring

    def _compute_score(self, estimator, X, y, own):
        if is_regressor(estimator):
            return self._score_reverse(
                estimator, "r2", None, self._predict(estimator), X, y, own
            )
        classes = get_classes(self, estimator)
        shares = self._get_learned(X, y).shares
        labels = self._predict(estimator)
        score = self._score_reverse(estimator, "accuracy", classes, labels, X, y, own)
        predicted = np.mean(labels[:, None] == classes, axis=0)
        if find_collapse(predicted, classes, shares):
            score -= PENALTY if self.scoring is None else _UNBOUNDED_PENALTY
        return score

    def _predict(self, estimator):
        return np.asarray(estimator.predict(self._get_target()))

    def _score_reverse(self, estimator, scoring, classes, labels, X, y, own):
        scorer = get_scorer(scoring if self.scoring is None else self.scoring)
        options = {} if own is None else {"sample_weight": own}
        if own is not None and not accepts_weights(scorer):
            raise TypeError(
                f"scoring={shorten(self.scoring)} takes no sample_weight, and weights were "
                "given: give another metric, or no weights"
            )
        reverse = fit_reverse(
            estimator, self._get_target(), labels, X_target=X, classes=classes
        )
        return float(scorer(reverse, X, y, **options))
