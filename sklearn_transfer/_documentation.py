"""Links from the HTML of estimators to their pages on the documentation site."""

import sys
from itertools import accumulate

# The one place that names the site, beside `[project.urls]` in pyproject.toml.
SITE = "https://sklearn-transfer.readthedocs.io/en/stable"


def find_public_name(cls):
    """Return the name under which a class stands on the site, or None for a private one.

    The page has the name of the first package, seen from the root, that lists the class in its
    `__all__`.
    """
    for package in accumulate(cls.__module__.split("."), "{}.{}".format):
        module = sys.modules.get(package)
        listed = getattr(module, "__all__", ())
        if cls.__name__ in listed and getattr(module, cls.__name__) is cls:
            return f"{package}.{cls.__name__}"
    return None


class LinksToDocumentation:
    """Gives an estimator the link that scikit-learn shows as a question mark in its HTML.

    Private estimators, which have no page, and subclasses of users get none.
    """

    @property
    def _doc_link_module(self):
        return "" if find_public_name(type(self)) is None else "sklearn_transfer"

    @property
    def _doc_link_template(self):
        # scikit-learn would fill in names of its own kind of page; this one is complete.
        return f"{SITE}/generated/{find_public_name(type(self))}.html"
