"""Compare the contents of an sdist and a wheel with the files tracked by git."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
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
    """Copy the files tracked by git, so that no other file can get into an archive."""
    folder = tmp_path_factory.mktemp("project")
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
def unpacked(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("build_sdist", project, folder)) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    [top] = (folder / "unpacked").iterdir()
    return top


def test_sdist_holds_every_tracked_file(unpacked):
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    made = {name for name in files if name == "PKG-INFO" or ".egg-info" in name}
    assert sorted(files - made) == tracked()


def test_wheel_holds_the_package_and_no_more(project, tmp_path):
    with zipfile.ZipFile(build("build_wheel", project, tmp_path)) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licenses = [name for name in archive.namelist() if name.endswith("LICENSE")]
    package = [name for name in tracked() if name.startswith("sklearn_transfer/")]
    assert sorted(names) == package
    assert "sklearn_transfer/py.typed" in names
    assert licenses


@pytest.mark.slow
def test_tests_of_the_sdist_run_from_it(unpacked):
    chosen = ["tests/heads/test_episodes.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *chosen]
    env = {**os.environ, "PYTHONPATH": str(unpacked)}
    run = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stdout + run.stderr
