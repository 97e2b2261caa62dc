"""Functions of a step of the loop: rows, input, targets, adaptation, and lack of memory."""

import warnings
from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
import torch

from sklearn_transfer._networks.inputs import map_tensors
from sklearn_transfer.finetuning._inputs import Fixed, Rows


def make_array_rows(X, array_name):
    """`Rows` of an array of what the network takes, or of arrays by their names."""
    arrays = X if isinstance(X, Mapping) else {array_name: X}
    arrays = {name: np.asarray(values) for name, values in arrays.items()}
    return Rows(Fixed(arrays), (), np.ones(len(next(iter(arrays.values())))))


def prepare_input(payloads, setting, payload_format):
    """Input of a network on its device, from collated payloads, in its order of memory."""
    device = setting.device
    batch = {name: t.to(device, non_blocking=True) for name, t in payloads.items()}
    # Contiguous where code of the user runs, which may ask for `view`.
    order = torch.channels_last if setting.channels_last else torch.contiguous_format
    return map_tensors(
        lambda x: x.contiguous(memory_format=order) if x.ndim == 4 else x,
        payload_format.to_input(batch),
    )


def move_targets(targets, device):
    """Encoded targets and weights on a device."""
    encoded, weights = targets
    return tuple(values.to(device) for values in encoded), weights.to(device)


def compute_adaptation(adaptation, step, state):
    """Loss of adaptation in a step, of which the history gets the mean."""
    loss = adaptation.loss(step)
    state.n_adapted += 1
    state.measure(adapt_loss=loss.detach(), **adaptation.measures)
    return loss


@contextmanager
def keep_statistics(network, is_single):
    """For a batch of one, normalize by running statistics, since one row has no spread."""
    norms = [m for m in network.find_norms().values() if m.training] if is_single else []
    for module in norms:
        module.eval()
    try:
        yield
    finally:
        for module in norms:
            module.train()


def has_whole_epoch(entry, feed):
    """Whether all that `history_` needs of an epoch is recorded in skorch's entry."""
    needed = {"train_loss", "dur"}
    if feed.valid is not None:
        needed.add("valid_loss")
    if feed.score is not None:
        needed.add("valid_score")
    return needed <= entry.keys()


def is_out_of_memory(error):
    """Whether an error says that memory did not suffice."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def warn_of_memory(batch_size, advice):
    """Warn that an epoch starts again with a smaller `batch_size`."""
    warnings.warn(
        f"Memory did not suffice: batch_size is now {batch_size}, and the"
        f" epoch began anew. {advice}.",
        UserWarning,
        stacklevel=3,
    )
