"""Shelves: files about networks, checked, bounded, and written whole."""

import os
import sys
import time

import pytest

from sklearn_transfer._store import shelves
from sklearn_transfer._store.shelves import Shelf, Shelves, find_home, find_shelves

NAMES = [f"{number:032x}.graph" for number in range(9)]


@pytest.fixture(autouse=True)
def _as_new(monkeypatch):
    monkeypatch.setattr(shelves, "_unwritable", set())
    monkeypatch.setattr(shelves, "_told", set())


@pytest.fixture
def shelf(tmp_path):
    return Shelf(str(tmp_path / "shelf"))


def files_of(shelf):
    return sorted(os.listdir(shelf.folder))


def test_content_is_read_as_it_was_written(shelf):
    shelf.write(NAMES[0], b"content")
    assert shelf.read(NAMES[0]) == b"content"


def test_there_is_nothing_before_it_is_written(shelf):
    assert shelf.read(NAMES[0]) is None


def test_a_file_written_again_has_the_new_content(shelf):
    shelf.write(NAMES[0], b"content")
    shelf.write(NAMES[0], b"other")
    assert shelf.read(NAMES[0]) == b"other"
    assert files_of(shelf) == NAMES[:1]


@pytest.mark.parametrize("length", [0, 3, 16, 20])
def test_a_truncated_file_is_not_read(shelf, length, tmp_path):
    shelf.write(NAMES[0], b"content")
    path = tmp_path / "shelf" / NAMES[0]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.warns(UserWarning, match="is damaged and is made anew"):
        assert shelf.read(NAMES[0]) is None


def test_a_file_under_the_name_of_another_is_not_read(shelf, tmp_path):
    shelf.write(NAMES[0], b"content")
    os.rename(tmp_path / "shelf" / NAMES[0], tmp_path / "shelf" / NAMES[1])
    with pytest.warns(UserWarning, match="is damaged"):
        assert shelf.read(NAMES[1]) is None


def put_a_folder(path, large):
    path.mkdir()


def put_a_pipe(path, large):
    os.mkfifo(path)


def put_a_device(path, large):
    path.symlink_to("/dev/zero")


def put_a_large_file(path, large):
    with open(path, "wb") as file:
        file.truncate(large + 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files.")
@pytest.mark.parametrize("put", [put_a_folder, put_a_pipe, put_a_device, put_a_large_file])
def test_what_no_shelf_writes_is_not_read(put, shelf, tmp_path):
    shelf.write(NAMES[0], b"content")
    path = tmp_path / "shelf" / NAMES[0]
    path.unlink()
    put(path, shelves._LARGEST)
    assert shelf.read(NAMES[0]) is None
    if put is not put_a_folder:
        shelf.write(NAMES[0], b"other")
        assert shelf.read(NAMES[0]) == b"other"


def test_a_folder_in_the_place_of_a_file_is_told_once_and_others_are_written(shelf, tmp_path):
    for name in NAMES[:2]:
        (tmp_path / "shelf" / name).mkdir(parents=True)
    with pytest.warns(UserWarning, match=f"{NAMES[0]}.*remove the folder"):
        shelf.write(NAMES[0], b"content")
    for name in NAMES[:3]:
        shelf.write(name, b"content")  # without another warning
    assert shelf.read(NAMES[2]) == b"content"
    assert files_of(shelf) == NAMES[:3]  # and no part is left


def test_a_file_that_cannot_be_replaced_does_not_keep_others_from_being_written(
    shelf, monkeypatch
):
    replace = os.replace

    def refuse(source, target):
        if target.endswith(NAMES[0]):  # as on Windows, while somebody reads it
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    for name in NAMES[:2]:
        shelf.write(name, b"content")
    assert files_of(shelf) == NAMES[1:2]


def test_damage_is_told_once(shelf, tmp_path):
    shelf.write(NAMES[0], b"content")
    (tmp_path / "shelf" / NAMES[0]).write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"):
        shelf.read(NAMES[0])
    assert shelf.read(NAMES[0]) is None


def test_files_used_longest_ago_go_first(shelf, monkeypatch, tmp_path):
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME_BYTES", "350")
    for age, name in enumerate(NAMES[:3]):
        shelf.write(name, bytes(100))
        moment = time.time() - 10 * age
        os.utime(tmp_path / "shelf" / name, (moment, moment))
    shelf.write(NAMES[3], bytes(100))
    assert files_of(shelf) == [NAMES[0], NAMES[1], NAMES[3]]


def test_graphs_go_before_manifests(shelf, monkeypatch, tmp_path):
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME_BYTES", "350")
    manifests = [f"{number:032x}.manifest" for number in range(3)]
    for age, name in enumerate([*manifests[:2], *NAMES[:1]]):
        shelf.write(name, bytes(80))
        moment = time.time() - 1000 + 10 * age
        os.utime(tmp_path / "shelf" / name, (moment, moment))
    shelf.write(NAMES[1], bytes(80))
    assert files_of(shelf) == sorted([*manifests[:2], NAMES[1]])
    shelf.write(manifests[2], bytes(200))
    assert files_of(shelf) == manifests[1:]  # the oldest of them at last


def test_what_is_larger_than_the_bound_is_not_written(shelf, monkeypatch):
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME_BYTES", "100")
    shelf.write(NAMES[1], b"content")
    shelf.write(NAMES[0], bytes(100))
    assert files_of(shelf) == NAMES[1:2]


def test_files_of_others_stay(shelf, monkeypatch, tmp_path):
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME_BYTES", "200")
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "thesis.txt").write_bytes(bytes(1000))
    for name in NAMES:
        shelf.write(name, bytes(100))
    assert files_of(shelf) == [NAMES[-1], "thesis.txt"]


