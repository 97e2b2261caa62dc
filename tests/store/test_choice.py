"""One function creates the store for a value of `cache`; all stores have one interface."""

import inspect
import os

import pytest

from sklearn_transfer._store.base import NullStore, Store
from sklearn_transfer._store.choice import choose_store, resolve_folder
from sklearn_transfer._store.disk import DiskStore
from sklearn_transfer._store.memory import ActivationStore, MemoryStore
from tests.stores import FILE, put

KINDS = [NullStore, MemoryStore, ActivationStore, DiskStore]


@pytest.mark.parametrize("activations", [False, True])
def test_none_keeps_nothing(activations):
    assert isinstance(choose_store(None, activations=activations), NullStore)


def test_memory_is_one_store_for_each_purpose():
    features, activations = choose_store("memory"), choose_store("memory", activations=True)
    assert type(features) is MemoryStore
    assert type(activations) is ActivationStore
    assert choose_store("memory") is features
    assert choose_store("memory", activations=True) is activations


def test_folder_has_activations_in_one_of_its_own(tmp_path):
    put(choose_store(tmp_path), [0])
    put(choose_store(str(tmp_path), activations=True), [0])
    assert (tmp_path / FILE).exists()
    assert (tmp_path / "activations" / FILE).exists()


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for cache in ("memry", "", tmp_path / "file"):
        with pytest.raises(ValueError, match=r"cache=.*expected 'memory', None, or a folder"):
            choose_store(cache)


def test_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert resolve_folder("~/cache") == os.path.join(tmp_path, "cache")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_store_with_the_declared_signatures(kind):
    assert issubclass(kind, Store)
    for name in sorted(Store.__abstractmethods__ - {"bound"}):
        ours = inspect.signature(getattr(kind, name))
        assert ours == inspect.signature(getattr(Store, name)), name


def test_every_member_of_the_interface_is_documented():
    for name in Store.__abstractmethods__:
        assert inspect.getdoc(inspect.getattr_static(Store, name)), name


def test_interface_cannot_be_used_alone():
    with pytest.raises(TypeError, match="abstract"):
        Store()
