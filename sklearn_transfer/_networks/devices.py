"""Devices, and the contexts in which networks are built."""

import os
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

from sklearn_transfer._validation import shorten

# What the driver of an accelerator that torch calls "cuda" leaves: that of NVIDIA, that of
# AMD, and either one in the Linux inside Windows.
_TRACES = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
_TRACES += ("/dev/nvhost-gpu", "/dev/nvmap")
# Kinds of devices of which a warning has told in this process.
_told = set()


@dataclass(frozen=True)
class Device:
    """The name of a device, where torch is not imported."""

    type: str

    def __str__(self):
        return self.type


def find_device(device):
    """Return the device for a value of `device`, without torch where that is certain.

    Then it is a `Device`, the CPU. Else it is what `resolve_device` returns.
    """
    if device == "cpu" or (device == "auto" and not _may_have_accelerator()):
        return Device("cpu")
    return resolve_device(device)


def _may_have_accelerator():
    if "torch" in sys.modules or sys.platform == "win32":
        return True
    # torch has no CUDA on macOS.
    return sys.platform != "darwin" and any(map(os.path.exists, _TRACES))


@contextmanager
def seeded(seed):
    """Context in which torch draws from a seed and builds float32 parameters.

    The state of the generator is restored afterwards.
    """
    import torch

    with torch.random.fork_rng(devices=[]), single_precision():
        torch.manual_seed(seed)
        yield


@contextmanager
def single_precision():
    """Context in which networks are built in float32, whatever torch's default type is.

    Random weights drawn in another type would be other numbers.
    """
    import torch

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
    """Return the device for a value of `device`; raises ValueError if it is not available.

    For "auto" it is the CPU if the CUDA device that is there cannot be used; one warning says
    so.
    """
    import torch

    if device != "auto":
        return _open_device(device)
    if torch.cuda.is_available():
        try:
            return _open_device("cuda")
        except ValueError as error:
            _warn_of_device(error)
    return torch.device("cpu")


def _open_device(device):
    import torch

    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={shorten(device)} is not available"
            f" ({shorten(str(error).splitlines()[0])}); use 'auto', 'cpu' or 'cuda'"
        ) from error
    return resolved


def _warn_of_device(error):
    if "cuda" in _told:
        return
    _told.add("cuda")
    reason = str(error.__cause__).partition("\n")[0]
    warnings.warn(
        f"device='auto' found a CUDA device that cannot be used ({shorten(reason)}), so the"
        " CPU computes; free or repair the device, or pass device='cpu'",
        UserWarning,
        stacklevel=2,
    )
