"""Options of a training, which do not change while it runs."""

from dataclasses import dataclass, fields, replace

import torch

# Parameters of an estimator that a later `partial_fit` reads again.
_RENEWABLE = ("batch_size", "lr", "weight_decay", "layer_decay", "mixup", "cutmix")


@dataclass(frozen=True)
class TrainingOptions:
    """Parameters of an estimator that say how its network is trained."""

    batch_size: int
    lr: float
    weight_decay: float
    layer_decay: float = 1.0
    warmup: float = 0.1
    precision: str = "float32"
    mixup: float = 0.0
    cutmix: float = 0.0

    @classmethod
    def read_from(cls, estimator):
        """Options that are the parameters of an estimator of the same names."""
        return cls(**{field.name: getattr(estimator, field.name) for field in fields(cls)})

    def renew(self, estimator):
        """Options with the values that the estimator has by now."""
        return replace(self, **{name: getattr(estimator, name) for name in _RENEWABLE})

    def needs_other_optimizer(self, other):
        """Whether the other options need an optimizer of their own."""
        names = ("lr", "weight_decay", "layer_decay")
        return any(getattr(self, name) != getattr(other, name) for name in names)


@dataclass(frozen=True)
class Setting:
    """Network, device and seed of a training, and its share of the processes.

    `network` is the module itself, which skorch or accelerate may have wrapped; this is the
    process `process_index` of `n_processes`, each of which sees a share of the batches.
    """

    network: torch.nn.Module
    device: torch.device
    seed: int
    channels_last: bool = True
    n_processes: int = 1
    process_index: int = 0