def test_parts_of_a_killed_process_are_removed_later(shelf, tmp_path):
    shelf.write(NAMES[0], b"content")
    part = tmp_path / "shelf" / ("a" * 32 + ".part")
    part.write_bytes(b"half")
    shelf.write(NAMES[1], b"content")
    assert part.exists()  # somebody may be writing it
    os.utime(part, (0, 0))
    shelf.write(NAMES[2], b"content")
    assert not part.exists()


def test_a_write_that_fails_leaves_nothing(shelf, monkeypatch):
    shelf.write(NAMES[0], b"content")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    shelf.write(NAMES[1], b"content")
    assert files_of(shelf) == NAMES[:1]


def test_a_folder_that_the_user_named_is_warned_of(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot be written .* or turn it off"):
        Shelf(str(tmp_path / "file" / "networks"), is_named=True).write(NAMES[0], b"content")


def test_a_shelf_that_lacks_a_file_is_given_a_copy(tmp_path):
    first, second = Shelf(str(tmp_path / "a")), Shelf(str(tmp_path / "b"))
    second.write(NAMES[0], b"content")
    assert Shelves([first, second]).read(NAMES[0]) == b"content"
    assert first.read(NAMES[0]) == b"content"


def test_damage_on_one_shelf_is_mended_from_another(tmp_path):
    both = Shelves([Shelf(str(tmp_path / "a")), Shelf(str(tmp_path / "b"))])
    both.write(NAMES[0], b"content")
    (tmp_path / "a" / NAMES[0]).write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="is damaged"):
        assert both.read(NAMES[0]) == b"content"
    assert next(iter(both)).read(NAMES[0]) == b"content"


def test_shelves_are_beside_the_vectors_and_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME", str(tmp_path / "home"))
    found = [shelf.folder for shelf in find_shelves(tmp_path / "cache")]
    assert found == [str(tmp_path / "cache" / "networks"), str(tmp_path / "home" / "networks")]


@pytest.mark.parametrize("cache", [None, "memory"])
def test_without_a_folder_there_is_the_home_alone(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME", str(tmp_path))
    assert [shelf.folder for shelf in find_shelves(cache)] == [str(tmp_path / "networks")]


def test_zero_turns_the_home_off(monkeypatch):
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME", "0")
    assert find_home() is None


HOMES = [
    ("linux", {"XDG_CACHE_HOME": "/x/cache"}, "/x/cache/sklearn_transfer"),
    ("linux", {"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/sklearn_transfer"),
    ("linux", {"XDG_CACHE_HOME": "relative"}, None),
    ("darwin", {"HOME": "/h"}, "/h/Library/Caches/sklearn_transfer"),
    ("win32", {"LOCALAPPDATA": "/l"}, "/l/sklearn_transfer/Cache"),
    ("win32", {"LOCALAPPDATA": ""}, None),
    ("linux", {"SKLEARN_TRANSFER_HOME": "~/mine", "HOME": "/h"}, "/h/mine"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="paths are written as POSIX has them")
@pytest.mark.parametrize(("platform", "environment", "expected"), HOMES)
def test_home_is_where_the_platform_keeps_caches(platform, environment, expected, monkeypatch):
    monkeypatch.delenv("SKLEARN_TRANSFER_HOME")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert find_home() == expected
