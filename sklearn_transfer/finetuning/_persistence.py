"""Trained networks in files that hold only numbers and text: safetensors and JSON."""

import json
import os
import warnings
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._cards import make_model_card, write_card
from sklearn_transfer._networks.checkpoints import refuse_bad_numbers
from sklearn_transfer._process.threads import run_here
from sklearn_transfer._validation import shorten
from sklearn_transfer.finetuning._adaptation import (
    PUBLISHED,
    read_adaptation,
    write_adaptation,
)
from sklearn_transfer.finetuning._pickling import Pickled, is_pickled
from sklearn_transfer.finetuning._saved_params import (
    from_plain,
    list_lost,
    read_estimator,
    to_plain,
    write_params,
)
from sklearn_transfer.finetuning._states import (
    PLAIN,
    check_is_plain,
    find_device,
    to_arrays,
    to_tensors,
)

_WEIGHTS, _DESCRIPTION = "weights.safetensors", "estimator.json"
_CARD = "README.md"
_FORMAT = 1
_START = "start."  # before the names of what l2_sp pulls to
_ONLY_AT_THE_START = ("weights",)
_ENTRIES = {"params", "objects", "targets", "frozen", "boundary", "fitted"}
_KEPT = ("history_", "n_iter_", "weights_sha256_", "n_features_in_", "_n_inputs")
_KEPT += ("_seed", "_factors", "_columns", "_rows")


# Attributes that each process makes anew.
_HERE = ("_net", "_remade_net", "_prefix", "_backbone", "_device")
# What a state for skops holds as arrays and builtins instead.
_REBUILT = (*_HERE, "_network", "_start", "_targets", "_frozen", "_description", "_signature")
_REBUILT += PUBLISHED


class Saved(Pickled):
    """Mixin of estimators that are written into folders, and into pickles."""

    def save(self, folder, *, card=False):
        """Write the fitted estimator into a folder: safetensors and JSON.

        Parameters
        ----------
        folder : path
            Made if need be; files of an earlier `save` in it are replaced.
        card : bool or dict, default=False
            Whether a model card, ``README.md``, is written too. A dict has arguments of
            `make_model_card`, such as `X`, `y`, `scores` and `intended_use`. A card that
            somebody has edited is not replaced.

        Returns
        -------
        self : object
            The estimator, unchanged.
        """
        check_is_fitted(self, "history_")
        save(self, folder, card)
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

        with ExitStack() as stack:
            for module in (self._network, *(self._network.columns or {}).values()):
                stack.enter_context(exclude_others(module))
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
        from sklearn_transfer.finetuning._fusion import make_network
        from sklearn_transfer.finetuning._network import count_bottleneck_units
        from sklearn_transfer.finetuning.freezing import policies

        n_outputs = self._targets.n_outputs
        backbone, owns_head = self._load_structure(n_outputs)
        network = make_network(backbone, n_outputs, owns_head)
        network.to(backbone.device).eval()
        signature = _read_signature(written, self, backbone)
        empty = self._make_example(backbone, signature, 2)
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


def save(estimator, folder, card=False):
    """Write a fitted estimator into a folder, made if need be."""
    from safetensors.torch import save_file

    folder = os.path.expanduser(os.fspath(folder))
    os.makedirs(folder, exist_ok=True)
    if card is True or isinstance(card, Mapping):
        given = {} if card is True else card
        write_card(os.path.join(folder, _CARD), make_model_card(estimator, **given))
    state = _collect_tensors(estimator)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    saved = {
        "format": _FORMAT,
        "class": type(estimator).__name__,
        **write_params(estimator),
        "targets": estimator._targets.to_json(),
        "frozen": [sorted(part) for part in _list_frozen(estimator._frozen)],
        "boundary": estimator._frozen.boundary,
        "signature": _write_signature(estimator._signature),
        "fitted": to_plain({n: v for n, v in vars(estimator).items() if n in _KEPT}),
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
    lost, missing = list_lost(saved, given)
    if missing:
        raise ValueError(
            f"{shorten(os.fspath(folder))} was saved with {' and '.join(missing)} of your"
            f" own, which a file cannot hold: pass {cls.__name__}.load(folder,"
            f" {', '.join(f'{name}=...' for name in missing)})"
        )
    ends = {name: name.rpartition("__")[2] for name in lost}
    _warn_of_lost([name for name, end in ends.items() if end not in _ONLY_AT_THE_START])
    estimator = read_estimator(cls, saved, given)
    vars(estimator).update(from_plain(saved["fitted"]))
    if "feature_names_in_" in saved:
        names = np.asarray(saved["feature_names_in_"], dtype=object)
        estimator.feature_names_in_ = names
    estimator._targets = Targets.from_json(saved["targets"])
    read_adaptation(estimator, saved)
    parameters, modules = map(frozenset, saved["frozen"])
    frozen = Frozen(parameters, modules, _read_boundary(saved["boundary"]))
    estimator._restore(_read_weights(folder), frozen, saved)
    return estimator


def _make_plain_state(estimator):
    for source in estimator._list_sources():
        check_is_plain(estimator, source)
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
    frozen = Frozen(*map(frozenset, plain["frozen"]), _read_boundary(plain["boundary"]))
    estimator._restore(to_tensors(plain["weights"]), frozen, plain)


def _read_boundary(boundary):
    """Boundary of `Frozen`, whose pairs of columns are lists in a file."""
    return tuple(map(tuple, boundary)) if isinstance(boundary, list) else boundary


def _write_signature(signature):
    return [
        [name, [None if edge is None else int(edge) for edge in shape], dtype]
        for name, shape, dtype in signature
    ]


def _read_signature(written, estimator, backbone):
    """Signature of payloads; files of earlier versions hold the shape of the input instead."""
    if "signature" in written:
        return tuple(
            (name, tuple(shape), dtype) for name, shape, dtype in written["signature"]
        )
    known = estimator._make_reader(backbone).find_signature(())
    return known or (("input", tuple(written["input_shape"]), "<f4"),)


def _collect_tensors(estimator):
    """Weights and buffers by name, and with a prefix what l2_sp pulls to."""
    start = estimator._start or {}
    begun = {f"{_START}{name}": tensor for name, tensor in start.items()}
    return estimator._network.state_dict() | begun


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
