"""Devices, and the contexts in which networks are built."""

from contextlib import contextmanager

import torch

from sklearn_transfer._validation import shorten


@contextmanager
def seeded(seed):
    """Context in which torch draws from a seed and builds float32 parameters.

    The state of the generator is restored afterwards.
    """
    with torch.random.fork_rng(devices=[]), single_precision():
        torch.manual_seed(seed)
        yield


@contextmanager
def single_precision():
    """Context in which networks are built in float32, whatever torch's default type is.

    Random weights drawn in another type would be other numbers.
    """
    before = torch.get_default_dtype()
    if before == torch.float32:
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def resolve_device(device):
    """Return the device for a value of `device`; raises ValueError if it is not available."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={shorten(device)} is not available"
            f" ({shorten(str(error).splitlines()[0])}); use 'auto', 'cpu' or 'cuda'"
        ) from error
    return resolved
