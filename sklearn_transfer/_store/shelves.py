"""Shelves: checked files about networks, beside the vectors and in the user's cache folder.

They hold what lets a later process do without the libraries that built a network: manifests,
and graphs that an engine runs. Each file begins with a checksum over its name and content, so
a damaged file, or one that took the place of another, is noticed and made anew. The check is
against damage, and not against someone who can write the folder; what is read is data, of
which nothing is executed.
"""

import os
import re
import stat
import sys
import time
import uuid
import warnings
from contextlib import suppress

import xxhash

from sklearn_transfer._store.base import read_limit
from sklearn_transfer._store.choice import resolve_folder
from sklearn_transfer._validation import shorten

_HOME, _LIMIT = "SKLEARN_TRANSFER_HOME", "SKLEARN_TRANSFER_HOME_BYTES"
_DEFAULT_LIMIT = 2 << 30
_FOLDER, _NAME = "networks", "sklearn_transfer"
_CHECKSUM = 16  # bytes
_LARGEST = (1 << 30) + _CHECKSUM  # bytes of a file that is kept
_TEMPORARY, _GO_LAST = ".part", ".manifest"
# The folder may be one that the user fills too; nothing else in it is ever removed.
_OWN_NAME = re.compile(r"[0-9a-f]{32}\.[a-z]+")
# Seconds after which a file that a killed process was writing is removed, and between two
# notes of when a file was used.
_ABANDONED, _NOTED_EVERY = 3600.0, 3600.0
# Folders that cannot be written, and files of which a warning has told, in this process.
_unwritable, _told = set(), set()


