"""The recipes in the README run as they are written."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import sklearn_transfer
from benchmarks.timing import Row

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def names(photos, tmp_path):
    """Return the names that the recipes use: paths, y, new_paths, table and ask."""
    paths = []
    for i in range(12):
        paths.append(str(tmp_path / f"{i}.jpg"))
        Image.fromarray(photos[i % 2][10 * i : 10 * i + 150, :150]).save(paths[-1])
    table = pd.DataFrame({"path": paths, "age": range(12), "weight": np.arange(12.0)})
    y = np.arange(12) % 2
    found = {"paths": paths, "y": y, "new_paths": paths[:6], "table": table}
    return {**found, "ask": lambda path: int(Path(path).stem) % 2}


def test_recipes_run(names, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    recipes = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(recipes) == 8
    for recipe in recipes:
        exec(compile(recipe, "README.md", "exec"), names)
    assert names["search"].best_score_ > 0.9
    assert names["tuned"].best_score_ > 0.9


def test_pictures_and_links_exist():
    for target in re.findall(r"\]\(([^):]+)\)", README):
        assert (ROOT / target).exists(), target


def list_table_rows(text):
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return rows[2:]  # without titles and rule


def test_benchmarks_are_those_that_were_measured():
    """The README shows ten rows of the table, and benchmarks/README.md shows all of them."""
    folder = ROOT / "benchmarks"
    stored = json.loads((folder / "reference.json").read_text())["rows"]
    measured = [f"| {' | '.join(Row(**row).format_cells())} |" for row in stored]
    table = (folder / "README.md").read_text().partition("\n## ")[0]
    assert list_table_rows(table) == measured
    shown = list_table_rows(README.partition("## Benchmarks")[2].partition("\n## ")[0])
    assert len(shown) == 10
    assert set(shown) <= set(measured)


def test_sections_are_in_order():
    order = [
        "## Two commands",
        "docs/quickstart.png",
        "## What is in the box",
        "## Recipes",
        "## Benchmarks",
        "## Citing",
        "## Contributing",
    ]
    places = [README.index(title) for title in order]
    assert places == sorted(places)


def test_every_extra_of_users_is_listed():
    table = README.partition("| extra |")[2].partition("\n\n")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert {*named, "docs", "examples", "test"} == set(project["optional-dependencies"])


def test_names_in_the_box_are_public():
    table = (
        README.partition("## What is in the box")[2].partition("\n\n")[2].partition("\n\n")[0]
    )
    first = "".join(line.split("|")[1] for line in table.splitlines())
    names = re.findall(r"`(\w+)`", first)
    assert len(names) > 20
    assert set(names) <= set(sklearn_transfer.__all__)
