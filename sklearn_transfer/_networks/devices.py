"""Devices, and the scope in which networks are made."""

from contextlib import contextmanager

import torch

from sklearn_transfer._validation import shortened


@contextmanager
def seeded(seed):
    """Context in which torch draws from a seed, in float32, and is put back afterwards."""
    with torch.random.fork_rng(devices=[]), single_precision():
        torch.manual_seed(seed)
        yield


@contextmanager
def single_precision():
    """Context in which networks are made in float32, and draw the same weights as ever."""
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
    """Device that a value of the parameter `device` means; ValueError if it is not here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={shortened(device)} is not available"
            f" ({shortened(str(error).splitlines()[0])});"
            " use 'auto', 'cpu' or 'cuda'"
        ) from error
    return resolved
