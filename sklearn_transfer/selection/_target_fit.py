"""Fits of any estimator with target samples, where it or one of its steps takes them."""

import warnings
from inspect import signature

from sklearn import config_context
from sklearn.pipeline import Pipeline

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
