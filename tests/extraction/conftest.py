"""Fixtures for tests of what processes leave to later ones."""

import pytest

from sklearn_transfer._networks import opening
from sklearn_transfer._store import shelves


@pytest.fixture
def home(tmp_path, monkeypatch, fresh):
    folder = tmp_path / "home"
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME", str(folder))
    monkeypatch.setattr(shelves, "_unwritable", set())
    monkeypatch.setattr(shelves, "_told", set())
    return folder / "networks"


@pytest.fixture
def loads(monkeypatch):
    """Names of the networks that were loaded."""
    found, load = [], opening._load

    def note(model, *args, **options):
        found.append(model)
        return load(model, *args, **options)

    monkeypatch.setattr(opening, "_load", note)
    return found
