"""Schedules: which parameters train in which epochs."""

from dataclasses import dataclass

from sklearn_transfer.finetuning.freezing.policies import (
    BODY,
    EMBEDDING,
    Frozen,
    find_boundary,
    freeze_body,
    freeze_up_to,
)

# Steps of Adam do not shrink with the gradient: where the head already fits, full steps would
# lead away from it at first.
_AFTER_PROBE = 0.2


@dataclass(frozen=True)
class Phase:
    """Epochs of a training in which the same parameters train.

    Its learning rate is `lr_share` times that of the estimator, and falls over the epochs
    unless it `is_constant`.
    """

    name: str
    frozen: Frozen
    n_epochs: int
    lr_share: float = 1.0
    is_constant: bool = False


def plan_phases(schedule, target, n_epochs, network, backbone, batch, plan_steps=None):
    """Phases of a schedule that ends with `target`, a `Frozen`.

    "lp-ft" first fits the head alone [Kumar 2022]; "gradual" then adds one stage at a time,
    from the deepest one down [Howard 2018], in at most half of the epochs. `plan_steps` finds
    these stages where several columns have their own.
    """
    if schedule == "constant":
        return [Phase("train", target, n_epochs)]
    probe = Phase("probe", freeze_body(network), 0)
    if schedule == "lp-ft" or target.boundary == EMBEDDING:
        is_done = target == probe.frozen and network.bottleneck is None
        n_epochs = 0 if is_done else n_epochs
        return [probe, Phase("train", target, n_epochs, _AFTER_PROBE)]
    plan_steps = _plan_steps_down if plan_steps is None else plan_steps
    steps = plan_steps(target, n_epochs // 2, network, backbone, batch)
    share = len(steps) and max(n_epochs // 2 // len(steps), 1)
    found = [Phase(f"from {name}", frozen, share, _AFTER_PROBE) for name, frozen in steps]
    last = Phase("train", target, n_epochs - share * len(steps), _AFTER_PROBE)
    return [probe, *found, last]


def _plan_steps_down(target, n_most, network, backbone, batch):
    """(stage, Frozen up to it) from the deepest stage down to above the target."""
    steps = []
    for stage in reversed(backbone.layout.stages):
        if target.boundary == BODY + stage.name:
            break
        if find_boundary(network, stage.name) == EMBEDDING:  # what the probe has trained
            continue
        try:
            frozen = freeze_up_to(network, stage.name, batch)
        except ValueError:
            continue
        if not frozen.parameters > target.parameters:
            break
        steps.append((stage.name, frozen))
    keep = max(-(-len(steps) // max(n_most, 1)), 1)
    return steps[keep - 1 :: keep] if n_most else []
