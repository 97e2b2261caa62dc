"""Editors and type checkers see the names that the package loads at first use."""

import ast
import subprocess
import sys
from pathlib import Path

import jedi
import pytest

import sklearn_transfer

ROOT = Path(__file__).parents[1]
# mypy would spend more time on these than on the package.
LIBRARIES = ["torch", "numpy", "PIL", "torchvision", "timm", "huggingface_hub", "matplotlib"]
ESTIMATORS = [name for name in sklearn_transfer.__all__ if name[0].isupper()]


def imported_for_editors():
    tree = ast.parse((ROOT / "sklearn_transfer" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname: node.module
        for node in block.body
        for alias in node.names
        if alias.asname == alias.name
    }


def test_editors_see_what_is_loaded_at_first_use():
    seen = imported_for_editors()
    homes = sklearn_transfer._HOME
    parents = {
        name: home.removesuffix(f".{name}") if home.endswith(f".{name}") else home
        for name, home in homes.items()
    }
    assert seen == parents


def completions(code):
    return {c.name for c in jedi.Script(code, project=jedi.Project(ROOT)).complete()}


def test_names_are_completed():
    found = completions("import sklearn_transfer\nsklearn_transfer.")
    assert set(sklearn_transfer.__all__) <= found


@pytest.mark.parametrize("name", ESTIMATORS)
def test_parameters_are_shown(name):
    code = f"from sklearn_transfer import {name}\n{name}("
    (signature,) = jedi.Script(code, project=jedi.Project(ROOT)).get_signatures()
    cls = getattr(sklearn_transfer, name)
    expected = list(__import__("inspect").signature(cls).parameters)
    assert [parameter.name for parameter in signature.params] == expected


def test_methods_of_an_estimator_are_completed():
    code = "from sklearn_transfer import PretrainedFeatures\nPretrainedFeatures()."
    assert {"fit", "transform", "precompute", "get_params"} <= completions(code)


@pytest.fixture(scope="module")
def mypy_says(tmp_path_factory):
    """Return the output of mypy for a program with a misspelled parameter and name."""
    folder = tmp_path_factory.mktemp("mypy")
    program = folder / "program.py"
    program.write_text(
        "from sklearn_transfer import KMM, PretrainedFeatures\n"
        "import sklearn_transfer\n"
        "PretrainedFeatures(layers='deep').fit_transform(['a.png'])\n"
        "PretrainedFeatures(layer='deep')\n"
        "KMM(kernels='rbf')\n"
        "sklearn_transfer.FineTunedClasifier()\n"
    )
    settings = folder / "mypy.ini"
    settings.write_text(
        "[mypy]\nstrict = true\nfollow_imports = silent\nignore_missing_imports = true\n"
        f"[mypy-{','.join(f'{name}.*' for name in LIBRARIES)}]\nfollow_imports = skip\n"
    )
    options = ["--config-file", str(settings), "--cache-dir", str(folder / "cache")]
    command = [sys.executable, "-m", "mypy", *options, str(program)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert not run.stderr
    return run.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (4, 'Unexpected keyword argument "layer" for "PretrainedFeatures"'),
        (5, 'Unexpected keyword argument "kernels" for "KMM"'),
        (6, 'Module has no attribute "FineTunedClasifier"'),
    ],
)
def test_type_checker_finds_what_is_misspelt(mypy_says, line, message):
    assert f"program.py:{line}: error: {message}" in mypy_says


def test_type_checker_takes_what_is_right(mypy_says):
    assert "program.py:1:" not in mypy_says
    assert "program.py:2:" not in mypy_says
    assert "program.py:3: error: Unexpected" not in mypy_says
