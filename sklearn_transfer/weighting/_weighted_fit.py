"""Fit any estimator with sample weights, through Pipelines and other meta-estimators.

Weights go to what predicts: the last step of a Pipeline and the estimators inside a search,
a stack, an ensemble or a calibration. Other steps get them only where their request says so.
"""

from copy import deepcopy
from inspect import signature

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import get_scorer
from sklearn.pipeline import Pipeline
from sklearn.utils._metadata_requests import SIMPLE_METHODS
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object

from sklearn_transfer._callbacks import NO_TASK
from sklearn_transfer._validation import accepts_weights, get_weight_request

_OF_DOMAINS = {"sample_weight", "X_target", "sample_domain"}


def check_takes_weights(estimator, owner):
    """Raise a TypeError that names what inside `estimator` cannot take sample weights."""
    refusing = _find_refusing(estimator)
    if refusing is None:
        return
    name = type(refusing).__name__ if not isinstance(refusing, str) else repr(refusing)
    within = "" if refusing is estimator else f" in {type(estimator).__name__}"
    raise TypeError(
        f"{owner} needs an estimator that takes sample_weight in fit, and {name}{within} does "
        "not. Use another one, or align the features instead of weighting the samples."
    )


def get_inner_routing(estimator):
    """Routing of an estimator within one that weights it; empty where it supports none.

    Weights come from the estimator around it, whatever the parts ask for. Metadata of the
    domains reaches parts that ask for it, and those that left it open need none.
    """
    if not all(_supports_routing(part) for part in _iterate_parts(estimator)):
        return MetadataRequest(owner=estimator)
    routing = get_routing_for_object(estimator)
    _close_requests(routing)
    return routing


def _close_requests(routing):
    if hasattr(routing, "add_self_request"):
        for _, pair in routing:
            _close_requests(pair.router)
        return
    for method in SIMPLE_METHODS:
        request = getattr(routing, method)
        for name in _OF_DOMAINS & request.requests.keys():
            if name == "sample_weight" or request.requests[name] is None:
                request.add_request(param=name, alias=False)


def fit_with_weights(estimator, X, y, weights, *, task=NO_TASK, **params):
    """Fitted clone of `estimator`, the same whether metadata routing is on or off.

    `params` is further metadata, which it routes. The fit is a subtask of `task`.
    """
    own = {
        type(part) for part in _iterate_parts(estimator) if hasattr(part, "_metadata_request")
    }
    estimator = clone(estimator)
    routed = all(_is_routed(part) for part in _iterate_parts(estimator))
    with config_context(enable_metadata_routing=routed):
        if routed:
            _answer_requests(estimator, True)
            with task.open("fit-estimator", inner=estimator):
                estimator.fit(X, y, sample_weight=weights, **params)
            _unguard(estimator)
            _withdraw_requests(estimator, own)
            return estimator
        # Some meta-estimators and classes from elsewhere refuse weights where it is on.
        _keep_target_scorers(estimator)
        named = dict.fromkeys(_list_names(estimator), weights)
        with task.open("fit-estimator", inner=estimator):
            estimator.fit(X, y, **named, **params)
        _unguard(estimator)
        return estimator


def score_with_weights(estimator, X, y, weights, **params):
    """Weighted score of a fitted estimator, the same whether metadata routing is on or off."""
    routed = all(_is_routed(part) for part in _iterate_parts(estimator))
    with config_context(enable_metadata_routing=routed):
        if routed and _routes(estimator):
            estimator = deepcopy(estimator)  # requests are not left on the fitted one
            scorers = [
                (part, getattr(part, "scoring", None))
                for part in _iterate_reachable(estimator)
            ]
            _answer_requests(estimator, True)
            for part, scoring in scorers:
                if hasattr(part, "score"):
                    _answer_request(part, "score", True)
                if hasattr(scoring, "X_target"):  # it multiplies them by its own
                    part.scoring = scoring.set_score_request(sample_weight=True)
        return estimator.score(X, y, sample_weight=weights, **params)


def _find_refusing(estimator):
    """First nested estimator that should get weights and cannot take them, or None."""
    if isinstance(estimator, Pipeline):
        return _find_refusing(estimator.steps[-1][1])
    if not hasattr(estimator, "fit"):
        return str(estimator)  # 'passthrough'
    inner = [part for part in _iterate_nested(estimator) if hasattr(part, "predict")]
    if not _takes_weights(estimator) and not (inner and _routes(estimator)):
        return estimator
    refusing = (
        _find_refusing(part) for part in inner if get_weight_request(part, "fit") is not False
    )
    return next((part for part in refusing if part is not None), None)


def _takes_weights(estimator, method="fit"):
    function = getattr(estimator, method, None)
    return function is not None and "sample_weight" in signature(function).parameters


def _iterate_nested(estimator):
    """Estimators among the parameters of one, also in lists of named ones."""
    if not hasattr(estimator, "get_params"):
        return
    for value in estimator.get_params(deep=False).values():
        yield from _iterate_estimators(value)


def _iterate_estimators(value):
    if isinstance(value, list | tuple):
        for item in value:
            yield from _iterate_estimators(item)
    elif hasattr(value, "fit") and not isinstance(value, type):
        yield value


def _iterate_parts(estimator):
    """All estimators nested in one, at any depth, and itself."""
    for part in _iterate_nested(estimator):
        yield from _iterate_parts(part)
    yield estimator


