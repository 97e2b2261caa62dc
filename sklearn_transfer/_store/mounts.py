"""Network file systems, on which several machines would share a folder.

SQLite's log lies in memory that the processes of one machine share, and its locks, as those
that tell whether a process lives, are not reliable between machines. FUSE, overlay and 9p
count as local, since most folders on them belong to one machine.
"""

import ntpath
import os
import re
import subprocess
import sys
import unicodedata
from contextlib import suppress

# Names of file systems as Linux, macOS and the BSDs write them, without a version at the end.
_NETWORK = {
    *("afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "gpfs", "lustre", "mmfs"),
    *("ncp", "ncpfs", "nfs", "orangefs", "panfs", "pvfs", "smb", "smbfs", "webdav", "wekafs"),
}
_REMOTE_DRIVE = 4  # DRIVE_REMOTE of Windows
_OCTAL = re.compile(r"\\([0-7]{3})")
_PATIENCE = 10  # seconds, for a program that lists mounts


def find_network(folder):
    """Return the name of the network file system that a folder would be on, or None.

    The folder need not exist; nothing is made. Where the system does not tell, it is None.
    """
    path = os.path.realpath(folder)
    if sys.platform == "win32":
        return find_network_of_windows(path, _ask_drive_type)
    while not os.path.isdir(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    with suppress(OSError, subprocess.SubprocessError):
        if sys.platform.startswith("linux"):
            number = _read_mount_number(path)  # first, since it mounts what is not yet there
            with open("/proc/self/mountinfo", "rb") as file:
                table = os.fsdecode(file.read())
            kind = find_in_mountinfo(table, path, number)
        else:
            command = ["/sbin/mount"]
            run = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=True)
            kind = find_in_mount_output(os.fsdecode(run.stdout), path)
        return kind if is_network(kind) else None
    return None


def is_network(kind):
    """Return whether a file system of that kind is known to belong to several machines."""
    return kind is not None and kind.lower().rstrip("0123456789") in _NETWORK


def find_in_mountinfo(table, path, number=None):
    """Return the kind of file system of a path by the table that Linux keeps, or None.

    Parameters
    ----------
    table : str
        Content of /proc/self/mountinfo. A bind mount has the kind of what it shows.
    path : str
        Absolute and without links.
    number : str, default=None
        Number of the mount that the path is on. None goes by names of folders; a mount that
        a later one hides is then taken for the place of the path.
    """
    mounts = []
    for line in table.split("\n"):  # names may hold other breaks of lines
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) > 4 and right:
            point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4])
            kind = right.split(" ")[0]
            if fields[0] == number:
                return kind
            mounts.append((point, kind))
    return _find_nearest(mounts, path)


def find_in_mount_output(table, path):
    """Return the kind of file system of a path by what `mount` of macOS and the BSDs prints.

    Case and the form of accents do not count, as on the usual file systems of macOS.
    """
    mounts = []
    for line in table.splitlines():
        found = re.fullmatch(r".*? on (/.*) \(([^,()]+).*\)", line)
        if found:
            mounts.append((_normalize(found[1]), found[2]))
    return _find_nearest(mounts, _normalize(path))


def find_network_of_windows(path, ask_drive_type):
    """Return what a path of Windows is on if that is another machine, or None.

    Parameters
    ----------
    path : str
        Absolute, as `realpath` gives it: mapped drives and links are resolved where possible.
    ask_drive_type : callable
        GetDriveTypeW of Windows, which takes the root of a drive.
    """
    plain = path.replace("/", "\\")
    drive = ntpath.splitdrive(plain)[0]
    if plain.upper().startswith("\\\\?\\UNC\\"):
        return "a network share"
    if plain.startswith(("\\\\?\\", "\\\\.\\")):
        plain = plain[4:]
        drive = ntpath.splitdrive(plain)[0]
    elif plain.startswith("\\\\"):
        return "a network share"
    is_remote = bool(drive) and ask_drive_type(f"{drive}\\") == _REMOTE_DRIVE
    return "a network drive" if is_remote else None


def _find_nearest(mounts, path):
    """Return the kind of the innermost mount above a path; of equal ones, the last made."""
    found, deepest = None, -1
    for point, kind in mounts:
        folder = point.rstrip("/")
        if (path == folder or path.startswith(f"{folder}/")) and len(folder) >= deepest:
            found, deepest = kind, len(folder)
    return found


def _read_mount_number(path):
    """Return the number of the mount that a path is on, or None where Linux does not tell."""
    # Unlike `stat`, to open a folder for reading mounts it if it is mounted on demand.
    for flags in (os.O_RDONLY | os.O_DIRECTORY, os.O_PATH):
        with suppress(OSError):
            descriptor = os.open(path, flags | os.O_CLOEXEC)
            try:
                with open(f"/proc/self/fdinfo/{descriptor}") as file:
                    found = re.search(r"^mnt_id:\s*(\d+)", file.read(), re.MULTILINE)
            finally:
                os.close(descriptor)
            return found[1] if found else None
    return None


def _normalize(path):
    return unicodedata.normalize("NFD", path).casefold()


def _ask_drive_type(root):
    import ctypes

    return ctypes.windll.kernel32.GetDriveTypeW(root)
