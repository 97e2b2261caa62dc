"""What is remembered of files, so that they are not read again."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities import contents
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.image.contents import find_known_digest, read_sample


@pytest.fixture
def memo(monkeypatch):
    """Empty memory of files, for this test alone."""
    memo = {}
    monkeypatch.setattr(contents, "_memo", memo)
    return memo


@pytest.fixture
def settled_memo(monkeypatch, memo):
    """As `memo`, for files that count as old from the moment they are written."""
    monkeypatch.setattr(contents, "_SETTLED_NS", -1)
    return memo


def rewrite(path, content):
    """Write until the clock of the file system has moved on."""
    before = os.stat(path).st_ctime_ns
    while os.stat(path).st_ctime_ns == before:
        time.sleep(0.001)
        path.write_bytes(content)


def test_freshly_written_file_is_not_remembered(tmp_path, memo):
    path = tmp_path / "a.png"
    path.write_bytes(b"new")
    read_sample(path)
    assert memo == {}


def test_old_time_stamp_on_a_fresh_file_is_not_trusted(tmp_path, memo):
    path = tmp_path / "a.png"
    path.write_bytes(b"new")
    os.utime(path, (1, 1))
    read_sample(path)
    assert memo == {}


def test_file_is_remembered_after_two_seconds(tmp_path, memo, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"new")
    written, digests = os.stat(path).st_ctime_ns, []
    for age in (1.9e9, 2.1e9):
        monkeypatch.setattr(contents.time, "time_ns", lambda age=age: written + int(age))
        digests.append(read_sample(path)[0])
        assert find_known_digest(path) == (digests[0] if age > 2e9 else None)
    assert digests[0] == digests[1]


def test_file_dated_in_the_future_is_not_remembered(tmp_path, memo, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"new")
    os.utime(path, (1e10, 1e10))
    later = os.stat(path).st_ctime_ns + 10**12
    monkeypatch.setattr(contents.time, "time_ns", lambda: later)
    read_sample(path)
    assert memo == {}


def test_settled_file_is_remembered(tmp_path, settled_memo):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    assert find_known_digest(path) is None
    assert find_known_digest(path) is None  # asking alone does not read it
    digest, content = read_sample(path)
    assert content == b"old"
    assert find_known_digest(path) == find_known_digest(str(path)) == digest


def test_other_content_of_equal_size_and_time_has_another_digest(tmp_path, settled_memo):
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    first, _ = read_sample(path)
    rewrite(path, b"two")
    os.utime(path, (1, 1))
    assert find_known_digest(path) is None
    second, content = read_sample(path)
    assert content == b"two"
    assert first != second == find_known_digest(path)


def test_replaced_file_has_another_digest(tmp_path, settled_memo):
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    read_sample(path)
    os.replace(other, path)
    assert find_known_digest(path) is None


def test_link_that_points_elsewhere_has_another_digest(tmp_path, settled_memo):
    link = tmp_path / "link.png"
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
        read_sample(tmp_path / name)
    link.symlink_to(tmp_path / "a")
    assert read_sample(link)[0] == find_known_digest(link) == find_known_digest(tmp_path / "a")
    link.unlink()
    link.symlink_to(tmp_path / "b")
    assert find_known_digest(link) is None
    assert read_sample(link)[0] == find_known_digest(link) == find_known_digest(tmp_path / "b")


def test_relative_path_is_the_same_file(tmp_path, settled_memo, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    digest, _ = read_sample(path)
    monkeypatch.chdir(tmp_path)
    assert find_known_digest("a.png") == digest


def test_remembered_file_that_is_gone_is_refused(tmp_path, settled_memo):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    read_sample(path)
    path.unlink()
    with pytest.raises(BadSampleError, match="no such file"):
        find_known_digest(path)


def test_memory_of_files_is_bounded(tmp_path, settled_memo, monkeypatch):
    monkeypatch.setattr(contents, "_MEMO_LIMIT", 3)
    for i in range(10):
        (tmp_path / str(i)).write_bytes(b"old")
        read_sample(tmp_path / str(i))
        assert 1 <= len(settled_memo) <= 3


@pytest.mark.parametrize("sample", [b"abc", Image.new("L", (2, 2)), np.zeros((2, 2))])
def test_only_files_are_remembered(sample, settled_memo):
    read_sample(sample)
    assert settled_memo == {}


def test_changed_file_gives_other_features(tmp_path):
    path = tmp_path / "a.bmp"  # uncompressed, so that both have the same size
    images = np.random.default_rng(0).integers(0, 256, (2, 24, 30, 3), dtype=np.uint8)
    model = PretrainedFeatures("test_resnet.r160_in1k", weights=None, input_size=32)
    found = []
    for image in images:
        Image.fromarray(image).save(path)
        found.append(model.transform([path])[0])
    np.testing.assert_allclose(found, model.transform(images), rtol=1e-5, atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3