class Shelf:
    """A folder of checked files; those used longest ago are removed when it is full.

    Parameters
    ----------
    folder : str
        It is made when the first file is written.
    is_named : bool, default=False
        Whether the user named it, so that a warning tells if it cannot be written.
    """

    def __init__(self, folder, is_named=False):
        self.folder, self.is_named = folder, is_named

    def read(self, name):
        """Return the content of a file, or None where there is no sound one.

        A damaged file gives one warning.
        """
        path = os.path.join(self.folder, name)
        try:
            with open(path, "rb", opener=_open_at_once) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
                    return None
                checksum = file.read(_CHECKSUM)
                content = file.read(max(status.st_size - _CHECKSUM, 0))
        except OSError:
            return None
        if checksum != _compute_checksum(name, content):
            self._warn_of_damage(path)
            return None
        if time.time() - status.st_mtime > _NOTED_EVERY:
            with suppress(OSError):
                os.utime(path)
        return content

    def list_names(self, beginning, ending):
        """Return the names of files with that beginning and ending, small files first."""
        found = []
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith(beginning) and entry.name.endswith(ending):
                    with suppress(OSError):  # others may have removed it
                        found.append((entry.stat().st_size, entry.name))
        return [name for _, name in sorted(found)]

    def write(self, name, content):
        """Write a file whole or not at all; where that is impossible, none is written."""
        if self.folder in _unwritable:
            return
        try:
            os.makedirs(self.folder, exist_ok=True)
            if not self._make_room(_CHECKSUM + len(content)):
                return
            part = os.path.join(self.folder, f"{uuid.uuid4().hex}{_TEMPORARY}")
            try:
                with open(part, "xb") as file:
                    file.write(_compute_checksum(name, content))
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                self._put_in_place(part, name)
            except BaseException:
                with suppress(OSError):
                    os.remove(part)
                raise
        except OSError as error:
            self._give_up(error)

    def _put_in_place(self, part, name):
        """Give a written file its name, unless what has it already cannot be replaced.

        That says nothing about other names. On Windows, it may be a file that is being read.
        """
        path = os.path.join(self.folder, name)
        try:
            os.replace(part, path)
        except (IsADirectoryError, PermissionError):
            os.remove(part)
            if os.path.isdir(path):
                self._warn_of_obstacle(path)

    def _make_room(self, n_bytes):
        """Remove files used longest ago, and what killed processes have left.

        Manifests, which are small and without which graphs are of no use, go after graphs.
        Returns whether there is room then.
        """
        limit = read_limit(_LIMIT, _DEFAULT_LIMIT)
        if n_bytes > min(limit, _LARGEST):
            return False
        found, now = [], time.time()
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if not _OWN_NAME.fullmatch(entry.name):
                    continue
                with suppress(OSError):  # others may have removed it
                    status = entry.stat(follow_symlinks=False)
                    age = now - status.st_mtime
                    if entry.name.endswith(_TEMPORARY) and age > _ABANDONED:
                        os.remove(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        turn = (entry.name.endswith(_GO_LAST), status.st_mtime)
                        found.append((turn, status.st_size, entry.path))
        excess = sum(size for _, size, _ in found) + n_bytes - limit
        for _, size, path in sorted(found):
            if excess <= 0:
                break
            with suppress(OSError):
                os.remove(path)
            excess -= size
        return True

    def _give_up(self, error):
        """Write no more to this folder in this process.

        The store of a folder warns of its own file, which lies beside; and nobody has asked
        for the default folder.
        """
        _unwritable.add(self.folder)
        if self.is_named:
            warnings.warn(
                f"The folder {shorten(self.folder)} in {_HOME} cannot be written ({error}), so"
                " networks are prepared anew in each process; make room, name another folder,"
                f" or turn it off by {_HOME}=0",
                UserWarning,
                stacklevel=2,
            )

    def _warn_of_damage(self, path):
        if path in _told:
            return
        _told.add(path)
        warnings.warn(
            f"The file {shorten(path)} about a network is damaged and is made anew; features"
            " are right",
            UserWarning,
            stacklevel=2,
        )

    def _warn_of_obstacle(self, path):
        if self.folder in _told:
            return
        _told.add(self.folder)
        warnings.warn(
            f"{shorten(path)} is a folder in the place of a file about a network, so what is"
            " known about the network is made anew in each process; remove the folder",
            UserWarning,
            stacklevel=2,
        )


class Shelves:
    """Several shelves: a file is read from the first that has it, and written to all.

    Parameters
    ----------
    shelves : list of Shelf
    """

    def __init__(self, shelves):
        self.shelves = shelves

    def __iter__(self):
        return iter(self.shelves)

    def read(self, name):
        """Return the content of a file, or None where no shelf has a sound one.

        A shelf that lacks it is given a copy.
        """
        lacking = []
        for shelf in self.shelves:
            content = shelf.read(name)
            if content is not None:
                for other in lacking:
                    other.write(name, content)
                return content
            lacking.append(shelf)
        return None

    def list_names(self, beginning, ending):
        """Return the names of files on any of the shelves, as `Shelf.list_names` does."""
        found = [name for s in self.shelves for name in s.list_names(beginning, ending)]
        return list(dict.fromkeys(found))

    def write(self, name, content):
        for shelf in self.shelves:
            shelf.write(name, content)


def find_shelves(cache):
    """Return the shelves for a value of the parameter `cache`.

    The first is beside the vectors, if `cache` is a folder, and the second in the user's
    cache folder, unless it is turned off.
    """
    found = []
    if cache is not None and cache != "memory":
        found.append(Shelf(os.path.join(resolve_folder(cache), _FOLDER)))
    home = find_home()
    if home is not None:
        found.append(Shelf(os.path.join(home, _FOLDER), _HOME in os.environ))
    return Shelves(found)


def find_home():
    """Return the user's cache folder of this package, or None if there is none.

    The environment variable SKLEARN_TRANSFER_HOME names it; "0" turns it off.
    """
    value = os.environ.get(_HOME, "")
    if value == "0":
        return None
    if value:
        return os.path.abspath(os.path.expanduser(value))
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
        return os.path.join(base, _NAME, "Cache") if base else None
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache")
    return os.path.join(base, _NAME) if os.path.isabs(base) else None


def _open_at_once(path, flags):
    """Open a file; unlike `open` alone, this does not wait for the writer of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _compute_checksum(name, content):
    hasher = xxhash.xxh3_128(f"{name} {len(content)} ".encode())
    hasher.update(content)
    return hasher.digest()
