import pytest

from tests.stores import close_stores


@pytest.fixture(autouse=True)
def _no_open_stores():
    """Each test closes its folders, else hundreds of files stay open."""
    yield
    close_stores()
