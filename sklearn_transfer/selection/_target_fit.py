"""Fits of any estimator with target samples, where it or one of its steps takes them."""

import warnings
from inspect import signature

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_regressor
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples

from sklearn_transfer._validation import TargetDomain

# Of the warning of estimators that adapt and are fitted without a target.
NO_TARGET = ".*no target samples, so nothing"


def takes_target(estimator):
    """Whether the target can be given to the `fit` of an estimator, or of a step of it."""
    return _takes_target_in_fit(estimator) or bool(_list_steps(estimator))


def _takes_target_in_fit(estimator):
    parameters = signature(estimator.fit).parameters
    if "X_target" in parameters:
        return True
    inner = getattr(estimator, "estimator", None)  # of a search, which hands on what it gets
    open_ended = any(p.kind == p.VAR_KEYWORD for p in parameters.values())
    return open_ended and hasattr(inner, "fit") and _takes_target_in_fit(inner)


def _list_steps(estimator):
    """Steps of a Pipeline that take the target, also those of Pipelines in it."""
    if not isinstance(estimator, Pipeline):
        return []
    steps = [step for _, step in estimator.steps if hasattr(step, "fit")]
    inner = [found for step in steps for found in _list_steps(step)]
    return inner + [
        step for step in steps if not isinstance(step, Pipeline) and _takes_target_in_fit(step)
    ]


def _list_pipelines(estimator):
    """The Pipeline and those in it that have a step which takes the target."""
    if not _list_steps(estimator):
        return []
    inner = [found for _, step in estimator.steps for found in _list_pipelines(step)]
    return [estimator, *inner]


def fit_alone(estimator, X, y):
    """The estimator, fitted without a target on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=NO_TARGET)
        return estimator.fit(X, y)


def fit_for_target(estimator, X, y, *, X_target):
    """The estimator, fitted with the target if there is one and the estimator takes it."""
    if X_target is None or not takes_target(estimator):
        return estimator.fit(X, y)
    if isinstance(X_target, TargetDomain):
        X_target = X_target.X
    steps = _list_steps(estimator)
    if not steps:
        return estimator.fit(X, y, X_target=TargetDomain(X_target))
    # Only routing sends the target through the steps before the one that takes it.
    with config_context(enable_metadata_routing=True):
        for pipeline in _list_pipelines(estimator):
            pipeline.set_params(transform_input=["X_target"])
        for step in steps:
            step.set_fit_request(X_target=True)
        return estimator.fit(X, y, X_target=X_target)


class AllClasses(ClassifierMixin, BaseEstimator):
    """A fitted classifier that gives classes it was not fitted on the probability 0.

    Metrics of probabilities need a column for each class that they are scored on.
    """

    def __init__(self, fitted, classes):
        self.fitted = fitted
        self.classes = classes

    @property
    def classes_(self):
        """All classes, sorted."""
        return self.classes

    def predict(self, X):
        """Predictions of the classifier."""
        return self.fitted.predict(X)

    @available_if(lambda self: hasattr(self.fitted, "predict_proba"))
    def predict_proba(self, X):
        """Probabilities of all classes."""
        found = np.zeros((_num_samples(X), len(self.classes)))
        places = np.searchsorted(self.classes, self.fitted.classes_)
        found[:, places] = self.fitted.predict_proba(X)
        return found


def fit_reverse(estimator, X, labels, *, X_target, classes=None):
    """Clone of an estimator, fitted on predictions for X; of one class, a constant.

    `X_target` holds samples of the domain that the predictions came from. `classes` are those
    that a classifier has in any case, also where the predictions leave some of them out.
    """
    if is_regressor(estimator):
        return fit_for_target(clone(estimator), X, labels, X_target=X_target)
    found = np.unique(labels)
    if len(found) < 2:
        fitted = DummyClassifier().fit(np.zeros((len(labels), 1)), labels)
    else:
        fitted = fit_for_target(clone(estimator), X, labels, X_target=X_target)
    is_complete = classes is None or len(found) == len(classes)
    return fitted if is_complete else AllClasses(fitted, classes)


def predict_source_probabilities(model, X):
    """Probabilities of the classes for source samples, which aligners map as such."""
    while isinstance(model, Pipeline):
        for _, step in model.steps[:-1]:
            if step in (None, "passthrough"):
                continue
            aligns = "sample_domain" in signature(step.transform).parameters
            options = {"sample_domain": np.zeros(_num_samples(X))} if aligns else {}
            X = step.transform(X, **options)
        model = model.steps[-1][1]
    return np.asarray(model.predict_proba(X), dtype=np.float64)
