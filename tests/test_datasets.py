import os
import socket
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from sklearn_transfer import datasets
from sklearn_transfer.datasets import load_photo_crops

SHIFTS = ["dark", "blurred", "noisy", "gray", "recolored"]


def crops(n_per_class=3, **kwargs):
    """Return small crops of the two photos that do not require scikit-image."""
    kwargs = {"classes": ["flower", "pagoda"], "size": 64, **kwargs}
    return load_photo_crops(n_per_class, **kwargs)


def gray_levels(shift, severity, **kwargs):
    """Return crops of the shifted and of the original domain as floats."""
    shifted = crops(shift=shift, severity=severity, **kwargs).images
    return shifted.astype(float), crops(**kwargs).images.astype(float)


def test_images_are_uint8_rgb_of_the_asked_size():
    images = crops(size=40).images
    assert images.shape == (6, 40, 40, 3)
    assert images.dtype == np.uint8


def test_there_are_fifteen_balanced_classes():
    pytest.importorskip("skimage")
    data = load_photo_crops(2, size=16)
    assert len(data.target_names) == 15
    assert Counter(data.target) == dict.fromkeys(data.target_names, 2)


def test_no_two_photos_are_the_same():
    pytest.importorskip("skimage")
    photos = [np.asarray(datasets._open_photo(label)) for label in datasets._PHOTOS]
    assert len({photo.tobytes() for photo in photos}) == 15


def test_description_names_every_class():
    description = crops(1).DESCR.split()
    assert {*datasets._PHOTOS} <= {*description}


def test_first_samples_hold_the_same_number_of_each_class():
    assert list(crops(2).target) == ["flower", "pagoda", "flower", "pagoda"]


def test_target_names_are_sorted_whatever_the_order_asked():
    assert crops(1, classes=["pagoda", "flower"]).target_names == ["flower", "pagoda"]


def test_crops_show_the_photo_of_their_class():
    # The flower is orange, and the pagoda has a blue sky in the background.
    red, _, blue = np.moveaxis(crops(20).images.mean((1, 2)), -1, 0)
    flower, pagoda = (red / blue).reshape(20, 2).mean(axis=0)
    assert flower > 1.6 * pagoda


def test_same_seed_gives_same_crops():
    np.testing.assert_array_equal(crops(random_state=3).images, crops(random_state=3).images)


def test_other_seed_gives_other_crops():
    assert not np.array_equal(crops(random_state=3).images, crops(random_state=4).images)


def test_random_state_instance_advances():
    rng = np.random.RandomState(0)
    first, second = crops(random_state=rng), crops(random_state=rng)
    assert not np.array_equal(first.images, second.images)


def test_random_state_instance_is_reproducible():
    first, second = (crops(random_state=np.random.RandomState(0)) for _ in range(2))
    np.testing.assert_array_equal(first.images, second.images)


def test_crops_of_a_class_all_differ():
    images = crops(20, classes=["flower"]).images
    assert len({image.tobytes() for image in images}) == 20


def test_more_crops_begin_with_the_fewer():
    np.testing.assert_array_equal(crops(4).images[:4], crops(2).images)


def test_crops_do_not_depend_on_other_classes():
    np.testing.assert_array_equal(crops(3).images[1::2], crops(3, classes=["pagoda"]).images)


def test_crop_has_no_corner_from_outside_the_photo():
    white = Image.new("RGB", (300, 310), "white")
    for seed in range(200):
        assert datasets._crop(white, 32, np.random.default_rng(seed)).min() == 255


def test_crop_reaches_every_part_of_the_photo():
    ramp = np.arange(300)[:, None] * 255 // 299
    photo = Image.fromarray(np.broadcast_to(ramp, (300, 300)).astype(np.uint8))
    means = [
        datasets._crop(photo.convert("RGB"), 32, np.random.default_rng(seed)).mean()
        for seed in range(300)
    ]
    assert min(means) < 80
    assert max(means) > 175


def test_crop_turns_the_photo_by_any_angle():
    # The direction of the ramp in a crop is the angle of its rotation.
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    photo, angles = Image.fromarray(ramp).convert("RGB"), []
    for seed in range(100):
        crop = datasets._crop(photo, 32, np.random.default_rng(seed))
        down, right = np.gradient(crop[..., 0].astype(float))
        angles.append(np.arctan2(down.mean(), right.mean()))
    assert set(np.digitize(angles, [-np.pi / 2, 0, np.pi / 2])) == {0, 1, 2, 3}


