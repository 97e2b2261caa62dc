"""The documentation site: its lists are complete, and the code of its pages runs."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import sklearn_transfer
from sklearn_transfer.datasets import load_photo_crops

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "index.rst", *sorted((DOCS / "howto").glob("*.rst")), DOCS / "concepts.rst"]
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
    has_callbacks = importlib.util.find_spec("sklearn.callback") is not None
    for page in PAGES:
        if page.name == "progress.rst" and not has_callbacks:  # scikit-learn < 1.9
            continue
        blocks = re.findall(r"code-block:: python\n\n((?:   .*\n|\n)+)", page.read_text())
        for block in blocks:
            code = re.sub("^   ", "", block, flags=re.MULTILINE)
            exec(compile(code, page.name, "exec"), names)
            if "load_photo_crops(" in block:  # fewer of them than a reader takes
                rows = np.random.default_rng(0).permutation(len(paths))
                names.update(paths=[str(paths[row]) for row in rows], y=y[rows])
    assert names["search"].best_score_ > 0.9
    assert names["served"].predict_proba(names["new_paths"]).shape == (8, 2)
