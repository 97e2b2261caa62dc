"""What a sample decodes to, and the digest that it goes by."""

import threading
import time

import numpy as np
import pytest
from PIL import Image, ImageFile

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.image.contents import find_known_digest, read_sample
from sklearn_transfer._modalities.image.decoding import Decoding, parse_background

WHITE = (255, 255, 255)
NOISE = np.random.default_rng(0).integers(0, 256, (5, 24, 30, 4), dtype=np.uint8)
COLOR, GRAY = NOISE[..., :3], NOISE[..., 0]


def features(X, **options):
    options = {"weights": None, "input_size": 32, **options}
    return PretrainedFeatures("test_resnet.r160_in1k", cache=None, **options).transform(X)


def pixels(sample, background=WHITE):
    """What a sample decodes to."""
    image = Decoding(background).make_picture(read_sample(sample)[1]).image
    assert image.mode == "RGB"
    return np.asarray(image)


EXPECTED = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize(
    "array",
    [
        EXPECTED,
        EXPECTED[..., None],
        np.repeat(EXPECTED[..., None], 3, axis=2),
        np.asfortranarray(EXPECTED),
        np.repeat(np.repeat(EXPECTED, 2, axis=0), 2, axis=1)[::2, ::2],
        EXPECTED[::-1].copy()[::-1],
        EXPECTED.astype(np.uint16) * 257,
        (EXPECTED.astype(np.uint16) * 257).astype(">u2"),
        (EXPECTED / 255).astype(np.float16),
        (EXPECTED / 255).astype(np.float32),
        EXPECTED / 255,
        (EXPECTED / 255).astype(">f8"),
        (EXPECTED / 255).astype(np.longdouble),
    ],
    ids=lambda array: f"{array.dtype} {array.shape} {array.strides}",
)
def test_gray_array_decodes_to_its_levels(array):
    np.testing.assert_array_equal(pixels(array), np.repeat(EXPECTED[..., None], 3, axis=2))


@pytest.mark.parametrize("dtype", [np.uint16, ">u2"])
def test_16_bit_levels_are_scaled_and_rounded(dtype):
    levels = np.arange(65536).reshape(256, 256)
    expected = np.rint(levels * (255 / 65535))
    np.testing.assert_array_equal(pixels(levels.astype(dtype))[..., 0], expected)


def test_float_levels_are_scaled_and_rounded():
    levels = np.linspace(0, 1, 5000).reshape(50, 100)
    np.testing.assert_array_equal(pixels(levels)[..., 0], np.rint(levels * 255))


def test_float_rounding_errors_beyond_the_range_are_taken():
    array = np.array([[-1e-7, 1 + 1e-7]])
    np.testing.assert_array_equal(pixels(array)[0, :, 0], [0, 255])


def test_boolean_array_is_black_and_white():
    np.testing.assert_array_equal(pixels(np.eye(2, dtype=bool))[..., 0], [[255, 0], [0, 255]])


@pytest.mark.parametrize(
    "convert",
    [lambda X: X, lambda X: X.astype(np.uint16) * 257, lambda X: X / 255],
    ids=["uint8", "uint16", "float"],
)
def test_alpha_of_an_array_is_composited(convert):
    image, background = NOISE[0], (9, 99, 199)
    share = image[..., 3:] / 255
    expected = share * image[..., :3] + (1 - share) * np.array(background)
    assert np.abs(pixels(convert(image), background) - expected).max() <= 1.01


@pytest.mark.parametrize(
    "background", ["red", "#ff0000", "#f00", "rgb(255, 0, 0)", (255, 0, 0), [255, 0, 0]]
)
def test_background_is_a_name_a_code_or_a_triple(background):
    assert parse_background(background) == (255, 0, 0)


def test_background_may_be_an_array():
    assert parse_background(np.array([1, 2, 3])) == (1, 2, 3)


