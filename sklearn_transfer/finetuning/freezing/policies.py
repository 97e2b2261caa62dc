"""What of a network stays as it was: policies, schedules and learning rates by depth."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import nn

from sklearn_transfer._networks.splits import find_upstream
from sklearn_transfer._networks.taps import find_module_name
from sklearn_transfer._validation import did_you_mean, shortened

EMBEDDING = "embedding"
_BODY = "body."
# A step of Adam's does not shrink with the gradient: where the head already fits, full ones
# lead away before they lead anywhere.
_AFTER_PROBE = 0.2


@dataclass(frozen=True)
class Frozen:
    """Names in a `Network` of what does not change.

    `parameters` get no gradient; `modules` stay in evaluation mode: statistics of
    normalisation, dropout, stochastic depth. All up to the `boundary` is frozen: the name of
    a module, "embedding" where that is the whole body, or None.
    """

    parameters: frozenset = frozenset()
    modules: frozenset = frozenset()
    boundary: str | None = None


@dataclass(frozen=True)
class Phase:
    """A part of the training in which the same parameters train.

    `lr_share` is the share of the learning rate that it begins with.
    """

    name: str
    frozen: Frozen
    n_epochs: int
    lr_share: float = 1.0


def resolve(freeze, network, backbone, batch):
    """`Frozen` for a value of the parameter `freeze`; raises ValueError for unknown names.

    `batch` is network input of two rows, on which the network shows what comes before what.
    """
    if isinstance(freeze, (bool, np.bool_)):
        raise ValueError(
            f"freeze={shortened(freeze)} is no place in a network; use 'all' to train the"
            " head alone, or None to train everything"
        )
    if freeze is None:
        return Frozen()
    if isinstance(freeze, str) and freeze == "all":
        return _everything(network)
    if isinstance(freeze, (list, tuple)):
        return _by_patterns(freeze, network, backbone, batch)
    name = find_module_name(backbone, freeze, "freeze", ("all", None))
    return up_to(network, name, batch)


def up_to(network, name, batch):
    """`Frozen` up to and including a module of the backbone."""
    if name in network.removed:
        raise ValueError(
            f"freeze={name!r} is what classifies in {network.layout.label}, which is the head"
            " here; freeze='all' freezes all but the head"
        )
    try:
        found = find_upstream(network, network.whole, batch, _BODY + name)
    except ValueError as error:
        raise ValueError(f"freeze={name!r}: {error}") from error
    return _settled(network, found.parameters, found.modules, _boundary(network, name))


def _boundary(network, name):
    """Where a frozen part ends: at the embedding where a module held the network's head."""
    holds_head = network.head_name is not None and f"{network.head_name}.".startswith(
        f"{name}."
    )
    return EMBEDDING if holds_head else _BODY + name


def _everything(network):
    if isinstance(network.head, nn.Identity):
        raise ValueError(
            f"{network.layout.label} does not end in a linear layer with one output a class,"
            " so it has no head that freeze='all', schedule='lp-ft' or 'gradual' could train"
            " alone; give a factory that takes the number of features only, and a head is put"
            " on top, or use another freeze and schedule='constant'"
        )
    parameters = {name for name, _ in network.named_parameters() if name.startswith(_BODY)}
    return Frozen(frozenset(parameters), frozenset({"body"}), EMBEDDING)


def _by_patterns(patterns, network, backbone, batch):
    names = [name.removeprefix(_BODY) for name, _ in network.body.named_parameters()]
    modules = [name for name, _ in network.body.named_modules() if name]
    frozen = set()
    for pattern in patterns:
        matched = {name for name in names if _matches(name, pattern)}
        if not matched:
            raise ValueError(
                f"freeze names {shortened(pattern)}, which no parameter of {backbone.label}"
                f" matches.{did_you_mean(pattern, modules)} A pattern is the name of a module"
                " or a"
                " parameter, where * stands for anything, such as 'blocks.0' or '*.bn1.*'"
            )
        frozen |= {_BODY + name for name in matched}
    for stage in reversed(backbone.layout.stages):
        try:
            found = find_upstream(network, network.whole, batch, _BODY + stage.name)
        except ValueError:  # of a stage that is no one depth
            continue
        if found.parameters <= frozen:
            return _settled(network, frozen, found.modules, _boundary(network, stage.name))
    return _settled(network, frozen, frozenset(), None)


