"""Losses of the rows of a batch, without their missing entries."""

import torch
from torch.nn import functional

_NARROW = (torch.float16, torch.bfloat16)


def row_losses(output, encoded, targets, *, label_smoothing=0.0, factors=None, loss=None):
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
        What `Targets.factors` returns for all training rows; None is 1 each.
    loss : callable, default=None
        In place of the loss of the only task: ``loss(output, target)`` returns one number a
        row. Its target is the array of `encoded`: codes of classes, 0 and 1, or standardised
        numbers of shape (n, k), NaN where missing. `label_smoothing` is left to it.

    Returns
    -------
    losses : Tensor of shape (n,)
        Cross-entropy of classes; mean over present entries of a row of the binary
        cross-entropy of labels, or of the squared error of standardised numbers. A missing
        entry adds 0 and has a gradient of exactly 0.
    """
    output = output.float() if output.dtype in _NARROW else output
    if loss is not None:
        losses = [_own_loss(loss, output, encoded, targets)]
    else:
        losses = [
            _LOSSES[task.kind](output[:, task.columns], target, label_smoothing)
            for task, target in zip(targets.tasks, encoded, strict=True)
        ]
    factors = [1.0] * len(losses) if factors is None else factors
    scaled = zip(targets.tasks, factors, losses, strict=True)
    return sum(task.weight * factor * values for task, factor, values in scaled)


def _multiclass(output, codes, smoothing):
    output = output.masked_fill((codes < 0)[:, None], 0.0)
    return functional.cross_entropy(
        output, codes, ignore_index=-1, reduction="none", label_smoothing=smoothing
    )


def _multilabel(output, labels, smoothing):
    output, labels, present = _present(output, labels)
    labels = labels * (1 - smoothing) + smoothing / 2
    return _row_means(
        functional.binary_cross_entropy_with_logits(output, labels, reduction="none"), present
    )


def _regression(output, numbers, smoothing):
    output, numbers, present = _present(output, numbers)
    return _row_means((output - numbers) ** 2, present)


_LOSSES = {"multiclass": _multiclass, "multilabel": _multilabel, "regression": _regression}


def _present(output, target):
    """Output and target with 0 where the target is missing, and where it is not."""
    present = ~target.isnan()
    target = target.to(output.dtype).masked_fill(~present, 0.0)
    # The output too: 0 times an infinite error would be NaN in the gradient.
    return output.masked_fill(~present, 0.0), target, present


def _row_means(losses, present):
    return (losses * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def _own_loss(loss, output, encoded, targets):
    if not targets.single:
        raise ValueError(
            f"A loss of your own was given and y has {len(targets.tasks)} tasks: it replaces "
            "the loss of one task only. Leave it out, or fit one task."
        )
    values = loss(output, encoded[0])
    shape = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
    if shape != (len(output),):
        raise ValueError(
            f"The loss returned {shape}, expected a tensor of shape ({len(output)},), one "
            "number a row: give reduction='none', and the mean over columns where there are "
            "several, .mean(dim=1)."
        )
    return values
