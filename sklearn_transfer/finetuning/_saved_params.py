"""Parameters in files of JSON, and the networks among them."""

import os
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np

from sklearn_transfer._validation import format_list, shorten
from sklearn_transfer.finetuning._reading import SOURCES

_PAIRS = "pairs"  # what a dict is written as, since keys of JSON are strings
_OF_MODEL = "model__"  # before the parameters of a model that is an estimator
_TUPLES = ("input_size", "value_range")  # lists in JSON
_KINDS = {kind.__name__: kind for kind in SOURCES}
# What prediction needs and a file cannot hold, where it is an object of the user's.
_NEEDED = ("model", "preprocess", "background", "value_range")


def write_params(estimator):
    """Entries of a file that hold the parameters of an estimator, and its models."""
    params, objects = _divide_params(estimator.get_params(deep=False))
    found = {"features": None, "features_class": None}
    if type(estimator.model) in SOURCES:
        found["features"], inner = _divide_params(estimator.model.get_params(deep=False))
        found["features_class"] = type(estimator.model).__name__
        objects.remove("model")
        objects += [f"{_OF_MODEL}{name}" for name in inner]
    elif isinstance(estimator.model, Mapping):
        params.pop("model", None)
        objects = [name for name in objects if name != "model"]
        found["columns"], lost = _write_columns(estimator.model)
        objects += lost
    return {"params": params, **found, "objects": objects}


def _write_columns(model):
    """What a file holds of a mapping of models, and the names of what it cannot hold."""
    columns, lost = [], []
    for name, value in model.items():
        if type(value) in SOURCES:
            params, inner = _divide_params(value.get_params(deep=False))
            columns.append([name, {"class": type(value).__name__, "params": params}])
            lost += [f"{_OF_MODEL}{name}__{key}" for key in inner]
            continue
        plain = to_plain(value)
        if plain is _UNSUITABLE:
            lost.append(f"{_OF_MODEL}{name}")
            plain = None
        columns.append([name, {"value": plain}])
    return columns, lost


def read_estimator(cls, saved, given):
    """Estimator of a class, of the saved and the given parameters; not fitted."""
    outer = {name: value for name, value in given.items() if not name.startswith(_OF_MODEL)}
    inner = {name: value for name, value in given.items() if name.startswith(_OF_MODEL)}
    params = {**_read_params(saved["params"]), **outer}
    if saved.get("columns") is not None:
        _check_columns(saved["columns"], given)
    if "model" in given:
        _check_kind(saved, given["model"])
    elif saved.get("columns") is not None:
        params["model"] = _read_columns(saved["columns"], inner)
    elif saved.get("features") is not None:
        own = {name.removeprefix(_OF_MODEL): value for name, value in inner.items()}
        kind = _KINDS[_name_kind(saved)]
        params["model"] = kind(**{**_read_params(saved["features"]), **own})
    else:
        params |= inner
    return cls(**params)


def _name_kind(saved):
    # Files of earlier versions name no kind, since there was one only.
    return saved.get("features_class") or "PretrainedFeatures"


def _check_kind(saved, model):
    if saved.get("features") is None:
        return
    kind = _KINDS[_name_kind(saved)]
    if not isinstance(model, kind):
        raise ValueError(
            f"The network was saved with model={kind.__name__}(...), and model="
            f"{shorten(model)} was given, which does not say how samples are"
            f" read: pass model__model=... instead, or a {kind.__name__}"
        )


def _check_columns(columns, given):
    """Raise ValueError where parameters given for columns mean none, or read otherwise."""
    models = given.get("model")
    if models is not None and not isinstance(models, Mapping):
        raise ValueError(
            "The network was saved with a model for each of the columns"
            f" {format_list([name for name, _ in columns], 5)}, and"
            f" model={shorten(models)} was given: pass a mapping of these"
        )
    for name, entry in columns:
        own = f"{_OF_MODEL}{name}"
        value = given.get(own) if models is None else models.get(name)
        kind = _KINDS[entry["class"]] if "class" in entry else None
        if kind is not None and value is not None and not isinstance(value, kind):
            raise ValueError(
                f"Column {name!r} was saved with {kind.__name__}(...), and {shorten(value)}"
                " was given, which does not say how samples are read: pass"
                f" {own}__model=... instead, or a {kind.__name__}"
            )
    for key in given:
        if key.startswith(_OF_MODEL) and not (models is None and _is_of_column(key, columns)):
            raise ValueError(
                f"Invalid parameter {key!r}: the network was saved with the columns"
                f" {format_list([name for name, _ in columns], 5)}, and parameters of a column"
                " are those of an estimator in it"
            )


def _is_of_column(key, columns):
    """Whether a parameter is the model of a column, or one of an estimator in it."""
    return any(
        key == f"{_OF_MODEL}{name}"
        or ("class" in entry and key.startswith(f"{_OF_MODEL}{name}__"))
        for name, entry in columns
    )


def _read_columns(columns, given):
    found = {}
    for name, entry in columns:
        own = f"{_OF_MODEL}{name}"
        if own in given:
            found[name] = given[own]
        elif "class" in entry:
            start = f"{own}__"
            inner = {k.removeprefix(start): v for k, v in given.items() if k.startswith(start)}
            params = _read_params(entry["params"])
            found[name] = _KINDS[entry["class"]](**{**params, **inner})
        else:
            found[name] = from_plain(entry["value"])
    return found


def list_lost(saved, given):
    """Names of parameters that are neither in a file nor given: all, and those needed."""
    lost = [name for name in saved["objects"] if not _is_given(name, given)]
    columns = {f"{_OF_MODEL}{name}" for name, _ in saved.get("columns") or ()}
    needed = [n for n in lost if n in columns or n.rpartition("__")[2] in _NEEDED]
    return lost, needed


def _is_given(name, given):
    if name in given or (name.startswith(_OF_MODEL) and "model" in given):
        return True
    return any(name.startswith(f"{other}__") for other in given)


def _divide_params(params):
    """Parameters that JSON holds, and the names of the others."""
    plain = {name: to_plain(value) for name, value in params.items()}
    objects = [name for name, value in plain.items() if value is _UNSUITABLE]
    return {n: value for n, value in plain.items() if n not in objects}, objects


class _Unsuitable:
    pass


_UNSUITABLE = _Unsuitable()


def to_plain(value):
    """The value in a form that JSON can hold, or _UNSUITABLE."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value.tolist()
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        inner = [to_plain(item) for item in value]
        return _UNSUITABLE if any(item is _UNSUITABLE for item in inner) else inner
    if isinstance(value, dict):
        pairs = [to_plain(pair) for pair in value.items()]
        return _UNSUITABLE if any(pair is _UNSUITABLE for pair in pairs) else {_PAIRS: pairs}
    return _UNSUITABLE


def from_plain(value):
    """The value that `to_plain` converted."""
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: from_plain(item) for name, item in value[_PAIRS]}
    return value


def _read_params(params):
    params = {name: from_plain(value) for name, value in params.items()}
    pairs = {n: tuple(params[n]) for n in _TUPLES if isinstance(params.get(n), list)}
    return {**params, **pairs}
