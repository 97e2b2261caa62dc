"""Files from which a network is built, and whether they are still the same.

A file is known by its identity: device, inode, size and times. Only when that has changed is
its content digested.
"""

import os
import stat
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar

import xxhash

# Seconds within which the clock of a file system may give two changes the same time.
_TICK = 0.1
# Bytes that are digested at most, the smallest files first; of others the identity counts.
_DIGESTED = 1 << 30
_noted = ContextVar("noted", default=None)


@contextmanager
def collect_sources():
    """Context that collects what loaders note; yields a `Sources`."""
    sources = Sources()
    token = _noted.set(sources)
    try:
        yield sources
    finally:
        _noted.reset(token)


class Sources:
    """What a network was built from.

    Attributes
    ----------
    seen : dict
        Identities of files and folders by path, as they were when they were noted.
    is_known : bool or None
        Whether a loader has said that it noted everything that decides the network; None if
        none has said anything.
    has_own_code : bool
        Whether a user's own code built the network, so that its name does not tell which one
        it is.
    """

    def __init__(self):
        self.seen, self.is_known, self.has_own_code = {}, None, False

    def record(self):
        """Return entries (path, identity, digest), or None.

        It is None if something is not known, or has changed since it was noted.
        """
        if not self.is_known:
            return None
        if None in self.seen.values():
            return None
        entries, left = [], _DIGESTED
        for path, seen in sorted(self.seen.items(), key=lambda pair: pair[1][2]):
            left -= seen[2]
            entries.append((path, seen, _digest_path(path) if left >= 0 else None))
        is_steady = all(seen == identify(path) for path, seen, _ in entries)
        return tuple(entries) if is_steady else None


def note_source(path):
    """Note that a network depends on a file, or on which files there are in a folder."""
    sources = _noted.get()
    if sources is not None:
        path = os.path.abspath(path)
        if path not in sources.seen:
            sources.seen[path] = _identify_when_old(path)


def note_folder(folder):
    """Note all that is in a folder, and in the folders inside it."""
    for base, _, names in os.walk(folder):
        note_source(base)
        for name in names:
            note_source(os.path.join(base, name))


def note_revision(path, revision):
    """Note a snapshot of a hub that has a path, and which one the revision stands for."""
    repository, found, inner = os.path.abspath(path).rpartition(f"{os.sep}snapshots{os.sep}")
    commit = inner.partition(os.sep)[0]
    reference = os.path.join(repository, "refs", revision)
    if os.path.isfile(reference):
        note_source(reference)
    elif revision != commit or not found:  # it is not clear how the hub came from one to other
        note_unknown()
    note_folder(os.path.join(repository, "snapshots", commit))


def note_all_known():
    """Say that everything that decides the network is noted, if anything had to be."""
    sources = _noted.get()
    if sources is not None and sources.is_known is None:
        sources.is_known = True


def note_unknown():
    """Say that something decides the network that cannot be noted, such as a download."""
    sources = _noted.get()
    if sources is not None:
        sources.is_known = False


def note_own_code():
    """Note that a name stands for what a user's own code builds."""
    note_unknown()
    sources = _noted.get()
    if sources is not None:
        sources.has_own_code = True


def check_again(entries):
    """Return entries with present identities, or None if a file holds something else."""
    found = []
    for path, identity, digest in entries:
        present = identify(path)
        if present != identity:
            present = _identify_when_old(path)
            if digest is None or _digest_path(path) != digest or identify(path) != present:
                return None
        found.append((path, present, digest))
    return tuple(found)


def identify(path):
    """Return what tells a file from a changed one, or None if there is none."""
    with suppress(OSError):
        status = os.stat(path)
        times = (status.st_mtime_ns, status.st_ctime_ns)
        return (status.st_dev, status.st_ino, status.st_size, *times)
    return None


def _identify_when_old(path):
    """Return the identity of a file once a change of it would show in its times."""
    identity = identify(path)
    if identity is not None:
        age = time.time() - identity[-1] / 1e9
        if 0 <= age < _TICK:
            time.sleep(_TICK - age)
    return identity


def _digest_path(path):
    """Return a digest of a file or of the names in a folder (hex), None if not possible."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            names = "\0".join(sorted(os.listdir(path)))
            return xxhash.xxh3_128_hexdigest(os.fsencode(names))
        hasher = xxhash.xxh3_128()
        with open(path, "rb") as file:
            while part := file.read(1 << 22):
                hasher.update(part)
        return hasher.hexdigest()
    except OSError:
        return None
