"""Print the map of the package: each module with the first line of its docstring.

Run ``python docs/module_map.py``. The site's page on the architecture shows the same map.
"""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "sklearn_transfer"
STAGES = (  # as data flow; others follow in the order of the alphabet
    "_process",
    "_store",
    "_modalities",
    "_networks",
    "extraction",
    "weighting",
    "alignment",
    "heads",
    "finetuning",
    "selection",
)


def read_purpose(path):
    """Return the first line of the docstring of a module."""
    return ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]


def list_modules(folder):
    """Return pairs (name, first line) of the modules in a folder."""
    paths = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    return [(path.name, read_purpose(path)) for path in paths]


def list_folders(folder=PACKAGE):
    """Return the folders below one, each before those that it holds, as data flow."""

    def order(path):
        is_stage = path.name in STAGES and folder == PACKAGE
        return (STAGES.index(path.name) if is_stage else len(STAGES), path.name)

    found = [path.parent for path in folder.glob("*/__init__.py")]
    return [
        deeper for path in sorted(found, key=order) for deeper in (path, *list_folders(path))
    ]


def write_page(path):
    """Write the map as Markdown: a heading and a table for each folder."""
    lines = ["# Map of the modules"]
    for folder in (*list_folders(), PACKAGE):
        inside = folder.relative_to(PACKAGE).as_posix()
        title = "Beside the stages" if folder == PACKAGE else f"{inside}/"
        lines += ["", f"{'#' * min(inside.count('/') + 2, 3)} {title}", ""]
        if folder != PACKAGE:
            lines += [read_purpose(folder / "__init__.py"), ""]
        if modules := list_modules(folder):
            lines += ["| module | what it holds |", "| --- | --- |"]
            lines += [f"| `{name}` | {purpose} |" for name, purpose in modules]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    for folder in (*list_folders(), PACKAGE):
        print(
            f"\n{folder.relative_to(PACKAGE.parent)}/: {read_purpose(folder / '__init__.py')}"
        )
        for name, purpose in list_modules(folder):
            print(f"    {name}: {purpose}")
