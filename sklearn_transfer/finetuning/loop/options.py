"""Options of a training, which do not change while it runs."""

from dataclasses import dataclass, fields, replace

import torch

# Parameters of an estimator that a further `partial_fit` takes as they are by then.
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
        """The same with what may have been set on the estimator since."""
        return replace(self, **{name: getattr(estimator, name) for name in _RENEWABLE})

    def needs_other_optimizer(self, other):
        """Whether an optimizer made for these options does not serve the other ones."""
        names = ("lr", "weight_decay", "layer_decay")
        return any(getattr(self, name) != getattr(other, name) for name in names)


@dataclass(frozen=True)
class Setting:
    """Where a network is trained.

    `network` is the module itself, which skorch or accelerate may have wrapped; this is the
    process `process_index` of `n_processes`, each of which sees a share of the batches.
    """

    network: torch.nn.Module
    device: torch.device
    seed: int
    channels_last: bool = True
    n_processes: int = 1
    process_index: int = 0
