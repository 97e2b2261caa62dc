"""Opening of networks: a recorded one where a manifest is at hand, else the network itself."""

import os
import sys
from functools import partial

from sklearn_transfer._networks.devices import find_device
from sklearn_transfer._networks.questions import (
    are_versions_loaded,
    compute_question,
    is_own_architecture,
)
from sklearn_transfer._networks.recorded import find_recorded, is_recorded, keep_manifest

_REGISTRY = "sklearn_transfer._networks.registry"


def open_backbone(model, weights, shelves, **options):
    """Return the network that the parameters of an extractor describe, recorded or in memory.

    Parameters
    ----------
    model, weights
        As the parameters of extractors.
    shelves : Shelves
        Where manifests are.
    **options
        Further arguments of `load_backbone`.

    Returns
    -------
    backbone : Backbone or RecordedBackbone
        The first if it is in memory already, or if no valid manifest is there.
    """
    load_network = partial(_load, model, weights, **options)
    question = _compute_question(model, weights, **options)
    if question is None:
        return load_network()
    if not _is_loaded(model, weights, **options):
        device = find_device(options["device"])
        recorded = find_recorded(question, device, shelves, load_network)
        if recorded is not None:
            return recorded
    backbone = load_network()
    if backbone.is_recordable and are_versions_loaded():
        backbone.question = question
    return backbone


def is_open(model, weights, **options):
    """Return whether that network is in memory, or recorded in this process."""
    if _is_loaded(model, weights, **options):
        return True
    question = _compute_question(model, weights, **options)
    return question is not None and is_recorded(question)


def keep_record(backbone, shelves):
    """Write a manifest of what is known about a network by now, where one is possible."""
    if backbone.question is not None:
        keep_manifest(backbone, shelves)


def _load(model, weights, **options):
    from sklearn_transfer._networks.registry import load_backbone

    return load_backbone(model, weights, **options)


def _is_loaded(model, weights, **options):
    if _REGISTRY not in sys.modules:
        return False
    from sklearn_transfer._networks.registry import is_loaded

    return is_loaded(model, weights, **options)


def _compute_question(model, weights, *, device, n_features_in=3, **options):
    if not isinstance(model, (str, os.PathLike)):
        return None
    if is_own_architecture(os.fsdecode(model).partition(".")[0]):
        return None
    if _REGISTRY in sys.modules:
        from sklearn_transfer._networks.registry import has_own_loader

        if has_own_loader(model):
            return None
    options.setdefault("input_size", None)
    return compute_question(model, weights, device=str(find_device(device)), **options)
