"""Trained networks in files that hold only numbers and text: safetensors and JSON."""

import json
import os
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._networks.checkpoints import refuse_bad_numbers
from sklearn_transfer._process.threads import run_here
from sklearn_transfer._validation import shorten
from sklearn_transfer.finetuning._adaptation import (
    PUBLISHED,
    read_adaptation,
    write_adaptation,
)
from sklearn_transfer.finetuning._pickling import Pickled, is_pickled
from sklearn_transfer.finetuning._reading import SOURCES
from sklearn_transfer.finetuning._states import (
    PLAIN,
    check_is_plain,
    find_device,
    to_arrays,
    to_tensors,
)

_WEIGHTS, _DESCRIPTION = "weights.safetensors", "estimator.json"
_FORMAT = 1
_PAIRS = "pairs"  # what a dict is written as, since keys of JSON are strings
# What prediction needs and a file cannot hold, where it is an object of the user's.
_NEEDED = ("model", "preprocess", "background", "value_range")
_OF_MODEL = "model__"  # before the parameters of a model that is an estimator
_TUPLES = ("input_size", "value_range")  # lists in JSON
_START = "start."  # before the names of what l2_sp pulls to
_ONLY_AT_THE_START = ("weights",)
_ENTRIES = {"params", "objects", "targets", "frozen", "boundary", "fitted"}
_KEPT = ("history_", "n_iter_", "weights_sha256_", "n_features_in_", "_n_inputs")
_KEPT += ("_seed", "_factors")
_KINDS = {kind.__name__: kind for kind in SOURCES}


# Attributes that each process makes anew.
_HERE = ("_net", "_remade_net", "_prefix", "_backbone", "_device")
# What a state for skops holds as arrays and builtins instead.
_REBUILT = (*_HERE, "_network", "_start", "_targets", "_frozen", "_description", "_signature")
_REBUILT += PUBLISHED


class Saved(Pickled):
    """Mixin of estimators that are written into folders, and into pickles."""

    def save(self, folder):
        """Write the fitted estimator into a folder: safetensors and JSON.

        Parameters
        ----------
        folder : path
            Made if need be; files of an earlier `save` in it are replaced.

        Returns
        -------
        self : object
            The estimator, unchanged.
        """
        check_is_fitted(self, "history_")
        save(self, folder)
        return self

    @classmethod
    def load(cls, folder, **params):
        """Fitted estimator from a folder that `save` wrote; nothing in it is executed.

        Parameters
        ----------
        folder : path
            The folder.
        **params : objects
            Parameters that replace the saved ones. `model` and `preprocess` are needed where
            they were objects of your own, which files cannot hold (`model__model` and
            `model__preprocess` where `model` was a `PretrainedFeatures`); other such
            parameters, which matter for training alone, have their default.

        Returns
        -------
        estimator : object
            It predicts as the saved one did, and can be trained further by `partial_fit`.
        """
        return load(cls, folder, params)

    def _get_pickled_state(self):
        state = super()._get_pickled_state()
        return {name: value for name, value in state.items() if name not in _HERE}

    def __reduce_ex__(self, protocol):
        if not hasattr(self, "history_"):
            return super().__reduce_ex__(protocol)
        # While another thread predicts, functions of the network are replaced.
        from sklearn_transfer._networks.splits import exclude_others

        with exclude_others(self._network):
            return run_here(super().__reduce_ex__, protocol)

    def __getstate__(self):
        """State of arrays and builtins, as skops writes it; pickles go another way."""
        if is_pickled(self) or not hasattr(self, "history_"):
            return super().__getstate__()
        return _make_plain_state(self)

    def __setstate__(self, state):
        super().__setstate__({name: v for name, v in state.items() if name != PLAIN})
        if PLAIN in state:
            _restore_state(self, state[PLAIN])
        elif "_network" in state:
            self._net = self._prefix = None
            self._device = find_device(self.device)
            self._network.to(self._device)
            self._backbone = self._make_backbone()

    def _restore(self, tensors, frozen, written):
        """Make this estimator fitted, with the weights of a network of the same structure.

        `written` has the signature of payloads or, in files of earlier versions, the shape of
        the network's input.
        """
        from sklearn_transfer._networks.engines.plan import Plan, to_tensors
        from sklearn_transfer.finetuning._network import Network, count_bottleneck_units
        from sklearn_transfer.finetuning.freezing import policies

        weights = None if self._has_name() else "pretrained"
        n_outputs = self._targets.n_outputs
        backbone, owns_head = self._load_backbone(n_outputs, weights=weights)
        network = Network(backbone, n_outputs, owns_head)
        network.to(backbone.device).eval()
        reader = self._make_reader(backbone)
        signature = _read_signature(written, reader)
        plan = Plan(backbone, [], reader.format, "float32", signature)
        empty = plan.to_input(to_tensors(plan.example(2), backbone.device))
        network.add_head(empty, "as the saved network was; give the network that was trained")
        if self.lora_rank is not None:
            policies.add_lora(network, self.lora_rank)
            network.to(backbone.device).eval()
        n_units = count_bottleneck_units(tensors)
        if n_units:
            network.add_bottleneck(n_units)
        state = {n: t for n, t in tensors.items() if not n.startswith(_START)}
        fill_network(network, state, backbone.label)
        policies.apply_freeze(frozen, network)
        self._network, self._frozen, self._net, self._prefix = network, frozen, None, None
        begun = {n.removeprefix(_START): t for n, t in tensors.items() if n not in state}
        self._start = begun or None
        self._describe(backbone, signature)


