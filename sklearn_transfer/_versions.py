"""Versions of what the package stands on, for reports of bugs."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

import joblib

_NAME = "sklearn-transfer"
# Packages that these require, or that users bring.
_FURTHER = ("sentence-transformers", "skada", "skrub", "tokenizers", "transformers")
# Variables of the environment that change what the package does, beside its own.
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_OFFLINE", "MKL_NUM_THREADS")
_VARIABLES += ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TORCH_HOME")


def show_versions():
    """Print what a report of a bug should state: the system, versions, engines, settings.

    It imports none of the packages that it lists, so it also works where one of them does
    not; only where there is the driver of a GPU, it asks torch for the device. Names of
    folders are not printed, only whether a variable is set.

    Notes
    -----
    "Instructions" are those by which CPUs differ in the arithmetic of bfloat16; features in
    float32 agree between CPUs to rounding.

    Examples
    --------
    >>> from sklearn_transfer import show_versions
    >>> show_versions()  # doctest: +SKIP
    """
    for title, rows in _collect_sections().items():
        print(f"{title}:")
        width = max(map(len, rows))
        for name, value in rows.items():
            print(f"  {name:>{width}}: {value}")
        print()


def _collect_sections():
    from sklearn_transfer._networks.machine import list_instructions

    known = list_instructions()
    special = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "asimd", "bf16")
    system = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": f"{platform.machine()}, {joblib.cpu_count()} cores",
        "instructions": ", ".join(name for name in special if name in (known or ())),
        "device": _find_device(),
    }
    own = [name for name in sorted(os.environ) if name.startswith("SKLEARN_TRANSFER_")]
    settings = {name: os.environ[name] for name in own if name.endswith("_BYTES")}
    for name in [*own, *_VARIABLES]:
        if name in os.environ:
            settings.setdefault(name, "set")
    return {
        "System": system,
        "Packages": {name: _find_version(name) for name in _list_packages()},
        "Environment": settings or {"variables": "none set"},
    }


def _find_device():
    from sklearn_transfer._networks.devices import find_device

    try:
        return str(find_device("auto"))
    except Exception as error:  # whatever a broken installation raises is worth a report
        return f"unknown, as torch raises {error!r}"


def _list_packages():
    """Names of the packages that this one and its extras require, itself first."""
    try:
        stated = requires(_NAME) or []
    except PackageNotFoundError:  # run from its source, without being installed
        stated = []
    # What is only needed for tests or for the documentation tells nothing.
    needed = [line for line in stated if not re.search(r"extra == .(test|docs)\b", line)]
    names = {re.match(r"[\w.-]+", line)[0] for line in needed} | {*_FURTHER}
    return [_NAME, *sorted(names - {_NAME}, key=str.lower)]


def _find_version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
