"""Network file systems, told by tables of mounts, and refused by the store on disk."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._store import database, mounts
from sklearn_transfer._store.choice import choose_store
from sklearn_transfer._store.mounts import (
    find_in_mount_output,
    find_in_mountinfo,
    find_network,
    find_network_of_windows,
    is_network,
)
from tests.processes import call, caught
from tests.small_networks import CountingNet, trained_net
from tests.stores import look, make_store, put

LINUX = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /home rw,relatime shared:2 master:1 - nfs4 server:/home rw,vers=4.2
41 27 0:41 / /mnt/win rw,relatime - cifs //server/share rw,vers=3.1.1
42 27 0:42 / /net/data rw,relatime - autofs /etc/auto.net rw,fd=7
43 42 0:43 / /net/data rw,relatime - nfs server:/data rw
44 27 0:44 / /media/my\040disk\134x\011y rw,relatime - nfs server:/odd rw
45 27 0:40 /me/features /srv/features rw,relatime - nfs4 server:/home rw
46 40 254:0 /var/scratch /home/scratch rw,relatime - ext4 /dev/vda rw
47 27 0:47 / /mnt/ssh rw,relatime - fuse.sshfs host:/ rw
48 27 0:48 / /mnt/host rw,relatime - 9p host rw
49 27 0:49 / /var/lib/box rw,relatime - overlay overlay rw
50 27 0:50 / /net rw,relatime - autofs /etc/auto.net rw,fd=8
51 27 254:1 / /hidden/nfs rw - nfs server:/hidden rw
52 27 254:2 / /hidden rw - xfs /dev/vdb rw
"""
MACOS = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//me@server/My%20Share on /Volumes/My Share (smbfs, nodev, nosuid, mounted by me)
server:/export/on it on /Volumes/nfs (odd) (nfs, nodev, nosuid)
//me@server/afp on /Volumes/Caf\u00e9 (afpfs)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/tmp", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/features", "nfs4"),
        ("/homes", "ext4"),
        ("/mnt/win/a", "cifs"),
        ("/net/data/a", "nfs"),
        ("/net/other", "autofs"),
        ("/media/my disk\\x\ty/a", "nfs"),
        ("/srv/features/a", "nfs4"),
        ("/home/scratch/a", "ext4"),
        ("/mnt/ssh/a", "fuse.sshfs"),
        ("/mnt/host", "9p"),
        ("/var/lib/box/a", "overlay"),
    ],
)
def test_the_innermost_mount_of_linux_decides(path, kind):
    assert find_in_mountinfo(LINUX, path) == kind


def test_the_number_of_a_mount_goes_before_its_name():
    assert find_in_mountinfo(LINUX, "/hidden/nfs", "52") == "xfs"


def test_an_unknown_number_leaves_the_name():
    assert find_in_mountinfo(LINUX, "/home/me", "999") == "nfs4"


def test_a_damaged_table_says_nothing():
    assert find_in_mountinfo("\n40 27 0:40 / /home rw\n- -\nnonsense - nfs", "/home") is None


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/Users/me", "apfs"),
        ("/Volumes/My Share/a", "smbfs"),
        ("/volumes/my share/a", "smbfs"),
        ("/Volumes/nfs (odd)/a", "nfs"),
        ("/Volumes/Cafe\u0301/a", "afpfs"),
        ("/System/Volumes/Data/home/me", "autofs"),
    ],
)
def test_the_innermost_mount_of_macos_decides(path, kind):
    assert find_in_mount_output(MACOS, path) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "lustre"])
def test_kinds_of_networks_are_known(kind):
    assert is_network(kind)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "9p", "overlay", "fuse.sshfs", "apfs", "autofs", "tmpfs", None]
)
def test_other_kinds_count_as_local(kind):
    assert not is_network(kind)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (r"C:\data", None),
        (r"Z:\data", "a network drive"),
        ("Z:/data", "a network drive"),
        (r"\\server\share\data", "a network share"),
        ("//server/share/data", "a network share"),
        (r"\\?\UNC\server\share\data", "a network share"),
        (r"\\?\C:\data", None),
        (r"\\?\Z:\data", "a network drive"),
        (r"\\.\C:\data", None),
    ],
)
def test_shares_and_mapped_drives_of_windows_are_networks(path, found):
    assert find_network_of_windows(path, lambda root: 4 if root == "Z:\\" else 3) == found