@pytest.mark.parametrize("background", ["", "reddish", "#12"])
def test_unknown_color_is_refused(background):
    with pytest.raises(ValueError, match="is no color that Pillow knows; use a name"):
        parse_background(background)


@pytest.mark.parametrize(
    "background", [(1, 2), (1, 2, 3, 4), (0, 0, 256), (0, 0, -1), (0.5, 0.5, 0.5), ("a",) * 3]
)
def test_triple_that_is_no_color_is_refused(background):
    with pytest.raises(ValueError, match="expected three integers 0 to 255"):
        parse_background(background)


@pytest.mark.filterwarnings("ignore:.*alpha channel is 0 everywhere")
def test_transparent_pixels_show_the_background():
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[..., 0] = 255  # red, and invisible
    clear = Image.fromarray(clear)
    of_colors = {name: features([clear], background=name) for name in ("white", "blue")}
    for name, array in of_colors.items():
        opaque = np.full((4, 4, 3), parse_background(name), np.uint8)
        np.testing.assert_array_equal(array, features([opaque]))
    assert np.abs(of_colors["white"] - of_colors["blue"]).max() > 1e-4


def test_background_does_not_touch_opaque_images():
    found = features(COLOR, background="red")
    np.testing.assert_array_equal(found, features(COLOR))


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 90, (90, 90, 90)),
        ("LA", (90, 0), (255, 255, 255)),
        ("PA", (0, 0), (255, 255, 255)),
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("RGBX", (10, 20, 30, 0), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 51), (206, 208, 210)),
        ("RGBa", (2, 4, 6, 51), (206, 208, 210)),
        ("CMYK", (255, 0, 55, 0), (0, 255, 200)),
        ("YCbCr", (90, 128, 128), (90, 90, 90)),
        ("HSV", (0, 0, 90), (90, 90, 90)),
        ("I", 257 * 90, (90, 90, 90)),
        ("I;16", 257 * 90, (90, 90, 90)),
        ("I;16B", 257 * 90, (90, 90, 90)),
        ("I;16L", 257 * 90, (90, 90, 90)),
        ("F", 0.2, (51, 51, 51)),
    ],
)
def test_pillow_image_of_mode(mode, color, expected):
    assert tuple(pixels(Image.new(mode, (3, 2), color))[0, 0]) == expected


def palette_image(mode, entry):
    image = Image.new("P", (3, 2))
    image.putpalette(bytes(entry), mode)
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (palette_image("RGB", (10, 20, 30)), (10, 20, 30)),
        (palette_image("RGBA", (10, 20, 30, 255)), (10, 20, 30)),
        (palette_image("RGBA", (10, 20, 30, 0)), (255, 255, 255)),
    ],
)
def test_pillow_image_with_a_palette(image, expected):
    assert tuple(pixels(image)[0, 0]) == expected


@pytest.mark.parametrize("sample", [b"abc", COLOR[0], GRAY[0] / 255, GRAY[0].T])
def test_digest_of_what_is_in_memory_is_known(sample):
    assert find_known_digest(sample) == read_sample(sample)[0]


@pytest.mark.parametrize("sample", [None, 3.5, Image.new("L", (2, 2)), np.array([None])])
def test_digest_of_what_must_be_looked_into_is_not_known(sample):
    assert find_known_digest(sample) is None


@pytest.fixture
def path(tmp_path):
    """File with an image."""
    Image.fromarray(COLOR[0]).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


def test_file_and_its_bytes_have_one_digest(path):
    assert read_sample(path)[0] == read_sample(path.read_bytes())[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (GRAY[0], GRAY[1]),
        (GRAY[0], GRAY[0].astype(np.uint16)),
        (GRAY[0], GRAY[0][..., None]),
        (np.zeros((4, 6)), np.zeros((6, 4))),
        (np.zeros((4, 6), np.uint8), Image.new("L", (6, 4), 1)),
        (Image.new("L", (6, 4)), Image.new("L", (4, 6))),
        (Image.new("I;16", (6, 4), 1), Image.new("I;16B", (6, 4), 256)),
        (Image.new("RGBA", (6, 4)), Image.new("CMYK", (6, 4))),
        (palette_image("RGB", (1, 2, 3)), palette_image("RGB", (1, 2, 4))),
        (palette_image("RGBA", (1, 2, 3, 4)), palette_image("RGBA", (1, 2, 3, 5))),
    ],
)
def test_samples_that_look_different_have_different_digests(one, other):
    assert read_sample(one)[0] != read_sample(other)[0]


