import sys

import pytest

from sklearn_transfer._networks.registry import clear_registry
from tests.stores import close_stores


@pytest.fixture(autouse=True)
def _no_open_stores():
    """Each test closes its folders, else hundreds of files stay open."""
    yield
    close_stores()


@pytest.fixture
def fresh():
    """No networks, and so no engines, of other tests; nor are any left to them."""
    clear_registry()
    yield
    clear_registry()


@pytest.fixture
def frequent_switches():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
