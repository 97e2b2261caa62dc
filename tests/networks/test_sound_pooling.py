"""Pooling over the positions of sounds: silence that fills them up is in none."""

import numpy as np
import pytest
import torch

from sklearn_transfer._networks.layout import Layout, Stage
from sklearn_transfer._networks.pooling import pool

SOUND = Layout("net", is_audio=True)
STAGE = Stage("layer")


def make_states(n_positions, width=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, n_positions, width, generator=generator)


def make_mask(*lengths, n_frames=30):
    """Mask of frames: 1 for sound, 0 for silence of its own, and -1 for that of a batch."""
    mask = torch.zeros(len(lengths), n_frames, dtype=torch.int64)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    mask[:, n_frames - 4 :] = torch.where(mask[:, n_frames - 4 :] > 0, 1, -1)
    return mask


@pytest.mark.parametrize(
    ("n_positions", "counts"), [(30, [30, 11]), (15, [15, 6]), (10, [10, 4]), (7, [7, 3])]
)
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_positions_sound_where_their_first_frame_does(n_positions, counts, pooling):
    states = make_states(n_positions)
    found = pool(states, pooling, SOUND, STAGE, mask=make_mask(30, 11))
    for row, count in enumerate(counts):
        part = states[row, :count]
        expected = part.mean(0) if pooling == "avg" else part.amax(0)
        np.testing.assert_allclose(found[row], expected, rtol=1e-5, atol=1e-6)


def test_bands_follow_each_other_behind_the_prefix():
    states = make_states(2 + 3 * 15)
    layout = Layout("net", is_audio=True, bands=3, prefix_tokens=2)
    found = pool(states, "avg", layout, STAGE, mask=make_mask(30, 11))
    grid = states[1, 2:].reshape(3, 15, 3)
    np.testing.assert_allclose(found[1], grid[:, :6].mean((0, 1)), rtol=1e-5, atol=1e-6)


def test_time_is_the_last_axis_of_maps():
    maps = torch.randn(2, 5, 4, 15, generator=torch.Generator().manual_seed(0))
    stage = Stage("layer", channels=5)
    found = pool(maps, "avg", SOUND, stage, mask=make_mask(30, 11))
    np.testing.assert_allclose(found[1], maps[1, :, :, :6].mean((1, 2)), rtol=1e-5, atol=1e-6)


def test_a_sound_without_a_sounding_position_is_finite():
    found = pool(make_states(15), "avg", SOUND, STAGE, mask=make_mask(0, 0))
    assert torch.isfinite(found).all()