def test_transparency_counts_in_the_digest():
    opaque, clear = Image.new("P", (2, 2)), Image.new("P", (2, 2))
    clear.info["transparency"] = 0
    assert read_sample(opaque)[0] != read_sample(clear)[0]


def test_orientation_counts_in_the_digest():
    upright, turned = Image.new("L", (2, 2)), Image.new("L", (2, 2))
    turned.getexif()[0x0112] = 6
    assert read_sample(upright)[0] != read_sample(turned)[0]


def test_equal_images_have_one_digest(path):
    assert read_sample(Image.open(path))[0] == read_sample(Image.open(path).copy())[0]
    assert read_sample(COLOR[0])[0] == read_sample(COLOR[0].copy(order="F"))[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_are_not_changed(dtype, channels):
    white = {np.uint8: 255, np.uint16: 65535}.get(dtype, 1)
    array = (NOISE[0, ..., :channels] > 99).astype(dtype) * dtype(white)
    before = array.copy()
    array.flags.writeable = False
    features([array])
    np.testing.assert_array_equal(array, before)


WIDE = {"I": 40_000, "F": 0.5}


def turned_image(mode="RGB"):
    """Image with a transparent corner where the mode allows, to be shown turned."""
    image = Image.fromarray(NOISE[0], "RGBA" if mode == "RGBA" else None).convert(mode)
    image.getexif()[0x0112] = 6
    return image


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I", "F"])
def test_pillow_images_are_not_changed(mode):
    image = turned_image(mode) if mode not in "IF" else Image.new(mode, (9, 5), WIDE[mode])
    before = (image.mode, image.size, image.tobytes(), dict(image.info))
    orientation = image.getexif().get(0x0112)
    features([image])
    assert (image.mode, image.size, image.tobytes(), dict(image.info)) == before
    assert image.getexif().get(0x0112) == orientation


def test_list_of_samples_is_not_changed(path):
    X = [path, str(path), COLOR[1], Image.open(path)]
    before = list(X)
    features(X)
    assert all(one is other for one, other in zip(X, before, strict=True))


def slowed(function, seconds):
    """The same, but other threads come in between."""

    def slow(*args, **kwargs):
        time.sleep(seconds)
        return function(*args, **kwargs)

    return slow


def test_lazily_opened_image_serves_several_threads(tmp_path, monkeypatch):
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOR[0]).save(path, exif=exif)
    expected_digest, expected = read_sample(Image.open(path))[0], pixels(path)
    monkeypatch.setattr(Image.Exif, "load", slowed(Image.Exif.load, 0.02))
    monkeypatch.setattr(ImageFile.ImageFile, "load", slowed(ImageFile.ImageFile.load, 0.001))
    for _ in range(5):
        image, found, barrier = Image.open(path), [], threading.Barrier(4)

        def work(image=image, found=found, barrier=barrier):
            barrier.wait()
            digest, content = read_sample(image)
            found.append((digest, np.asarray(Decoding(WHITE).make_picture(content).image)))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [digest for digest, _ in found] == [expected_digest] * 4
        assert all(np.array_equal(array, expected) for _, array in found)


def test_one_lazily_opened_image_in_many_rows(path):
    X = [Image.open(path)] * 20
    found = features(X, n_jobs=4)
    np.testing.assert_allclose(found, np.repeat(features([path]), 20, axis=0), rtol=1e-5)
