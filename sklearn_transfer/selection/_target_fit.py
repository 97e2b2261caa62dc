"""Fits of any estimator with target samples, where it or one of its steps takes them."""

import warnings
from inspect import signature

import numpy as np
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples

from sklearn_transfer._validation import TargetDomain


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
    if not isinstance(estimator, Pipeline):
        return []
    return [s for _, s in estimator.steps if hasattr(s, "fit") and _takes_target_in_fit(s)]


def fit_alone(estimator, X, y):
    """The estimator, fitted without a target on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no target samples, so nothing")
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
        estimator.set_params(transform_input=["X_target"])
        for step in steps:
            step.set_fit_request(X_target=True)
        return estimator.fit(X, y, X_target=X_target)


def fit_reverse(estimator, X, labels, *, X_target):
    """Clone of an estimator, fitted on predictions for X; of one class, a constant.

    `X_target` holds samples of the domain that the predictions came from.
    """
    if not is_regressor(estimator) and len(np.unique(labels)) < 2:
        return DummyClassifier().fit(np.zeros((len(labels), 1)), labels)
    return fit_for_target(clone(estimator), X, labels, X_target=X_target)


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
