"""Features as in a process that has just begun."""

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._networks.registry import clear_registry
from tests.stores import close_stores


def compute(crops, start_anew=True, **options):
    """Features of crops, as in a process that has just begun."""
    if start_anew:
        clear_registry()
        close_stores()
    options = {"model": "test_resnet", "weights": None, **options}
    return PretrainedFeatures(**options).fit(crops).transform(crops)
