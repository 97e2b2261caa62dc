"""Cores of this machine, as torch counts them, and its kind of CPU."""

import functools
import os
import platform
import re
import sys
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import joblib

# The number of cores that a caller has been given, which goes before all others.
_given = ContextVar("_given", default=None)


@contextmanager
def use_cores(count):
    """Context in which networks and readers take that many cores; None changes nothing."""
    token = _given.set(count)
    try:
        yield
    finally:
        _given.reset(token)


def count_share(n_tasks):
    """Return the number of cores of a worker process that was made for some tasks at once.

    A task has one core, or as many as the environment states.
    """
    return min(n_tasks * (_read_stated() or 1), _count_physical())


def count_cores():
    """Return the number of threads that torch computes with, or would if it were imported.

    joblib limits it in its worker processes by environment variables.
    """
    if _given.get() is not None:
        return _given.get()
    # Another thread may be importing torch just now.
    count = getattr(sys.modules.get("torch"), "get_num_threads", None)
    if count is not None:
        return count()
    return min(filter(None, [_read_stated(), _count_physical()]))


def _read_stated():
    """Return the number of threads that the environment states, or None."""
    stated = [_read_count(name) for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS")]
    return stated[0] if stated[0] else stated[1]


def _read_count(name):
    """Return the number that a variable states, at the outermost level if for several."""
    found = re.match(r"\s*(\d+)\s*(,|$)", os.environ.get(name, ""))
    return int(found[1]) if found else None


def _count_physical():
    """Return the number of physical cores on which this process may run."""
    try:
        cores = {_identify_core(number) for number in os.sched_getaffinity(0)}
    except (AttributeError, OSError, ValueError):  # not Linux, or no such files
        return max(joblib.cpu_count(only_physical_cores=True), 1)
    return max(len(cores), 1)


def _identify_core(number):
    topology = Path(f"/sys/devices/system/cpu/cpu{number}/topology")
    return tuple(
        int((topology / name).read_text()) for name in ("physical_package_id", "core_id")
    )


@functools.cache
def list_instructions(path="/proc/cpuinfo"):
    """Return the names of the CPU's instructions, or None where the system lists none."""
    with suppress(OSError):
        text = Path(path).read_text()
        found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
        if found:
            return tuple(found[1].split())
    return None


def describe_cpu():
    """Return a text that differs between CPUs with different instructions."""
    names = list_instructions()
    stated = platform.processor() if names is None else " ".join(sorted(names))
    return f"{platform.machine()} {stated}"
