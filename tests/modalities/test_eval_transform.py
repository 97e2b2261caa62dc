"""The pixels that a network gets."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.transforms import ResizeKeepRatio, str_to_interp_mode

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.image import transforms
from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._modalities.image.transforms import (
    apply_eval_transform,
    center,
    needs_crop_alone,
)


def photo(height, width, seed=0):
    """Smooth colors with some noise, as in a photograph."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x / 9 + np.arange(3)[:, None, None]) + np.cos(y / 7)
    noisy = 127 + 50 * waves + rng.normal(0, 6, (3, height, width))
    return Image.fromarray(np.moveaxis(noisy, 0, -1).clip(0, 255).astype(np.uint8))


SPECS = [
    # size, crop_pct, crop_mode, interpolation
    ((32, 32), 0.875, "center", "bicubic"),
    ((32, 32), 1.0, "center", "bilinear"),
    ((31, 31), 0.9, "center", "bicubic"),
    ((32, 48), 0.875, "center", "bicubic"),
    ((48, 32), 1.0, "center", "bilinear"),
    ((47, 33), 0.95, "center", "bicubic"),
    ((32, 32), 0.875, "squash", "bicubic"),
    ((33, 48), 1.0, "squash", "bilinear"),
    ((47, 33), 0.95, "squash", "lanczos"),
    ((32, 32), 1.0, "border", "bicubic"),
    ((32, 32), 0.875, "border", "bilinear"),
    ((33, 48), 0.9, "border", "bicubic"),
    ((48, 31), 1.0, "border", "nearest"),
    ((32, 32), 0.875, "center", "box"),
    ((32, 32), 0.875, "center", "hamming"),
]
SIZES = [(32, 32), (36, 36), (100, 75), (75, 100), (20, 20), (41, 200), (200, 41), (1, 1)]
SIZES += [(37, 36), (333, 500), (64, 1), (1, 64)]


def spec_of(size, crop_pct, crop_mode, interpolation):
    resize = tuple(math.floor(edge / crop_pct) for edge in size)
    return ImageSpec(size, resize, (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), interpolation, crop_mode)


def as_timm(image, size, crop_pct, crop_mode, interpolation):
    transform = create_transform(
        (3, *size),
        use_prefetcher=True,
        crop_pct=crop_pct,
        crop_mode=crop_mode,
        interpolation=interpolation,
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.2, 0.3),
    )
    for step in transform.transforms:
        if isinstance(step, ResizeKeepRatio):  # timm 1.0.20 takes bilinear, whatever is asked
            step.interpolation = str_to_interp_mode(interpolation)
    return np.moveaxis(np.asarray(transform(image)), 0, -1)


# Where the ratio of an image is as extreme as 1 to 64, timm scales to no pixels and fails.
COMPARED = [(a, size) for a in SPECS for size in SIZES if a[2] != "border" or 64 not in size]


@pytest.mark.parametrize(("arguments", "size"), COMPARED, ids=str)
def test_same_pixels_as_timm(arguments, size):
    image = photo(*size)
    found = apply_eval_transform(image, spec_of(*arguments))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, as_timm(image, *arguments))


def test_same_pixels_as_timm_for_many_sizes():
    arguments = ((32, 32), 0.875, "center", "bicubic")
    rng = np.random.default_rng(0)
    for size in rng.integers(1, 150, (150, 2)):
        if max(size) < 50 * min(size):
            image = photo(*size)
            found = apply_eval_transform(image, spec_of(*arguments))
            np.testing.assert_array_equal(found, as_timm(image, *arguments))


@pytest.mark.parametrize("size", [(1, 999), (999, 1)], ids=str)
def test_line_within_a_border_keeps_one_row_of_pixels(size):
    image = Image.new("RGB", size[::-1], "red")
    found = apply_eval_transform(image, spec_of((32, 32), 1.0, "border", "bicubic"))
    red = np.all(found == (255, 0, 0), axis=2)
    assert sorted(red.sum(axis=k).max() for k in (0, 1)) == [1, 32]
    assert np.all(found[~red] == (102, 128, 153))


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_gray_network_takes_the_gray_image(crop_mode):
    image = photo(50, 70)
    spec = ImageSpec((32, 32), (36, 36), (0.5,), (0.2,), crop_mode=crop_mode)
    found = apply_eval_transform(image, spec)
    three = ImageSpec((32, 32), (36, 36), (0.5,) * 3, (0.2,) * 3, crop_mode=crop_mode)
    expected = apply_eval_transform(image.convert("L").convert("RGB"), three)
    assert found.shape == (32, 32, 1)
    np.testing.assert_array_equal(found[..., 0], expected[..., 0])


