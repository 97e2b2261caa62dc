"""The benchmarks can be imported, so they follow changes of the package."""

import importlib
from pathlib import Path

import pytest

MODULES = sorted(
    path.stem
    for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py")
    if not path.stem.startswith("__")
)


@pytest.mark.parametrize("name", MODULES)
def test_benchmark_is_importable(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert Path(module.__file__).stem == name
