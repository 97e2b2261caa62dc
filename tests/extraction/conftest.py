import pytest

from sklearn_transfer._networks.registry import clear_registry


@pytest.fixture
def fresh():
    """No networks, and so no engines, of other tests; nor are any left to them."""
    clear_registry()
    yield
    clear_registry()
