"""The documentation site: its lists are complete, and the code of its pages runs."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import sklearn_transfer
from docs.check_links import find_broken_links
from sklearn_transfer.datasets import load_photo_crops
from tests.small_networks import Faces, Yolo

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "index.rst", *sorted((DOCS / "howto").glob("*.rst")), DOCS / "concepts.rst"]
GALLERY = sorted((DOCS.parent / "examples").rglob("plot_*.py"))
STAGES = sorted(
    name
    for name in sklearn_transfer.__all__
    if (DOCS.parent / "sklearn_transfer" / name).is_dir()
)


def list_names():
    """Public names, as the page on the API has them: those of the root without a stage."""
    names = {name for name in sklearn_transfer.__all__ if name not in {*STAGES, "datasets"}}
    for stage in [*STAGES, "datasets", "finetuning.objectives"]:
        module = importlib.import_module(f"sklearn_transfer.{stage}")
        names |= {f"{stage}.{name}" for name in module.__all__ if name not in names}
    return names


def test_every_public_name_has_a_page():
    listed = re.findall(r"^   ([A-Za-z][\w.]*)$", (DOCS / "api.rst").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(list_names())


@pytest.mark.parametrize("name", sorted(list_names()))
def test_every_public_name_has_an_example(name):
    """One in its docstring, which is executed, or in the gallery, to which its page links."""
    place, _, last = f"sklearn_transfer.{name}".rpartition(".")
    doc = inspect.getdoc(getattr(importlib.import_module(place), last))
    used = any(re.search(rf"\b{last}\b", path.read_text()) for path in GALLERY)
    assert used or doctest.DocTestParser().get_examples(doc), name


def test_pages_of_the_gallery_are_in_folders():
    """Links from estimators to their pages, which begin with ../.., rely on this."""
    assert {len(path.relative_to(DOCS.parent / "examples").parts) for path in GALLERY} == {2}


def write_site(folder, **pages):
    for name, body in pages.items():
        (folder / f"{name}.html").write_text(f"<html><body>{body}</body></html>")
    return find_broken_links(folder)[1]


def test_links_to_pages_places_and_pictures_are_found(tmp_path):
    (tmp_path / "picture.png").touch()
    first = '<h1 id="top">A</h1><a href="second.html#part%20two">B</a><a href="#top">C</a>'
    second = '<p id="part two"><img src="picture.png"><a href="https://example.org">D</a>'
    assert write_site(tmp_path, first=first, second=second) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="second.html">', "second.html: no such file"),
        ('<a href="first.html#below">', "first.html#below: no such place in the page"),
        ('<a href="#below">', "#below: no such place in the page"),
        ('<img src="folder/picture.png">', "folder/picture.png: no such file"),
    ],
)
def test_broken_links_are_named(tmp_path, body, fault):
    assert write_site(tmp_path, first=body) == [f"first.html: {fault}"]


@pytest.mark.slow
def test_code_of_pages_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths, y = load_photo_crops(
        6, size=64, classes=["flower", "pagoda"], folder=tmp_path / "old", return_X_y=True
    )
    new_paths, new_y = load_photo_crops(
        4, size=64, classes=["flower", "pagoda"], folder=tmp_path / "new", return_X_y=True
    )
    answers = dict(zip(map(str, new_paths), new_y, strict=True))
    names = {"ask": lambda path: answers[str(path)], "new_paths": [str(p) for p in new_paths]}
    names |= {"detector": Yolo(), "face_network": Faces()}
    for page in PAGES:
        blocks = re.findall(r"code-block:: python\n\n((?:   .*\n|\n)+)", page.read_text())
        for block in blocks:
            code = re.sub("^   ", "", block, flags=re.MULTILINE)
            exec(compile(code, page.name, "exec"), names)
            if "load_photo_crops(" in block:  # fewer of them than a reader takes
                rows = np.random.default_rng(0).permutation(len(paths))
                names.update(paths=[str(paths[row]) for row in rows], y=y[rows])
    assert names["search"].best_score_ > 0.9
    assert names["served"].predict_proba(names["new_paths"]).shape == (8, 2)
