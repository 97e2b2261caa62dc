"""Give the metadata the README, with links that work away from this repository."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent


def find_address(site, target):
    """Return where a file of the repository stands on the site, or None if it does not."""
    pages = {
        "CONTRIBUTING.md": "architecture.html",
        "benchmarks/README.md": "benchmarks.html",
        "docs/quickstart.png": "_images/quickstart.png",
        "examples": "auto_examples/index.html",
    }
    if target.endswith(".rst"):
        page = target.removeprefix("docs/").removesuffix(".rst") + ".html"
    else:
        page = pages.get(target)
    return None if page is None else f"{site}/{page}"


def read_description():
    """Return the README with links to the site, and text where there is no page."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def replace(match):
        text, target = match.groups()
        address = find_address(project["urls"]["Documentation"], target)
        return text.strip("[]") if address is None else f"{text}({address})"

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"(\[[^\]]*\])\(([^):]+)\)", replace, readme)


setup(long_description=read_description(), long_description_content_type="text/markdown")
