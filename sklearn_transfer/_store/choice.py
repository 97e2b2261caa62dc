"""Choice of a store by the value of the parameter `cache`."""

import os
from difflib import get_close_matches

from sklearn_transfer._store.base import NullStore
from sklearn_transfer._store.disk import open_disk_store
from sklearn_transfer._store.memory import ActivationStore, MemoryStore, open_memory_store
from sklearn_transfer._validation import shorten

_LONGEST_NAME = 255  # bytes of the name of a file on the usual file systems
_ACTIVATIONS = "activations"


def choose_store(cache, *, activations=False):
    """Return the store that a value of `cache` asks for.

    Parameters
    ----------
    cache : None, "memory" or path-like
        Keep nothing, keep vectors in memory, or in a folder.
    activations : bool, default=False
        Whether it is for activations inside a network rather than for features. They are
        larger, are used by fewer, and must not drive features out: they are kept apart.

    Raises
    ------
    ValueError
        If `cache` is more likely a typing error than a folder.
    """
    if cache is None:
        return NullStore()
    if isinstance(cache, str) and cache == "memory":
        return open_memory_store(ActivationStore if activations else MemoryStore)
    folder = resolve_folder(cache)
    return open_disk_store(os.path.join(folder, _ACTIVATIONS) if activations else folder)


def resolve_folder(cache):
    """Return the folder that a value of `cache` means, with "~" as the home folder.

    Refuses what is more likely a typing error.
    """
    folder = os.path.expanduser(os.fspath(cache))
    is_file = os.path.exists(folder) and not os.path.isdir(folder)
    if os.path.isdir(folder):
        return folder
    near = isinstance(cache, str) and get_close_matches(
        folder.lower()[:20], ["memory"], 1, 0.9
    )
    names = [len(os.fsencode(name)) for name in folder.split(os.sep)]
    if near or not folder or is_file or max(names) > _LONGEST_NAME:
        problem = "is a file" if is_file else "is no folder"
        hint = " Did you mean 'memory'?" if near else ""
        raise ValueError(
            f"cache={shorten(cache)} {problem}; expected 'memory', None, or a folder, which"
            f" need not exist yet.{hint}"
        )
    return folder
