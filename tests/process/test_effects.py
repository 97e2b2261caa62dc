"""All effects of the package on a process are documented in one place."""

import importlib
import pkgutil
import re
from pathlib import Path

import sklearn_transfer
from sklearn_transfer import _process
from sklearn_transfer._process import forks

PACKAGE = Path(sklearn_transfer.__file__).parent


def test_every_environment_variable_is_listed():
    used = {
        name
        for path in PACKAGE.rglob("*.py")
        if path != Path(_process.__file__)
        for name in re.findall(r"SKLEARN_TRANSFER_[A-Z_]+", path.read_text())
    }
    assert used == set(re.findall(r"SKLEARN_TRANSFER_[A-Z_]+", _process.__doc__))


def test_every_turn_at_a_fork_is_used_and_listed():
    for module in pkgutil.walk_packages([str(PACKAGE)], "sklearn_transfer."):
        importlib.import_module(module.name)
    hooks = [*forks._before, *forks._in_parent, *forks._in_child]
    assert {turn for turn, _ in hooks} == set(forks.Turn)
    for turn in forks.Turn:
        assert f"({turn.name})" in _process.__doc__


def test_every_module_with_an_effect_is_listed():
    for path in Path(_process.__file__).parent.glob("[!_]*.py"):
        assert f"`{path.stem}`" in _process.__doc__
