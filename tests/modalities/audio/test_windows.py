"""Windows of sounds that come in blocks."""

import numpy as np
import pytest

from sklearn_transfer._modalities.audio.windows import cut_windows


def cut(n_samples, length, hop, block=7):
    samples = np.arange(n_samples, dtype=np.float32)[None]
    blocks = [samples[:, i : i + block] for i in range(0, n_samples, block)]
    return [window[0].tolist() for window in cut_windows(blocks, length, hop)]


@pytest.mark.parametrize("block", [1, 3, 7, 100])
@pytest.mark.parametrize(
    ("n_samples", "length", "hop", "starts", "last"),
    [
        (10, 10, 10, [0], 10),
        (11, 10, 10, [0, 10], 1),
        (20, 10, 10, [0, 10], 10),
        (20, 10, 5, [0, 5, 10], 10),
        (21, 10, 5, [0, 5, 10, 15], 6),
        (1, 10, 5, [0], 1),
    ],
)
def test_windows_begin_at_each_hop(n_samples, length, hop, starts, last, block):
    found = cut(n_samples, length, hop, block)
    assert [window[0] for window in found] == starts
    assert [len(window) for window in found] == [length] * (len(starts) - 1) + [last]
    assert all(np.diff(window).tolist() == [1.0] * (len(window) - 1) for window in found)


def test_no_blocks_have_no_windows():
    assert cut(0, 10, 5) == []
