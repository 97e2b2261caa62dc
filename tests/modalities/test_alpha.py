"""Fourth channels that are no alpha, and alpha that hides everything."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from sklearn_transfer import PretrainedFeatures
from tests.modalities.file_writers import jpeg2000

NOISE = np.random.default_rng(0).integers(0, 256, (24, 30, 4), dtype=np.uint8)
COLOR = NOISE[..., :3]


def features(samples, **options):
    options = {"weights": None, "input_size": 32, **options}
    return PretrainedFeatures("test_resnet.r160_in1k", cache=None, **options).transform(
        samples
    )


def with_alpha(alpha):
    return np.dstack([COLOR, np.broadcast_to(alpha, COLOR.shape[:2]).astype(np.uint8)])


def as_png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


FORMS = {
    "array": lambda array: array,
    "16-bit array": lambda array: array.astype(np.uint16) * 257,
    "float array": lambda array: array / 255,
    "image": Image.fromarray,
    "PNG": as_png,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_image_that_is_invisible_is_told_of(form):
    message = "In 1 of 2 images, first in row 1, the alpha channel is 0 everywhere"
    with pytest.warns(UserWarning, match=message):
        features([COLOR, form(with_alpha(0))])


def test_palette_that_is_transparent_is_told_of():
    image = Image.fromarray(np.zeros((8, 9), np.uint8), "P")
    image.info["transparency"] = 0
    with pytest.warns(UserWarning, match="the alpha channel is 0 everywhere"):
        features([image])


@pytest.mark.parametrize("name", ["array", "16-bit array", "float array"])
def test_fourth_channel_that_hardly_looks_like_alpha_is_told_of(name):
    near_infrared = np.linspace(20, 230, COLOR[..., 0].size).reshape(COLOR.shape[:2])
    array = FORMS[name](with_alpha(near_infrared))
    with pytest.warns(UserWarning, match=r"fourth channel of an array.*image\[..., :3\]"):
        features([array])


@pytest.mark.parametrize("name", ["image", "PNG"])
def test_image_that_says_alpha_is_believed(name):
    sample = FORMS[name](with_alpha(np.linspace(20, 230, 30)))
    assert np.isfinite(features([sample])).all()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_cutout_with_a_soft_edge_is_silent(form):
    """Most of a matte is 0 or 255."""
    alpha = np.clip(np.linspace(-500, 755, 30), 0, 255)
    assert np.isfinite(features([form(with_alpha(alpha))])).all()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_opaque_alpha_is_silent_and_changes_nothing(form):
    np.testing.assert_array_equal(features([form(with_alpha(255))]), features([COLOR]))


INFRARED = with_alpha(np.linspace(20, 230, COLOR[..., 0].size).reshape(COLOR.shape[:2]))


def without_extra_samples(array):
    """TIFF whose tag of extra samples is given the number of a private one."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, photometric="rgb")
    content = bytearray(buffer.getvalue())
    buffer.seek(0)
    with tifffile.TiffFile(buffer) as file:
        offset = file.pages[0].tags["ExtraSamples"].offset
    content[offset : offset + 2] = (65000).to_bytes(2, "little")
    return bytes(content)


UNDECLARED = {
    "TIFF": without_extra_samples,
    "16-bit TIFF": lambda array: without_extra_samples(array.astype(np.uint16) * 257),
    "JPEG 2000": lambda array: jpeg2000(array, 8),
    "16-bit JPEG 2000": lambda array: jpeg2000(array.astype(np.uint16) * 257, 16),
}


@pytest.mark.parametrize("form", UNDECLARED.values(), ids=UNDECLARED)
def test_fourth_channel_that_a_file_does_not_declare_is_told_of(form):
    with pytest.warns(UserWarning, match="of a file that does not say what it is"):
        found = features([form(INFRARED)])
    np.testing.assert_array_equal(found, features([Image.fromarray(INFRARED)]))


@pytest.mark.parametrize("form", UNDECLARED.values(), ids=UNDECLARED)
def test_cutout_in_a_file_that_does_not_declare_it_is_silent(form):
    cutout = with_alpha(np.clip(np.linspace(-500, 755, 30), 0, 255))
    expected = features([Image.fromarray(cutout)])
    np.testing.assert_array_equal(features([form(cutout)]), expected)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG2000"])
def test_alpha_that_a_file_declares_is_believed(kind):
    buffer = io.BytesIO()
    Image.fromarray(INFRARED).save(buffer, kind)
    expected = features([Image.fromarray(INFRARED)])
    np.testing.assert_array_equal(features([buffer.getvalue()]), expected)
