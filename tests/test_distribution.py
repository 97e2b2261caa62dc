"""Compare the contents of an sdist and a wheel with the files tracked by git."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from twine.commands.check import check

from sklearn_transfer._documentation import SITE

ROOT = Path(__file__).parents[1]
LEFTOVERS = [
    "benchmarks/latest.json",
    "docs/_build/index.html",
    "docs/auto_examples/index.rst",
    "docs/generated/backreferences/page.examples",
    "docs/sg_execution_times.rst",
    "quickstart.png",
    "sklearn_transfer/__pycache__/datasets.cpython-311.pyc",
    "tests/__pycache__/conftest.cpython-311.pyc",
]
BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""
FIRST_USE = """
import numpy as np
import sklearn_transfer
print(sklearn_transfer.__file__)
images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
features = sklearn_transfer.PretrainedFeatures(engine="torch", device="cpu")
print(features.fit_transform(images).shape)
"""


def tracked():
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout of git, which tells the files of the project")
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Copy the files tracked by git, and add some of those that programs leave behind."""
    folder = tmp_path_factory.mktemp("project")
    for name in LEFTOVERS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("left behind")
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def build(kind, project, folder):
    """Build an archive without isolation and without a network; return its path."""
    command = [sys.executable, "-c", BUILD, kind, str(folder)]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    return folder / run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(project, tmp_path_factory):
    return build("build_sdist", project, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(project, tmp_path_factory):
    return build("build_wheel", project, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(sdist):
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent / "unpacked", filter="data")
    [top] = (sdist.parent / "unpacked").iterdir()
    return top


def test_sdist_holds_every_tracked_file(unpacked):
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    made = {name for name in files if name == "PKG-INFO" or ".egg-info" in name}
    assert sorted(files - made) == tracked()


def test_wheel_holds_the_package_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licenses = [name for name in archive.namelist() if name.endswith("LICENSE")]
    package = [name for name in tracked() if name.startswith("sklearn_transfer/")]
    assert sorted(names) == package
    assert "sklearn_transfer/py.typed" in names
    assert licenses


def test_an_index_accepts_both_archives(sdist, wheel):
    assert not check([str(sdist), str(wheel)], strict=True)


def test_links_of_the_description_work_away_from_the_repository(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        description = archive.read(name).decode().partition("\n\n")[2]
    links = re.findall(r"\]\(([^)]*)\)", description)
    assert len(links) > 10
    for link in links:
        assert link.startswith(f"{SITE}/"), link
        page = link.removeprefix(f"{SITE}/")
        if page not in ("_images/quickstart.png", "auto_examples/index.html"):
            sources = [ROOT / "docs" / page.replace(".html", end) for end in (".rst", ".md")]
            assert any(source.exists() for source in sources), link


def test_the_wheel_works_without_the_repository(wheel, tmp_path):
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-W", "error", "-c", FIRST_USE]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
    assert run.stderr == ""
    place, shape = run.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path / "installed")
    assert shape == "(2, 1280)"


@pytest.mark.slow
def test_tests_of_the_sdist_run_from_it(unpacked):
    chosen = ["tests/heads/test_episodes.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *chosen]
    env = {**os.environ, "PYTHONPATH": str(unpacked)}
    run = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stdout + run.stderr
