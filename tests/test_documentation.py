"""The HTML of each estimator links to its page on the documentation site."""

import inspect
import re
import tomllib
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

import sklearn_transfer
from sklearn_transfer import KMM, ImportanceWeighted, PretrainedFeatures, _documentation
from sklearn_transfer._documentation import SITE
from sklearn_transfer.finetuning import objectives
from sklearn_transfer.selection._baselines import RawPixels


def list_estimators():
    """Return the public estimators that can be made, by the names of their pages."""
    for package in (sklearn_transfer, objectives):
        for name in package.__all__:
            cls = getattr(package, name)
            is_estimator = inspect.isclass(cls) and issubclass(cls, BaseEstimator)
            if is_estimator and not inspect.isabstract(cls):
                yield f"{package.__name__}.{name}", cls


ESTIMATORS = dict(list_estimators())


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_every_estimator_links_to_its_page(name):
    cls = ESTIMATORS[name]
    assert cls.__new__(cls)._get_doc_link() == f"{SITE}/generated/{name}.html"


def test_html_of_nested_estimators_has_their_links():
    model = ImportanceWeighted(
        make_pipeline(PretrainedFeatures(), LogisticRegression()), KMM()
    )
    links = re.findall(r'href="([^"#]+)"', estimator_html_repr(model))
    ours = {link for link in links if link.startswith(SITE)}
    names = ["ImportanceWeighted", "KMM", "PretrainedFeatures"]
    assert ours == {f"{SITE}/generated/sklearn_transfer.{name}.html" for name in names}
    assert any("sklearn.linear_model.LogisticRegression" in link for link in links)


def test_an_estimator_without_a_page_has_no_link():
    assert RawPixels()._get_doc_link() == ""


def test_a_subclass_of_a_user_has_no_link():
    class Mine(PretrainedFeatures):
        pass

    assert Mine()._get_doc_link() == ""


def test_a_subclass_of_a_user_can_name_its_own_page():
    class Mine(PretrainedFeatures):
        _doc_link_module = __name__.split(".")[0]
        _doc_link_template = "https://example.org/{name}.html"

        def _doc_link_url_param_generator(self):
            return {"name": "mine"}

    assert Mine()._get_doc_link() == "https://example.org/mine.html"


def test_the_site_is_named_once(monkeypatch):
    monkeypatch.setattr(_documentation, "SITE", "../..")
    link = PretrainedFeatures()._get_doc_link()
    assert link == "../../generated/sklearn_transfer.PretrainedFeatures.html"


def test_the_metadata_name_the_same_site():
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Documentation"] == SITE
