"""The memory that glibc keeps."""

import pytest

from sklearn_transfer._process.allocator import keep_blocks


def test_an_environment_variable_leaves_blocks_alone(monkeypatch):
    def refuse(*args):
        raise AssertionError("memory was allocated")

    monkeypatch.setattr("numpy.empty", refuse)
    monkeypatch.delenv("SKLEARN_TRANSFER_KEEP_MEMORY", raising=False)
    with pytest.raises(AssertionError, match="was allocated"):
        keep_blocks.__wrapped__()
    monkeypatch.setenv("SKLEARN_TRANSFER_KEEP_MEMORY", "0")
    keep_blocks.__wrapped__()
