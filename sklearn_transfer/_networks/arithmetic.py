"""Arithmetic in which a network computes, as far as features depend on it."""

import platform

from sklearn_transfer._networks.machine import list_instructions

# Instructions for bfloat16, those that are preferred first: of Intel and AMD, and of ARM.
_BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16")


def describe_arithmetic(precision, device):
    """Return what features depend on beside the names of the precision and of the engine.

    In float32 this is nothing, since they agree to 1e-4 everywhere. In bfloat16, kinds of CPUs
    and devices round at other places, by which rows differ as much as from float32, and a CPU
    without instructions for it may compute in float32.
    """
    if precision == "float32":
        return ()
    return (str(device).partition(":")[0], find_bfloat16_instructions())


def find_bfloat16_instructions(path="/proc/cpuinfo"):
    """Return the name of the CPU's instructions for bfloat16, or "none".

    Where the system does not list instructions, the name of the CPU is returned.
    """
    names = list_instructions(path)
    if names is None:
        return platform.processor() or platform.machine()
    return next((name for name in _BFLOAT16 if name in names), "none")