def test_network_of_timm_gets_its_own_input_size_and_values():
    # A network that returns its input, so that the features are what it was fed.
    net = torch.nn.Flatten()
    net.pretrained_cfg = {
        "input_size": (3, 32, 48),
        "mean": (0.4, 0.5, 0.6),
        "std": (0.2, 0.2, 0.3),
        "interpolation": "bilinear",
        "crop_pct": 0.9,
    }
    image = photo(100, 75)
    found = PretrainedFeatures(net, cache=None).transform([image])
    transform = create_transform(
        (3, 32, 48),
        crop_pct=0.9,
        interpolation="bilinear",
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.2, 0.3),
    )
    np.testing.assert_allclose(found[0], transform(image).ravel(), atol=1e-6)


EXTREME = [(1, 400), (400, 1), (2, 900), (900, 3)]


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
@pytest.mark.parametrize("size", EXTREME, ids=str)
@pytest.mark.parametrize("wanted", [(8, 8), (8, 11)], ids=str)
def test_extreme_shape_gives_the_pixels_of_the_full_resize(size, wanted, interpolation):
    image, arguments = photo(*size), (wanted, 0.875, "center", interpolation)
    spec = spec_of(*arguments)
    scaled = transforms.compute_scaled_size(image.size, spec)
    assert math.prod(scaled) > transforms._LARGEST_RATIO * math.prod(wanted)
    difference = apply_eval_transform(image, spec) - as_timm(image, *arguments).astype(int)
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("size", [(100, 75), (75, 100), (333, 500), (41, 200)], ids=str)
@pytest.mark.parametrize("arguments", SPECS[:6], ids=str)
def test_resampling_the_crop_alone_is_close_to_the_full_resize(monkeypatch, size, arguments):
    image = photo(*size)
    monkeypatch.setattr(transforms, "_LARGEST_RATIO", 0)
    difference = apply_eval_transform(image, spec_of(*arguments)) - as_timm(
        image, *arguments
    ).astype(int)
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (3, 60000)], ids=str)
def test_extreme_shape_is_never_scaled_whole(monkeypatch, size):
    scaled, resize = [], Image.Image.resize

    def watched(image, size, *args, **kwargs):
        scaled.append(math.prod(size))
        return resize(image, size, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", watched)
    image = Image.new("RGB", size[::-1])
    apply_eval_transform(image, spec_of((224, 224), 0.875, "center", "bicubic"))
    assert max(scaled) <= transforms._LARGEST_RATIO * 224 * 224


@pytest.mark.parametrize("size", [(256, 256), (256, 300), (340, 256)])
def test_array_of_the_scaled_size_is_only_cropped(size):
    spec = spec_of((224, 224), 0.875, "center", "bicubic")
    image = photo(*size)
    assert needs_crop_alone(np.asarray(image), spec)
    np.testing.assert_array_equal(
        center(np.asarray(image), spec), apply_eval_transform(image, spec)
    )


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (np.zeros((224, 224, 3), np.uint8), "center"),
        (np.zeros((256, 256, 4), np.uint8), "center"),
        (np.zeros((256, 256), np.uint8), "center"),
        (np.zeros((256, 0, 3), np.uint8), "center"),
        (np.zeros((0, 0, 3), np.uint8), "border"),
        (np.zeros(5, np.uint8), "center"),
        (np.zeros((), np.uint8), "center"),
        (np.zeros((256, 256, 3), np.uint16), "center"),
        (np.zeros((256, 100, 3), np.uint8), "border"),
    ],
)
def test_other_arrays_need_more_than_a_crop(array, mode):
    assert not needs_crop_alone(array, spec_of((224, 224), 0.875, mode, "bicubic"))


def test_three_channels_are_no_crop_for_a_gray_network():
    spec = ImageSpec((32, 32), (32, 32), (0.5,), (0.5,))
    assert not needs_crop_alone(np.zeros((32, 32, 3), np.uint8), spec)
