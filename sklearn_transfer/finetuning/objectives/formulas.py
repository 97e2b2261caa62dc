"""The formulas of objectives, as functions of tensors."""

from dataclasses import replace

import torch

_NARROW = (torch.float16, torch.bfloat16)


def widen_step(step):
    """The step with its tensors in single precision, where they have less."""
    names = ("features", "logits", "weights", "target_features", "target_logits")
    tensors = {name: getattr(step, name) for name in names}
    return replace(
        step, **{name: t.float() for name, t in tensors.items() if t.dtype in _NARROW}
    )


def compute_class_confusion(logits, temperature):
    """Share of the confusion of classes that is between different ones [Jin 2020].

    Parameters
    ----------
    logits : Tensor of shape (n, n_classes)
        Outputs for rows of the target.
    temperature : float
        Divides the logits.

    Returns
    -------
    confusion : Tensor of shape ()
        Between 0 and 1 - 1 / n_classes.
    """
    log_proba = torch.log_softmax(logits / temperature, dim=1)
    proba = log_proba.exp()
    with torch.no_grad():  # the paper's weights of sure rows are no way to lower the loss
        log_weights = torch.log1p(torch.exp((proba * log_proba).sum(dim=1)))
    # Row j of the confusion matrix, divided by its sum, is the mean of probabilities weighted
    # by those of class j. As a softmax over rows it is defined for a class of no mass too.
    shares = torch.softmax(log_proba + log_weights[:, None], dim=0)
    return 1 - (shares * proba).sum() / logits.shape[1]
