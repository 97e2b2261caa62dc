"""Configuration of the documentation site, which `make docs` builds with Sphinx."""

import os
import re
import socket
import warnings
from pathlib import Path

import sklearn_transfer

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

autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": True}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
myst_heading_anchors = 3


def is_reachable(host):
    """Tell whether a host answers, so that a build without a network does not warn."""
    try:
        socket.create_connection((host, 443), timeout=3).close()
    except OSError:
        return False
    return True


intersphinx_mapping = {
    name: (f"https://{host}/{path}", None)
    for name, host, path in [
        ("python", "docs.python.org", "3"),
        ("numpy", "numpy.org", "doc/stable"),
        ("sklearn", "scikit-learn.org", "stable"),
    ]
    if is_reachable(host)
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
html_sidebars = {"changelog": [], "benchmarks": []}

toc_object_entries_show_parents = "hide"
copybutton_exclude = ".linenos, .gp, .go"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"quickstart\.py",
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
    """Connect to Sphinx, and make the folder of lists of examples for names without one."""
    app.connect("autodoc-process-docstring", drop_references)
    Path(app.srcdir, "generated", "backreferences").mkdir(parents=True, exist_ok=True)
