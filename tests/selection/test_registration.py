"""Tests of the registration of pictures, against interpolation by SciPy and known windows."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

from sklearn_transfer.selection._registration import (
    SIDE,
    _sample,
    compare_pairs,
    make_thumbnail,
    shrink,
)


@pytest.fixture(scope="module")
def photo(photos):
    return Image.fromarray(photos[0][:400, :400])


def compare(first, second):
    thumbnails = np.stack([make_thumbnail(picture) for picture in (first, second)])
    return compare_pairs(thumbnails, np.array([[0, 1]]))[0]


def test_pictures_are_sampled_like_scipy_does():
    picture = np.random.default_rng(0).normal(size=(1, 16, 16)).astype(np.float32)
    warp = np.float32([[0.9, 1.1, 0.05, -0.1]])
    [sampled], inside, grid = _sample([picture], warp)
    rows, columns = (
        (grid * warp[0, axis] + warp[0, axis + 2] + 0.5) * 16 - 0.5 for axis in (0, 1)
    )
    at = np.meshgrid(rows, columns, indexing="ij")
    expected = map_coordinates(picture[0], at, order=1, mode="nearest")
    np.testing.assert_allclose(sampled[0], expected, atol=1e-5)
    within = [(a >= -0.5) & (a <= 15.5) for a in at]
    np.testing.assert_array_equal(inside[0], within[0] & within[1])


@pytest.mark.parametrize("box", [(20, 20, 380, 380), (0, 20, 380, 400), (20, 0, 400, 400)])
def test_windows_are_laid_on_their_picture(box, photo):
    assert compare(photo, photo.crop(box)) > 0.9
    assert compare(photo.crop(box), photo) > 0.9


def test_less_in_common_is_no_copy(photo):
    assert compare(photo, photo.crop((70, 70, 400, 400))) < 0.8


def test_other_light_needs_more_in_common(photo):
    dark = photo.point(lambda value: value * 0.6)
    assert compare(photo, dark) > 0.9
    assert compare(photo, dark.crop((20, 20, 380, 380))) == 0
    assert compare(photo, photo.crop((20, 20, 380, 380))) > 0.9


def test_mirrored_and_turned_pictures_are_no_copies(photo):
    assert compare(photo, photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) < 0.8
    assert compare(photo, photo.transpose(Image.Transpose.ROTATE_90)) < 0.8


def test_pairs_do_not_depend_on_each_other(photo):
    pictures = [photo, photo.crop((20, 20, 380, 380)), photo.crop((0, 0, 200, 200))]
    thumbnails = np.stack([make_thumbnail(picture) for picture in pictures])
    pairs = np.array([[0, 2], [0, 1], [1, 2]])
    together = compare_pairs(thumbnails, pairs)
    alone = [compare_pairs(thumbnails, pair[None])[0] for pair in pairs]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_shrinking_takes_means():
    pictures = np.arange(2 * SIDE * SIDE, dtype=np.float32).reshape(2, SIDE, SIDE)
    assert shrink(pictures, 16)[1, 2, 3] == pytest.approx(pictures[1, 8:12, 12:16].mean())