def save(estimator, folder):
    """Write a fitted estimator into a folder, made if need be."""
    from safetensors.torch import save_file

    folder = os.path.expanduser(os.fspath(folder))
    os.makedirs(folder, exist_ok=True)
    state = _collect_tensors(estimator)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    params, objects = _divide_params(estimator.get_params(deep=False))
    features = None
    if type(estimator.model) in SOURCES:
        features, inner = _divide_params(estimator.model.get_params(deep=False))
        objects.remove("model")
        objects += [f"{_OF_MODEL}{name}" for name in inner]
    saved = {
        "format": _FORMAT,
        "class": type(estimator).__name__,
        "params": params,
        "features": features,
        "features_class": None if features is None else type(estimator.model).__name__,
        "objects": objects,
        "targets": estimator._targets.to_json(),
        "frozen": [sorted(part) for part in _list_frozen(estimator._frozen)],
        "boundary": estimator._frozen.boundary,
        "signature": _write_signature(estimator._signature),
        "fitted": _to_plain({n: v for n, v in vars(estimator).items() if n in _KEPT}),
    }
    if hasattr(estimator, "feature_names_in_"):
        saved["feature_names_in_"] = estimator.feature_names_in_.tolist()
    saved |= write_adaptation(estimator)
    save_file(_separate(tensors), os.path.join(folder, _WEIGHTS))
    with open(os.path.join(folder, _DESCRIPTION), "w", encoding="utf-8") as file:
        json.dump(saved, file, indent=1)


def load(cls, folder, given):
    """Estimator from such a folder; `given` are parameters that the file does not hold."""
    from sklearn_transfer.finetuning.freezing.policies import Frozen
    from sklearn_transfer.finetuning.targets.targets import Targets

    folder = os.path.expanduser(os.fspath(folder))
    saved = _read_description(cls, folder)
    lost = [name for name in saved["objects"] if not _is_given(name, given)]
    missing = [name for name in lost if _remove_prefix(name) in _NEEDED]
    if missing:
        raise ValueError(
            f"{shorten(os.fspath(folder))} was saved with {' and '.join(missing)} of your"
            f" own, which a file cannot hold: pass {cls.__name__}.load(folder,"
            f" {', '.join(f'{name}=...' for name in missing)})"
        )
    _warn_of_lost([name for name in lost if _remove_prefix(name) not in _ONLY_AT_THE_START])
    estimator = cls(**{**_read_params(saved["params"]), **_add_model(saved, given)})
    vars(estimator).update(_from_plain(saved["fitted"]))
    if "feature_names_in_" in saved:
        names = np.asarray(saved["feature_names_in_"], dtype=object)
        estimator.feature_names_in_ = names
    estimator._targets = Targets.from_json(saved["targets"])
    read_adaptation(estimator, saved)
    parameters, modules = map(frozenset, saved["frozen"])
    frozen = Frozen(parameters, modules, saved["boundary"])
    estimator._restore(_read_weights(folder), frozen, saved)
    return estimator


def _make_plain_state(estimator):
    check_is_plain(estimator, estimator._get_source())
    state = {n: value for n, value in vars(estimator).items() if n not in _REBUILT}
    state[PLAIN] = {
        **write_adaptation(estimator),
        "targets": estimator._targets.to_json(),
        "frozen": [sorted(part) for part in _list_frozen(estimator._frozen)],
        "boundary": estimator._frozen.boundary,
        "signature": _write_signature(estimator._signature),
        "weights": to_arrays(_collect_tensors(estimator)),
    }
    return state


def _restore_state(estimator, plain):
    """Make an estimator fitted by what `_make_plain_state` returned."""
    from sklearn_transfer.finetuning.freezing.policies import Frozen
    from sklearn_transfer.finetuning.targets.targets import Targets

    estimator._targets = Targets.from_json(plain["targets"])
    read_adaptation(estimator, plain)
    frozen = Frozen(*map(frozenset, plain["frozen"]), plain["boundary"])
    estimator._restore(to_tensors(plain["weights"]), frozen, plain)


def _write_signature(signature):
    return [
        [name, [None if edge is None else int(edge) for edge in shape], dtype]
        for name, shape, dtype in signature
    ]


def _read_signature(written, reader):
    """Signature of payloads; files of earlier versions hold the shape of the input instead."""
    if "signature" in written:
        return tuple(
            (name, tuple(shape), dtype) for name, shape, dtype in written["signature"]
        )
    known = reader.find_signature(())
    return known or (("input", tuple(written["input_shape"]), "<f4"),)


