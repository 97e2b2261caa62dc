"""Configuration of the documentation site, which `make docs` builds with Sphinx."""

import os
import re
import sys
import warnings
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from subprocess import CalledProcessError
from urllib.request import Request, urlopen

import sklearn_transfer
from sklearn_transfer import _documentation

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from module_map import write_page

from benchmarks.texts import fetch_archive, locate_archive

# Links from the HTML of estimators stay on this site, whose gallery has pages in folders.
_documentation.SITE = "../.."

# As many threads as a small laptop has, so that times in the gallery are comparable.
os.environ.setdefault("OMP_NUM_THREADS", "2")
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

project = "sklearn_transfer"
author = "The sklearn_transfer developers"
copyright = f"2026, {author}"
version = release = sklearn_transfer.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
default_role = "literal"  # single backticks in docstrings are code
smartquotes = False  # types and defaults in docstrings are code

autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": True}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
myst_heading_anchors = 3


def fetch_inventory(name, site):
    """Return a file with the names that another site documents, or None without a network.

    Sphinx would warn if it could not fetch one, and warnings are errors here. A file of an
    earlier build is used again.
    """
    path = Path(__file__).parent / "generated" / "inventories" / f"{name}.inv"
    request = Request(f"{site}/objects.inv", headers={"User-Agent": "Mozilla/5.0"})
    with suppress(OSError, HTTPException), urlopen(request, timeout=5) as reply:
        content = reply.read()
        if content.startswith(b"# Sphinx inventory version 2"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return str(path) if path.exists() else None


intersphinx_mapping = {
    name: (site, inventory)
    for name, site in {
        "python": "https://docs.python.org/3",
        "numpy": "https://numpy.org/doc/stable",
        "sklearn": "https://scikit-learn.org/stable",
    }.items()
    if (inventory := fetch_inventory(name, site))
}

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_transfer"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {page: [] for page in ("architecture", "benchmarks", "changelog", "concepts")}

toc_object_entries_show_parents = "hide"
copybutton_exclude = ".linenos, .gp, .go"


def choose_examples():
    """Return the pattern of examples to run: two read texts, which pip fetches once.

    Without the texts and a network, their pages have the code without its results.
    """
    with suppress(CalledProcessError):
        fetch_archive()
    return "plot_" if locate_archive().exists() else "plot_(?!text)"


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": choose_examples(),
    "ignore_pattern": r"(^|[/\\])(?!plot_)[^/\\]+\.py$",  # programs and scripts
    "doc_module": ("sklearn_transfer",),
    "backreferences_dir": "generated/backreferences",
    "reference_url": {"sklearn_transfer": None},
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "min_reported_time": 60,
    "plot_gallery": "True",
}


def drop_references(app, what, name, obj, options, lines):
    """Make text of references to scikit-learn's site, in docstrings that come from it."""
    lines[:] = [
        re.sub(r":(ref|term):`([^`<]+?)(\s*<[^>]*>)?`", r"\2", line)
        for line in lines
        if "sphx_glr_auto_examples_miscellaneous" not in line
        and "for an example on how" not in line
    ]


def setup(app):
    """Connect to Sphinx, and make what pages include: the map, lists of examples."""
    app.connect("autodoc-process-docstring", drop_references)
    write_page(Path(app.srcdir, "generated", "map.md"))
    Path(app.srcdir, "generated", "backreferences").mkdir(parents=True, exist_ok=True)