def _matches(name, pattern):
    if not isinstance(pattern, str):
        raise ValueError(
            f"freeze names {shortened(pattern)}, expected patterns as strings in a list"
        )
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _settled(network, parameters, before, boundary):
    """Add modules none of whose parameters train, or that come before without any."""
    modules = set()
    for name, module in network.named_modules():
        own = [f"{name}.{inner}" for inner, _ in module.named_parameters()]
        if (own and all(inner in parameters for inner in own)) or (not own and name in before):
            modules.add(name)
    return Frozen(frozenset(parameters), frozenset(modules), boundary)


def with_norms(frozen, network):
    """The same with all running statistics kept too, though scale and shift may train."""
    return Frozen(frozen.parameters, frozen.modules | set(network.norms()), frozen.boundary)


def apply(frozen, network):
    """Set what trains in a network, also for later calls of `train`."""
    for name, parameter in network.named_parameters():
        fixed = name in frozen.parameters or name in network.untrained
        parameter.requires_grad_(not fixed)
    network.frozen = frozen.modules
    network.train(network.training)


def phases(schedule, target, n_epochs, network, backbone, batch):
    """Phases of a schedule that ends with `target`, a `Frozen`.

    "lp-ft" has the head alone fitted before [Kumar 2022]; "gradual" then adds a stage at a
    time from the deepest one down [Howard 2018], in at most half of the epochs.
    """
    if schedule == "constant":
        return [Phase("train", target, n_epochs)]
    probe = Phase("probe", _everything(network), 0)
    if schedule == "lp-ft" or target.boundary == EMBEDDING:
        n_epochs = 0 if target == probe.frozen else n_epochs
        return [probe, Phase("train", target, n_epochs, _AFTER_PROBE)]
    steps = _steps_down(target, n_epochs // 2, network, backbone, batch)
    share = len(steps) and max(n_epochs // 2 // len(steps), 1)
    found = [Phase(f"from {name}", frozen, share, _AFTER_PROBE) for name, frozen in steps]
    last = Phase("train", target, n_epochs - share * len(steps), _AFTER_PROBE)
    return [probe, *found, last]


def _steps_down(target, n_most, network, backbone, batch):
    """(stage, Frozen up to it) from the deepest stage down to above the target."""
    steps = []
    for stage in reversed(backbone.layout.stages):
        if target.boundary == _BODY + stage.name:
            break
        if _boundary(network, stage.name) == EMBEDDING:  # what the probe has trained
            continue
        try:
            frozen = up_to(network, stage.name, batch)
        except ValueError:
            continue
        if not frozen.parameters > target.parameters:
            break
        steps.append((stage.name, frozen))
    keep = max(-(-len(steps) // max(n_most, 1)), 1)
    return steps[keep - 1 :: keep] if n_most else []


def parameter_groups(network, lr, weight_decay, layer_decay):
    """Groups for an optimiser: learning rate by depth, no decay of biases and scales.

    The head has `lr`; each layer below has `layer_decay` times the one above. Layers are
    timm's where the network is timm's, else stages.
    """
    depths = _depths(network)
    deepest = max(depths.values(), default=0) + 1
    skipped = getattr(network.body, "no_weight_decay", set)()
    groups = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        inner = name.removeprefix(_BODY)
        bare = parameter.ndim <= 1 or inner.endswith(".bias") or inner in skipped
        depth = depths.get(name, deepest)
        group = groups.setdefault((depth, bare), {"params": []})
        group["params"].append(parameter)
        group["lr"] = group["base_lr"] = lr * layer_decay ** (deepest - depth)
        group["weight_decay"] = 0.0 if bare else weight_decay
    return list(groups.values())


def _depths(network):
    if hasattr(network.body, "group_matcher"):
        from timm.models import group_parameters

        matcher = network.body.group_matcher(coarse=False)
        found = group_parameters(network.body, matcher, reverse=True)
        return {_BODY + name: int(depth) for name, depth in found.items()}
    depths, depth = {}, 0
    stages = [stage.name for stage in network.layout.stages]
    for name, _ in network.body.named_parameters():
        reached = [i for i, stage in enumerate(stages) if name.startswith(f"{stage}.")]
        depth = max([depth, *(i + 1 for i in reached)])
        depths[_BODY + name] = depth
    return depths


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
    return frozenset(_BODY + n for n, _ in network.body.named_parameters() if n not in added)


def state_without(frozen, network):
    """Copies of all that training may change: parameters, and statistics of normalisation.

    `frozen` are the names of parameters that no phase trains.
    """
    state = network.state_dict()
    return {name: t.detach().clone() for name, t in state.items() if name not in frozen}


def restore(network, state):
    """Put such copies back."""
    own = network.state_dict()
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)
