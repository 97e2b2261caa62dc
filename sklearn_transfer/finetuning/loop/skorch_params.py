"""Parameters and callbacks that users pass on to skorch."""

import copy
from inspect import signature

from skorch.callbacks import BatchScoring, Callback, EpochScoring, LRScheduler

from sklearn_transfer._validation import shorten

# Parameters of skorch's net, and the parameter of the estimator that decides on each.
_OURS = {
    "module": "model",
    "criterion": "loss",
    "lr": "lr",
    "optimizer__lr": "lr",
    "optimizer__weight_decay": "weight_decay",
    "max_epochs": "max_epochs",
    "batch_size": "batch_size",
    "iterator_train": "batch_size",
    "iterator_valid": "batch_size",
    "dataset": "preprocess",
    "train_split": "validation_fraction",
    "callbacks": "callbacks",
    "device": "device",
    "verbose": "verbose",
    "setting": "device",
    "options": "lr",
    "objectives": "loss",
    "adaptation": "adapt",
}
_WITHOUT_EFFECT = {
    LRScheduler: "the learning rate follows warmup and a cosine",
    EpochScoring: "history_ has valid_loss and valid_score",
    BatchScoring: "history_ has train_loss and valid_loss",
}


def check_params(params):
    """Parameters for skorch's net; raises ValueError for those that the estimator decides."""
    params = dict(params or {})
    for name in params:
        own = _OURS.get(name) or _OURS.get(name.partition("__")[0])
        if own is not None:
            raise ValueError(
                f"net_params has {shorten(name)}, which the parameter {own} of the estimator"
                " decides: set that instead"
            )
    return params


def copy_callbacks(callbacks):
    """Copies of callbacks and (name, callback) pairs, so that a fit leaves those given alone.

    They share their parameters, such as the trial that a callback reports to. Raises
    ValueError for other objects, and for callbacks that would have no effect.
    """
    found = []
    for item in callbacks or []:
        pair = isinstance(item, (tuple, list))
        callback = _copy_callback(item[1] if pair else item)
        found.append((item[0], callback) if pair else callback)
    return found


def _copy_callback(callback):
    kind = callback if isinstance(callback, type) else type(callback)
    if not issubclass(kind, Callback):
        raise ValueError(
            f"callbacks holds {shorten(callback)}, expected callbacks of skorch or (name,"
            " callback)"
        )
    for other, instead in _WITHOUT_EFFECT.items():
        if issubclass(kind, other):
            raise ValueError(
                f"callbacks holds {kind.__name__}, which has no effect: {instead}"
            )
    return callback if isinstance(callback, type) else _make_anew(callback)


def _make_anew(callback):
    names, state = signature(type(callback)).parameters, vars(callback)
    if not names.keys() <= state.keys():
        return copy.copy(callback)  # parameters have other names, as in Optuna's callback
    return type(callback)(**{name: state[name] for name in names})