def test_a_drive_of_windows_is_asked_for_by_its_root():
    asked = []
    find_network_of_windows(r"D:\a\b", asked.append)
    assert asked == ["D:\\"]


def test_a_local_folder_that_is_not_there_is_no_network(tmp_path):
    assert find_network(tmp_path / "a" / "b") is None
    assert not (tmp_path / "a").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="numbers of Linux's mounts")
def test_this_folder_has_the_number_of_a_mount(tmp_path):
    number = mounts._read_mount_number(str(tmp_path))
    with open("/proc/self/mountinfo") as file:
        assert number in [line.split()[0] for line in file]


def test_a_link_is_followed(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(mounts, "_read_mount_number", asked.append)
    (tmp_path / "link").symlink_to(tmp_path)
    find_network(tmp_path / "link" / "a")
    assert asked == [os.path.realpath(tmp_path)]


def test_on_macos_the_output_of_mount_decides(monkeypatch):
    run = subprocess.CompletedProcess([], 0, stdout=b"server:/a on / (nfs, nodev)\n")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: run)
    assert find_network("/tmp") == "nfs"


def test_without_a_table_a_folder_counts_as_local(monkeypatch):
    def fail(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(sys, "platform", "freebsd14")
    monkeypatch.setattr(subprocess, "run", fail)
    assert find_network("/tmp") is None


@pytest.fixture
def _on_nfs(monkeypatch):
    monkeypatch.setattr(database, "_told", set())
    monkeypatch.setattr(database, "find_network", lambda folder: "nfs4")


WARNING = r"is on a network file system \(nfs4\).*pass a folder on a local disk"


@pytest.mark.usefixtures("_on_nfs")
def test_a_network_gives_one_warning_and_no_file(tmp_path):
    store = make_store(tmp_path / "folder", memory=10)
    with pytest.warns(UserWarning, match=WARNING) as caught:
        put(store, [1, 2])
    store.close()
    assert look(make_store(tmp_path / "folder" / "activations"), [1]) != [1]
    assert len(caught) == 1
    assert not (tmp_path / "folder").exists()


@pytest.mark.usefixtures("_on_nfs")
def test_vectors_are_kept_in_memory_instead(tmp_path):
    store = make_store(tmp_path, memory=10)
    with pytest.warns(UserWarning, match=WARNING):
        put(store, [1, 2])
    store.close()
    assert look(store, [1, 2]) == [1, 2]
    assert store.bound == store._memory.bound


@pytest.mark.usefixtures("_on_nfs")
def test_clearing_makes_no_file_either(tmp_path):
    store = make_store(tmp_path, memory=10)
    with pytest.warns(UserWarning, match=WARNING):
        store.clear()
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("_on_nfs")
def test_a_file_of_another_machine_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / database.FILE
    path.write_bytes(b"of others")
    store = make_store(tmp_path, memory=10)
    with pytest.warns(UserWarning, match=WARNING):
        store.clear()
    assert path.read_bytes() == b"of others"


def test_a_folder_that_became_local_is_used_after_clearing(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_told", {"nfs4"})
    monkeypatch.setattr(database, "find_network", lambda folder: "nfs4")
    store = make_store(tmp_path, memory=10)
    put(store, [1])
    monkeypatch.undo()
    store.clear()
    put(store, [2])
    assert (tmp_path / database.FILE).exists()


def _transform_twice(folder):
    database.find_network = lambda folder: "nfs4"

    def work():
        images = np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3)
        extractor = PretrainedFeatures(trained_net(), cache=folder)
        extractor.fit_transform(images)
        extractor.transform(images)
        choose_store(folder, activations=True).info()
        return CountingNet.images_seen, extractor.cache_info().entries

    return caught(work)


def test_features_are_right_and_computed_once_by_a_process(tmp_path):
    (n_seen, n_entries), messages = call(_transform_twice, str(tmp_path / "folder"))
    assert (n_seen, n_entries) == (3, 3)
    assert len([m for m in messages if "network file system" in m]) == 1