def _collect_tensors(estimator):
    """Weights and buffers by name, and with a prefix what l2_sp pulls to."""
    start = estimator._start or {}
    begun = {f"{_START}{name}": tensor for name, tensor in start.items()}
    return estimator._network.state_dict() | begun


def _divide_params(params):
    """Parameters that JSON holds, and the names of the others."""
    plain = {name: _to_plain(value) for name, value in params.items()}
    objects = [name for name, value in plain.items() if value is _UNSUITABLE]
    return {n: value for n, value in plain.items() if n not in objects}, objects


def _remove_prefix(name):
    return name.removeprefix(_OF_MODEL)


def _is_given(name, given):
    return name in given or (name.startswith(_OF_MODEL) and "model" in given)


def _add_model(saved, given):
    """Given parameters, with the saved estimator of features as model where there was one."""
    features = saved.get("features")
    if features is None:
        return given
    # Files of earlier versions name no kind, since there was one only.
    kind = _KINDS[saved.get("features_class", "PretrainedFeatures")]
    if "model" in given:
        if not isinstance(given["model"], kind):
            raise ValueError(
                f"The network was saved with model={kind.__name__}(...), and model="
                f"{shorten(given['model'])} was given, which does not say how samples are"
                f" read: pass model__model=... instead, or a {kind.__name__}"
            )
        return given
    inner = {_remove_prefix(n): value for n, value in given.items() if n.startswith(_OF_MODEL)}
    outer = {n: value for n, value in given.items() if not n.startswith(_OF_MODEL)}
    return {**outer, "model": kind(**{**_read_params(features), **inner})}


def fill_network(network, state, label):
    """Put saved weights into a network; raises ValueError where it is another one."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"The saved weights do not fit model={label}; pass the network that was"
            f" fine-tuned. {error}"
        ) from error
    refuse_bad_numbers(network, label, "its saved weights")


def _read_description(cls, folder):
    path = os.path.join(folder, _DESCRIPTION)
    try:
        with open(path, encoding="utf-8") as file:
            saved = json.load(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{shorten(os.fspath(folder))} holds no {_DESCRIPTION}; expected a folder that"
            " save() wrote"
        ) from error
    except ValueError as error:
        raise _make_damage_error(path, error) from error
    if not isinstance(saved, dict) or not {"class", "format"} <= saved.keys():
        raise _make_damage_error(path, "class and format are missing")
    if saved["class"] != cls.__name__:
        raise ValueError(
            f"{shorten(os.fspath(folder))} holds a {saved['class']}: use {saved['class']}.load"
        )
    if saved["format"] != _FORMAT:
        raise ValueError(
            f"{shorten(os.fspath(folder))} has format {saved['format']}, expected"
            f" {_FORMAT}: it was written by another version of sklearn_transfer"
        )
    # Files of earlier versions have the shape of the network's input instead.
    entries = _ENTRIES if "input_shape" in saved else {*_ENTRIES, "signature"}
    if not saved.keys() >= entries:
        raise _make_damage_error(path, f"{', '.join(sorted(entries - saved.keys()))} missing")
    return saved


def _read_weights(folder):
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = os.path.join(folder, _WEIGHTS)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _make_damage_error(path, error) from error


def _make_damage_error(path, why):
    return ValueError(f"{shorten(path)} is damaged ({why}): save it again")


def _warn_of_lost(lost):
    if lost:
        warnings.warn(
            f"{' and '.join(lost)} of your own could not be saved: partial_fit would train"
            " with the default; pass them to load to train as before",
            UserWarning,
            stacklevel=4,
        )


def _list_frozen(frozen):
    return frozen.parameters, frozen.modules


def _separate(tensors):
    """Copies of tensors that share memory, which safetensors refuses."""
    seen, found = set(), {}
    for name, tensor in tensors.items():
        address = tensor.data_ptr()
        found[name] = tensor.clone() if address in seen else tensor
        seen.add(address)
    return found


class _Unsuitable:
    pass


_UNSUITABLE = _Unsuitable()


def _to_plain(value):
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
        inner = [_to_plain(item) for item in value]
        return _UNSUITABLE if any(item is _UNSUITABLE for item in inner) else inner
    if isinstance(value, dict):
        pairs = [_to_plain(pair) for pair in value.items()]
        return _UNSUITABLE if any(pair is _UNSUITABLE for pair in pairs) else {_PAIRS: pairs}
    return _UNSUITABLE


def _from_plain(value):
    """The value that `_to_plain` converted."""
    if isinstance(value, list):
        return [_from_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _from_plain(item) for name, item in value[_PAIRS]}
    return value


def _read_params(params):
    params = {name: _from_plain(value) for name, value in params.items()}
    pairs = {n: tuple(params[n]) for n in _TUPLES if isinstance(params.get(n), list)}
    return {**params, **pairs}