def test_lighting_changes_brightness_contrast_and_color():
    flat = np.tile(np.uint8([[[80], [120]]]), (4, 2, 3))
    lit = [datasets._relight(flat, np.random.default_rng(seed)) / 1.0 for seed in range(99)]
    brightness = [image.mean() for image in lit]
    contrast = [image[:, 1].mean() / image[:, 0].mean() for image in lit]
    cast = [image[..., 0].mean() / image[..., 2].mean() for image in lit]
    for measured, low, high in [
        (brightness, 70, 120),
        (contrast, 1.35, 1.65),
        (cast, 0.85, 1.18),
    ]:
        assert min(measured) < low
        assert max(measured) > high


@pytest.mark.parametrize("shift", SHIFTS)
def test_shifted_crops_are_the_same_crops(shift):
    # With a vanishing severity, only rounding differs: windows and lighting are equal.
    shifted, plain = gray_levels(shift, 1e-6)
    assert np.abs(shifted - plain).max() <= 1


@pytest.mark.parametrize("shift", SHIFTS)
def test_shift_grows_with_severity(shift):
    plain = crops().images.astype(float)
    distance = [
        np.abs(crops(shift=shift, severity=severity).images - plain).mean()
        for severity in (0.1, 0.3, 0.5, 0.7, 0.9, 1)
    ]
    assert np.all(np.diff(distance) > 0.05)


@pytest.mark.parametrize("severity", [0.2, 1])
def test_dark_multiplies_gray_levels(severity):
    shifted, plain = gray_levels("dark", severity)
    np.testing.assert_allclose(shifted, (1 - 0.9 * severity) * plain, atol=0.5001)


@pytest.mark.parametrize(("severity", "size"), [(0.5, 160), (1, 80)])
def test_blurred_is_a_gaussian_of_two_pixels(severity, size):
    shifted, plain = gray_levels("blurred", severity, size=size)
    expected = gaussian_filter(plain, (0, 2, 2, 0), mode="nearest")
    assert np.abs(shifted - expected).mean() < 1
    assert np.abs(shifted - plain).mean() > 5


@pytest.mark.parametrize("severity", [0.1, 0.5])
def test_noisy_adds_noise_of_the_stated_deviation(severity):
    shifted, plain = gray_levels("noisy", severity, size=128, n_per_class=10)
    noise = (shifted - plain)[(plain > 115) & (plain < 140)]
    assert noise.std() == pytest.approx(60 * severity, rel=0.02)
    assert abs(noise.mean()) < 1


def test_noise_is_independent_between_channels_and_samples():
    shifted, plain = gray_levels("noisy", 0.1, size=128)
    noise = np.moveaxis(shifted - plain, -1, 1).reshape(18, -1)
    correlation = np.corrcoef(noise) - np.eye(18)
    assert np.abs(correlation).max() < 0.1


def test_gray_leaves_no_color_at_full_severity():
    images = crops(shift="gray").images
    assert np.all(images == images[..., :1])


@pytest.mark.parametrize("severity", [0.5, 1])
def test_gray_agrees_with_pillow(severity):
    shifted, plain = gray_levels("gray", severity)
    for image, original in zip(shifted, plain, strict=True):
        pillow = Image.fromarray(original.astype(np.uint8))
        pillow = Image.blend(pillow, pillow.convert("L").convert("RGB"), severity)
        assert np.abs(image - np.asarray(pillow)).max() <= 1


def test_recolored_rotates_the_channels_at_full_severity():
    shifted, plain = gray_levels("recolored", 1)
    np.testing.assert_array_equal(shifted, plain[..., [1, 2, 0]])


def test_recolored_moves_the_stated_fraction():
    shifted, plain = gray_levels("recolored", 0.3)
    expected = 0.7 * plain + 0.3 * plain[..., [1, 2, 0]]
    np.testing.assert_allclose(shifted, expected, atol=0.5001)


def test_return_X_y():
    X, y = crops(return_X_y=True)
    data = crops()
    np.testing.assert_array_equal(X, data.images)
    np.testing.assert_array_equal(y, data.target)


def test_files_hold_the_images(tmp_path):
    data = crops(folder=tmp_path)
    for filename, image in zip(data.filenames, crops().images, strict=True):
        decoded = np.asarray(Image.open(filename), dtype=float)
        assert np.abs(decoded - image).mean() < 8


