"""Translation of the parameter `freeze` into the parameters and modules that do not change."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import nn

from sklearn_transfer._networks.splits import find_upstream
from sklearn_transfer._networks.taps import find_module_name
from sklearn_transfer._validation import shorten, suggest_near

EMBEDDING = "embedding"
BODY = "body."


@dataclass(frozen=True)
class Frozen:
    """Names of the parameters and modules of a `Network` that do not change.

    `parameters` get no gradient; `modules` stay in evaluation mode: statistics of
    normalization, dropout, stochastic depth. All up to the `boundary` is frozen: the name of
    a module, "embedding" where that is the whole body, or None. Where there are several
    columns it may be a tuple of pairs of a column and its boundary.
    """

    parameters: frozenset = frozenset()
    modules: frozenset = frozenset()
    boundary: str | tuple | None = None


def resolve_freeze(freeze, network, backbone, batch):
    """`Frozen` for a value of the parameter `freeze`; raises ValueError for unknown names.

    `batch` is network input of two rows, on which the network shows what comes before what.
    """
    if isinstance(freeze, (bool, np.bool_)):
        raise ValueError(
            f"freeze={shorten(freeze)} does not name a layer of a network: use 'all' to train"
            " the head alone, or None to train everything"
        )
    if freeze is None:
        return Frozen()
    if isinstance(freeze, str) and freeze == "all":
        return freeze_body(network)
    if isinstance(freeze, (list, tuple)):
        return _match_patterns(freeze, network, backbone, batch)
    name = find_module_name(backbone, freeze, "freeze", ("all", None))
    return freeze_up_to(network, name, batch)


def freeze_up_to(network, name, batch):
    """`Frozen` with all up to and including a module of the backbone."""
    if name in network.removed:
        raise ValueError(
            f"freeze={name!r} is what classifies in {network.layout.label}, which is the head"
            " here; freeze='all' freezes all but the head"
        )
    try:
        found = find_upstream(network, network.compute_logits, batch, BODY + name)
    except ValueError as error:
        raise ValueError(f"freeze={name!r}: {error}") from error
    return _collect_modules(
        network, found.parameters, found.modules, find_boundary(network, name)
    )


def find_boundary(network, name):
    """Where a frozen prefix ends: at the embedding if the module held the network's head."""
    holds_head = network.head_name is not None and f"{network.head_name}.".startswith(
        f"{name}."
    )
    return EMBEDDING if holds_head else BODY + name


def freeze_body(network):
    """`Frozen` with all but the head."""
    if isinstance(network.head, nn.Identity):
        raise ValueError(
            f"{network.layout.label} does not end in a linear layer with one output per class,"
            " so it has no head that freeze='all', schedule='lp-ft' or 'gradual' could train"
            " alone; give a factory that takes the number of features only, and a head is put"
            " on top, or use another freeze and schedule='constant'"
        )
    parameters = {name for name, _ in network.named_parameters() if name.startswith(BODY)}
    return Frozen(frozenset(parameters), frozenset({"body"}), EMBEDDING)


def _match_patterns(patterns, network, backbone, batch):
    names = [name.removeprefix(BODY) for name, _ in network.body.named_parameters()]
    modules = [name for name, _ in network.body.named_modules() if name]
    frozen = set()
    for pattern in patterns:
        matched = {name for name in names if _matches(name, pattern)}
        if not matched:
            raise ValueError(
                f"freeze names {shorten(pattern)}, which no parameter of {backbone.label}"
                f" matches.{suggest_near(pattern, modules)} A pattern is the name of a module"
                " or a parameter, where * stands for anything, such as 'blocks.0' or"
                " '*.bn1.*'."
            )
        frozen |= {BODY + name for name in matched}
    for stage in reversed(backbone.layout.stages):
        try:
            found = find_upstream(network, network.compute_logits, batch, BODY + stage.name)
        except ValueError:  # a stage that runs several times ends at no single depth
            continue
        if found.parameters <= frozen:
            return _collect_modules(
                network, frozen, found.modules, find_boundary(network, stage.name)
            )
    return _collect_modules(network, frozen, frozenset(), None)


def _matches(name, pattern):
    if not isinstance(pattern, str):
        raise ValueError(
            f"freeze names {shorten(pattern)}, expected patterns as strings in a list"
        )
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _collect_modules(network, parameters, before, boundary):
    """`Frozen` with the modules that stay as they are.

    They are those whose parameters are all frozen, and those without parameters that come
    `before` the boundary, such as dropout.
    """
    modules = set()
    for name, module in network.named_modules():
        own = [f"{name}.{inner}" for inner, _ in module.named_parameters()]
        if (own and all(inner in parameters for inner in own)) or (not own and name in before):
            modules.add(name)
    return Frozen(frozenset(parameters), frozenset(modules), boundary)


def freeze_norms(frozen, estimator, network):
    """`Frozen` that also keeps running statistics, as the parameter `freeze_norm` says.

    Scale and shift may still train. "auto" looks at the network of each column by itself.
    """
    kept, setting = set(network.find_norms()), estimator.freeze_norm
    if setting != "auto":
        kept = kept if setting else set()
    elif network.columns is not None:
        drawn = [network.map_name(c, "body.") for c in estimator._list_random_columns()]
        kept = {name for name in kept if not name.startswith(tuple(drawn))}
    elif estimator._has_random_weights():
        kept = set()
    return Frozen(frozen.parameters, frozen.modules | kept, frozen.boundary)


def apply_freeze(frozen, network):
    """Set what trains in a network, also for later calls of `train`."""
    for name, parameter in network.named_parameters():
        fixed = name in frozen.parameters or name in network.untrained
        parameter.requires_grad_(not fixed)
    network.frozen = frozen.modules
    network.train(network.training)


def add_lora(network, rank):
    """Freeze the body and put trainable low-rank matrices beside its linear layers [Hu 2022].

    Raises ValueError for a network without linear layers in its body.
    """
    from sklearn_transfer._validation import import_optional

    peft = import_optional("peft", "lora", "lora_rank")
    linear = [name for name, m in network.body.named_modules() if type(m) is nn.Linear]
    if not linear:
        raise ValueError(
            f"lora_rank={rank}: {network.layout.label} has no linear layers inside, as"
            " transformers have; use freeze instead"
        )
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=linear)
    network.body = peft.inject_adapter_in_model(config, network.body)
    added = {name for name, _ in network.body.named_parameters() if ".lora_" in name}
    return frozenset(BODY + n for n, _ in network.body.named_parameters() if n not in added)


def copy_weights(frozen, network):
    """Copies of all that training may change: parameters, and statistics of normalization.

    `frozen` are the names of parameters that no phase trains.
    """
    state = network.state_dict()
    return {name: t.detach().clone() for name, t in state.items() if name not in frozen}


def restore_weights(network, state):
    """Put such copies back."""
    own = network.state_dict()
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)
