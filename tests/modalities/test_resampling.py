"""Pictures resized by products of matrices have Pillow's pixels."""

import numpy as np
import pytest
from PIL import Image

from sklearn_transfer._modalities.callers import Caller
from sklearn_transfer._modalities.image import resampling
from sklearn_transfer._modalities.image.resampling import find_kernel, resize_part
from sklearn_transfer._modalities.image.spec import ImageSpec

SIZES = [(224, 224), (500, 375), (97, 51), (28, 28), (1, 1), (3, 200), (641, 427), (1000, 80)]
RESIZED = [(256, 256), (341, 256), (235, 235), (300, 1), (17, 29)]


@pytest.fixture(autouse=True)
def forget_kernels():
    yield
    resampling.find_kernel.cache_clear()
    resampling._has_known_order.cache_clear()


def draw_image(width, height, seed=0):
    """Noise in one half, black and white pixels in the other one."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    values[:, width // 2 :] = 255 * (values[:, width // 2 :] >> 7)
    return Image.fromarray(values)


def resize_by_pillow(image, size, interpolation="bicubic"):
    return np.asarray(image.resize(size, Image.Resampling[interpolation.upper()]))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resized", RESIZED, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_same_pixels_as_pillow(size, resized, interpolation):
    if size[1] - resized[1] > max(2 * (size[0] - resized[0]), 0):
        pytest.skip("Pillow resizes columns first")
    image = draw_image(*size)
    found = resize_part(image, resized, (0, 0, *resized), interpolation)
    np.testing.assert_array_equal(found, resize_by_pillow(image, resized, interpolation))


def test_same_pixels_as_pillow_in_parts_of_many_sizes():
    rng, n_compared = np.random.default_rng(0), 0
    for size, resized in rng.integers(1, 200, (150, 2, 2)).tolist():
        image = draw_image(*size)
        left, right = sorted(rng.choice(resized[0] + 1, 2, replace=False).tolist())
        top, bottom = sorted(rng.choice(resized[1] + 1, 2, replace=False).tolist())
        found = resize_part(image, tuple(resized), (left, top, right, bottom), "bicubic")
        if found is not None:
            n_compared += 1
            expected = resize_by_pillow(image, resized)[top:bottom, left:right]
            np.testing.assert_array_equal(found, expected)
    assert n_compared > 100


@pytest.mark.parametrize("resized", [(90, 75), (60, 90), (60, 75)], ids=str)
def test_line_of_the_same_length_keeps_its_pixels(resized):
    image = draw_image(60, 75)
    found = resize_part(image, resized, (0, 10, *resized), "bicubic")
    np.testing.assert_array_equal(found, resize_by_pillow(image, resized)[10:])


def test_several_blocks_give_the_same_pixels(monkeypatch):
    image = draw_image(90, 80)
    monkeypatch.setattr(resampling, "_BLOCK", 1000)
    found = resize_part(image, (70, 64), (3, 0, 70, 61), "bicubic")
    np.testing.assert_array_equal(found, resize_by_pillow(image, (70, 64))[:61, 3:])


def test_gray_image_gives_one_channel():
    image = draw_image(50, 40).convert("L")
    found = resize_part(image, (64, 64), (0, 0, 64, 64), "bicubic")
    np.testing.assert_array_equal(found[..., 0], resize_by_pillow(image, (64, 64)))


def test_channels_of_an_array_are_resized_one_by_one():
    array = np.random.default_rng(0).integers(0, 256, (40, 50, 5), dtype=np.uint8)
    found = resize_part(array, (64, 64), (0, 0, 64, 64), "bicubic")
    for channel in range(5):
        expected = resize_by_pillow(Image.fromarray(array[..., channel].copy()), (64, 64))
        np.testing.assert_array_equal(found[..., channel], expected)


def test_array_is_not_changed():
    array = np.asarray(draw_image(50, 40)).copy()
    kept = array.copy()
    resize_part(array, (64, 64), (0, 0, 64, 64), "bicubic")
    np.testing.assert_array_equal(array, kept)


def test_tall_image_is_left_to_pillow():
    assert resize_part(draw_image(40, 200), (36, 180), (0, 0, 36, 36), "bicubic") is None


@pytest.mark.parametrize("interpolation", ["lanczos", "nearest", "box", "hamming"])
def test_other_filters_are_left_to_pillow(interpolation):
    assert resize_part(draw_image(40, 40), (50, 50), (0, 0, 50, 50), interpolation) is None


def test_weights_that_are_not_those_of_pillow_are_not_used(monkeypatch):
    other = (lambda x: np.maximum(1.0 - x * x, 0.0), 1.0)
    monkeypatch.setitem(resampling._FILTERS, "bilinear", other)
    find_kernel.cache_clear()
    assert find_kernel(40, 50, 0, 50, "bilinear") is None
    assert resize_part(draw_image(40, 40), (50, 50), (0, 0, 50, 50), "bilinear") is None


def test_another_order_of_steps_is_left_to_pillow(monkeypatch):
    def resize_columns_first(lines, size, interpolation):
        return resize_by_pillow(Image.fromarray(lines.T.copy()), size[::-1]).T

    monkeypatch.setattr(resampling, "_resize_by_pillow", resize_columns_first)
    resampling._has_known_order.cache_clear()
    assert resize_part(draw_image(40, 40), (50, 50), (0, 0, 50, 50), "bicubic") is None


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_array_and_image_give_a_network_the_same_pixels(n_channels, crop_mode):
    image = draw_image(70, 50)
    image = image.convert("L") if n_channels == 1 else image
    array = np.asarray(image).reshape(50, 70, n_channels)
    numbers = (0.5,) * n_channels
    spec = ImageSpec((32, 40), (36, 45), numbers, numbers, crop_mode=crop_mode)
    reader = spec._make_image_reader((255, 255, 255), "auto", Caller("PretrainedFeatures"))
    found = [reader.prepare(sample)["pixels"] for sample in (array, image)]
    np.testing.assert_array_equal(*found)