def test_files_are_jpegs_named_by_class_and_number(tmp_path):
    data = crops(2, folder=tmp_path, shift="dark", severity=0.5, random_state=7)
    assert [os.path.basename(name) for name in data.filenames] == [
        "flower_000_64px_seed7_dark0.5.jpg",
        "pagoda_000_64px_seed7_dark0.5.jpg",
        "flower_001_64px_seed7_dark0.5.jpg",
        "pagoda_001_64px_seed7_dark0.5.jpg",
    ]
    with Image.open(data.filenames[0]) as image:
        assert image.format == "JPEG"


def test_return_X_y_gives_filenames_with_a_folder(tmp_path):
    X, y = crops(folder=tmp_path, return_X_y=True)
    assert all(map(os.path.isfile, X))
    assert len(X) == len(y) == 6


def test_folder_is_created(tmp_path):
    data = crops(1, folder=str(tmp_path / "new" / "folder"))
    assert all(map(os.path.isfile, data.filenames))


def test_second_call_touches_no_file(tmp_path):
    filenames = crops(folder=tmp_path).filenames
    for filename in filenames:
        os.utime(filename, (1, 1))
    assert list(crops(folder=tmp_path).filenames) == list(filenames)
    assert {os.stat(filename).st_mtime for filename in filenames} == {1}


def test_damaged_file_is_written_anew(tmp_path):
    filename = crops(1, folder=tmp_path).filenames[0]
    with open(filename, "wb") as file:
        file.write(b"damaged")
    crops(1, folder=tmp_path)
    with Image.open(filename) as image:
        assert image.size == (64, 64)


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "flower_000.jpg").write_text("mine")
    crops(folder=tmp_path)
    assert (tmp_path / "flower_000.jpg").read_text() == "mine"


def test_other_arguments_give_other_files(tmp_path):
    calls = [
        {},
        {"random_state": 1},
        {"random_state": np.random.RandomState(0)},
        {"size": 32},
        {"shift": "gray", "severity": 0.5},
        {"shift": "dark", "severity": 0.5},
        {"shift": "dark", "severity": 1 / 3},
        {"shift": "dark", "severity": 0.3333},
    ]
    filenames = [crops(1, folder=tmp_path, **call).filenames for call in calls]
    assert len({*np.ravel(filenames)}) == 2 * len(calls)


def test_unknown_shift_names_the_nearest():
    with pytest.raises(ValueError, match="shift='grays' is unknown.*mean 'gray'"):
        crops(shift="grays")


@pytest.mark.parametrize(("old", "new"), [("grey", "gray"), ("recoloured", "recolored")])
def test_old_spellings_warn_and_give_the_same_pixels(old, new):
    message = f"shift='{old}' is now called '{new}', and .* removed in version 0.2"
    with pytest.warns(FutureWarning, match=message):
        found = crops(shift=old)
    np.testing.assert_array_equal(found.images, crops(shift=new).images)


@pytest.mark.parametrize(("old", "new"), [("grey", "gray"), ("recoloured", "recolored")])
def test_old_spellings_name_files_by_the_new_one(old, new, tmp_path):
    with pytest.warns(FutureWarning, match="is now called"):
        found = crops(shift=old, folder=tmp_path)
    assert f"_{new}1.0.jpg" in found.filenames[0]


def test_unknown_class_names_the_nearest():
    with pytest.raises(ValueError, match="'flowers'; expected.*mean 'flower'"):
        crops(classes=["flowers"])


@pytest.mark.parametrize("classes", [[], ["flower", "flower"]])
def test_empty_or_repeated_classes_are_refused(classes):
    with pytest.raises(ValueError, match="is empty or names a class twice"):
        crops(classes=classes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_per_class": 0},
        {"size": 7},
        {"classes": "flower"},
        {"severity": 0},
        {"severity": 1.1},
        {"folder": 3},
        {"random_state": -1},
    ],
    ids=str,
)
def test_wrong_parameters_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"'{next(iter(wrong))}' parameter"):
        crops(**wrong)


def test_missing_scikit_image_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r"sklearn-transfer\[examples\]"):
        load_photo_crops(1, size=16, classes=["coffee"])


def test_two_photos_need_no_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert len(crops(1).images) == 2


def test_no_network(monkeypatch):
    pytest.importorskip("skimage")

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(load_photo_crops(1, size=16).images) == 15
