"""Names, documentation and lazy loading of what users see."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import sklearn_transfer
from sklearn_transfer._documentation import SITE

STAGES = [
    "alignment",
    "columns",
    "extraction",
    "datasets",
    "finetuning",
    "heads",
    "plotting",
    "selection",
    "testing",
    "weighting",
]
PUBLIC = [
    (stage, name)
    for stage in STAGES
    for name in importlib.import_module(f"sklearn_transfer.{stage}").__all__
]


def public(stage, name):
    return getattr(importlib.import_module(f"sklearn_transfer.{stage}"), name)


@pytest.mark.parametrize("stage", STAGES)
def test_all_is_sorted(stage):
    names = importlib.import_module(f"sklearn_transfer.{stage}").__all__
    assert names == sorted(names)


def test_root_offers_every_estimator():
    estimators = [n for s, n in PUBLIC if inspect.isclass(public(s, n))]
    assert set(estimators) <= set(sklearn_transfer.__all__)
    for name in sklearn_transfer.__all__:
        assert getattr(sklearn_transfer, name) is not None


def test_root_lists_its_names():
    assert set(sklearn_transfer.__all__) <= set(dir(sklearn_transfer))
    assert sklearn_transfer.__all__ == sorted(sklearn_transfer.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Pretrained'"):
        sklearn_transfer.Pretrained  # noqa: B018


@pytest.mark.parametrize(("stage", "name"), PUBLIC)
def test_every_parameter_is_documented(stage, name):
    thing = public(stage, name)
    documented = re.findall(r"^(\w+)(?:, \w+)* : ", inspect.getdoc(thing), re.MULTILINE)
    for parameter in inspect.signature(thing).parameters:
        assert parameter in documented, parameter


@pytest.mark.parametrize(("stage", "name"), PUBLIC)
def test_docstring_has_sections_in_order_and_an_example(stage, name):
    doc = inspect.getdoc(public(stage, name))
    order = [
        "Parameters",
        "Returns",
        "Attributes",
        "See Also",
        "Notes",
        "References",
        "Examples",
    ]
    places = [doc.find(f"\n{title}\n{'-' * len(title)}\n") for title in order]
    found = [place for place in places if place >= 0]
    assert found == sorted(found)
    examples = doctest.DocTestParser().get_examples(doc)
    assert 1 <= len(examples) <= 12


@pytest.mark.parametrize(
    ("stage", "name"), [pair for pair in PUBLIC if inspect.isclass(public(*pair))]
)
def test_public_methods_are_documented(stage, name):
    for method, member in inspect.getmembers(public(stage, name), inspect.isfunction):
        if not method.startswith("_") and member.__module__.startswith("sklearn_transfer"):
            assert inspect.getdoc(member), method


def test_version_date_and_site_are_the_same_everywhere():
    """Until its day, the heading says "unreleased", and the citation has no date."""
    root = Path(__file__).parents[1]
    citation = (root / "CITATION.cff").read_text()
    version = sklearn_transfer.__version__
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE).group(1) == version
    assert f"url: {SITE}\n" in citation
    headings = re.findall(r"^## (\S+) \((.*)\)$", (root / "CHANGELOG.md").read_text(), re.M)
    assert headings[0][0] == version.partition(".dev")[0]
    dates = re.findall(r"^date-released: (\S+)$", citation, re.MULTILINE)
    assert [headings[0][1]] == (dates or ["unreleased"])