def _routes(estimator):
    """Whether an object routes metadata itself, as meta-estimators do."""
    method = getattr(type(estimator), "get_metadata_routing", None)
    return method not in (None, BaseEstimator.get_metadata_routing)


def _is_routed(estimator):
    """Whether weights can be routed to an object, or it needs none."""
    if not _takes_weights(estimator):
        return True
    if not hasattr(estimator, "set_fit_request"):
        return False
    if not _routes(estimator):
        return True
    # Where nothing is nested, weights are routed to a scorer that did not ask for them.
    return any(True for _ in _iterate_nested(estimator)) and _supports_routing(estimator)


def _supports_routing(estimator):
    try:
        estimator.get_metadata_routing()
    except NotImplementedError:
        return False
    return True


def _answer_requests(estimator, wanted):
    """Answer all open requests for weights in a clone: `wanted` where it predicts."""
    for method in ("fit", "score"):
        _answer_request(estimator, method, wanted)
    if getattr(estimator, "scoring", None) is not None and _routes(estimator):
        estimator.scoring = _request_weights(estimator.scoring)
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else None
    for part in _iterate_nested(estimator):
        predicts = part is last if last is not None else hasattr(part, "predict")
        _answer_requests(part, wanted and predicts)


class _OwnWeights:
    """A scorer that weights samples for the target itself, and ignores weights it is given."""

    def __init__(self, scorer):
        self.scorer = scorer

    def __call__(self, estimator, X, y, sample_weight=None):
        return self.scorer(estimator, X, y)


def _keep_target_scorers(estimator):
    """Keep searches in a clone from weighting twice by the domains, where scorers do it."""
    for part in _iterate_parts(estimator):
        scoring = getattr(part, "scoring", None)
        if isinstance(scoring, dict):
            part.scoring = {name: _guard(scorer) for name, scorer in scoring.items()}
        elif scoring is not None:
            part.scoring = _guard(scoring)


def _guard(scorer):
    return _OwnWeights(scorer) if hasattr(scorer, "X_target") else scorer


def _unguard(fitted):
    """Put back the scorers of the user in a fitted estimator, which weight by the target."""
    for part in _iterate_reachable(fitted):
        for name in vars(part).keys() & {"scoring", "scorer_", "_scorers"}:
            scoring = getattr(part, name)
            if isinstance(scoring, dict):
                found = {
                    key: scorer.scorer if isinstance(scorer, _OwnWeights) else scorer
                    for key, scorer in scoring.items()
                }
                setattr(part, name, found)
            elif isinstance(scoring, _OwnWeights):
                setattr(part, name, scoring.scorer)


def _answer_request(estimator, method, wanted):
    if not hasattr(estimator, f"set_{method}_request"):
        return
    # Under whatever name weights are asked for, they are those of the estimator around.
    asked = get_weight_request(estimator, method)
    if _takes_weights(estimator, method) and not isinstance(asked, bool):
        getattr(estimator, f"set_{method}_request")(sample_weight=wanted)


def _withdraw_requests(fitted, own):
    """Delete answers from a fitted estimator and from all that it made of clones and scorers.

    A request refers to the estimator it was set on, so that it would keep that one alive in
    pickles, and skops would not find an end. Classes in `own` keep those that the user set.
    """
    for part in _iterate_reachable(fitted):
        if type(part) not in own and "_metadata_request" in vars(part):
            del part._metadata_request


def _iterate_reachable(value, seen=None):
    """Estimators, scorers and scikit-learn's records among the attributes, at any depth."""
    seen = {} if seen is None else seen
    if isinstance(value, list | tuple):
        inner = value
    elif isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, np.ndarray) and value.dtype == object:
        inner = value.ravel()
    elif _holds_estimators(value):
        yield value
        # Callbacks are of the user, and so are the estimators and scorers that they hold.
        inner = [held for name, held in vars(value).items() if name != "_skl_callbacks"]
    else:
        return
    if id(value) not in seen:
        seen[id(value)] = value
        for item in list(inner):
            yield from _iterate_reachable(item, seen)


def _holds_estimators(value):
    if isinstance(value, type) or not hasattr(value, "__dict__"):
        return False
    name = type(value).__module__
    return hasattr(value, "get_params") or (
        name.startswith("sklearn.") and not name.startswith("sklearn.utils.")
    )


def _request_weights(scoring):
    """The same scoring, where metrics that take weights get them."""
    if isinstance(scoring, dict):
        return {name: _request_weights(scorer) for name, scorer in scoring.items()}
    if isinstance(scoring, list | tuple | set):
        return {name: _request_weights(name) for name in scoring}
    scorer = get_scorer(scoring)
    if hasattr(scorer, "X_target"):
        return _guard(scorer) if get_weight_request(scorer, "score") else scorer
    if hasattr(scorer, "set_score_request") and get_weight_request(scorer, "score") is None:
        scorer = deepcopy(scorer)
        scorer.set_score_request(sample_weight=accepts_weights(scorer))
    return scorer


def _list_names(estimator):
    """Names of `fit` parameters that take weights where routing is off."""
    if not isinstance(estimator, Pipeline):
        return ["sample_weight"]
    last = len(estimator.steps) - 1
    return [
        f"{name}__{inner}"
        for place, (name, step) in enumerate(estimator.steps)
        if place == last or get_weight_request(step, "fit") is True
        for inner in _list_names(step)
    ]
