"""The loss of predictions against labels and numbers, some of which may be missing."""

import torch
from torch.nn import functional

from sklearn_transfer.finetuning.objectives.base import Criterion

_NARROW = (torch.float16, torch.bfloat16)


class SupervisedLoss(Criterion):
    """Mean over a batch of weight times loss, where weights have mean 1 over all rows.

    Parameters
    ----------
    targets : Targets
        The tasks.
    factors : list of float
        Factor of each task, as `Targets.compute_factors` returns them for all training rows.
    label_smoothing : float, default=0
        Share of each label that is spread over all classes, in training only.
    own_loss : callable, default=None
        Loss of the user that replaces that of the only task.
    """

    def __init__(self, targets, factors, label_smoothing=0.0, own_loss=None):
        self.targets, self.factors = targets, factors
        self.label_smoothing, self.own_loss = label_smoothing, own_loss

    def __call__(self, output, encoded, weights):
        """Mean loss of a batch."""
        losses = compute_row_losses(
            output,
            encoded,
            self.targets,
            label_smoothing=self.label_smoothing if self.training else 0.0,
            factors=self.factors,
            loss=self.own_loss,
        )
        return (weights * losses).mean()


def compute_row_losses(
    output, encoded, targets, *, label_smoothing=0.0, factors=None, loss=None
):
    """Loss of each row: the sum over tasks of weight x factor x loss.

    Parameters
    ----------
    output : Tensor of shape (n, n_outputs)
        Output of the network. Half precisions are computed in float32.
    encoded : tuple of Tensor
        What `Targets.encode` returns for the rows, as tensors.
    targets : Targets
        The tasks.
    label_smoothing : float, default=0
        Share of each label that is spread evenly over the classes, or over 0 and 1.
    factors : list of float, default=None
        What `Targets.compute_factors` returns for all training rows; None is 1 each.
    loss : callable, default=None
        In place of the loss of the only task: ``loss(output, target)`` returns one number per
        row. Its target is the array of `encoded`: codes of classes, 0 and 1, or standardized
        numbers of shape (n, k), NaN where missing. `label_smoothing` is left to it.

    Returns
    -------
    losses : Tensor of shape (n,)
        Cross-entropy of classes; mean over present entries of a row of the binary
        cross-entropy of labels, or of the squared error of standardized numbers. A missing
        entry adds 0 and has a gradient of exactly 0.
    """
    output = output.float() if output.dtype in _NARROW else output
    if loss is not None:
        losses = [_compute_own_loss(loss, output, encoded, targets)]
    else:
        losses = [
            _LOSSES[task.kind](output[:, task.columns], target, label_smoothing)
            for task, target in zip(targets.tasks, encoded, strict=True)
        ]
    factors = [1.0] * len(losses) if factors is None else factors
    scaled = zip(targets.tasks, factors, losses, strict=True)
    return sum(task.weight * factor * values for task, factor, values in scaled)


def _compute_cross_entropy(output, codes, smoothing):
    output = output.masked_fill((codes < 0)[:, None], 0.0)
    return functional.cross_entropy(
        output, codes, ignore_index=-1, reduction="none", label_smoothing=smoothing
    )


def _compute_binary_cross_entropy(output, labels, smoothing):
    output, labels, present = _mask_missing(output, labels)
    labels = labels * (1 - smoothing) + smoothing / 2
    return _average_rows(
        functional.binary_cross_entropy_with_logits(output, labels, reduction="none"), present
    )


def _compute_squared_error(output, numbers, smoothing):
    output, numbers, present = _mask_missing(output, numbers)
    return _average_rows((output - numbers) ** 2, present)


_LOSSES = {
    "multiclass": _compute_cross_entropy,
    "multilabel": _compute_binary_cross_entropy,
    "regression": _compute_squared_error,
}


def _mask_missing(output, target):
    """Output and target with 0 where the target is missing, and where it is not."""
    present = ~target.isnan()
    target = target.to(output.dtype).masked_fill(~present, 0.0)
    # The output too: 0 times an infinite error would be NaN in the gradient.
    return output.masked_fill(~present, 0.0), target, present


def _average_rows(losses, present):
    return (losses * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def _compute_own_loss(loss, output, encoded, targets):
    if not targets.single:
        raise ValueError(
            f"loss is a function and y has {len(targets.tasks)} tasks, but it can only replace"
            " the loss of a single task: use loss='auto', or fit one task"
        )
    values = loss(output, encoded[0])
    shape = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
    if shape != (len(output),):
        raise ValueError(
            f"The loss returned {shape}, expected a tensor of shape ({len(output)},), one"
            " number per row: use reduction='none', and .mean(dim=1) where there are several"
            " columns"
        )
    return values
