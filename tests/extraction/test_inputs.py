import io
import math
import os
import pathlib
import threading
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image, ImageFile
from timm.data import create_transform

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer.extraction import _inputs
from sklearn_transfer.extraction._inputs import (
    BadSampleError,
    InputSpec,
    as_samples,
    decode,
    describe,
    eval_transform,
    known_digest,
    parse_background,
    read_sample,
)

WHITE = (255, 255, 255)
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (5, 24, 30, 4), dtype=np.uint8)
COLOUR, GREY = NOISE[..., :3], NOISE[..., 0]
OPAQUE = np.full_like(NOISE[..., :1], 255)


def features(X, **options):
    options = {"weights": None, "input_size": 32, **options}
    return PretrainedFeatures("test_resnet.r160_in1k", cache=None, **options).transform(X)


def pixels(sample, background=WHITE):
    """What a sample decodes to."""
    image = decode(read_sample(sample)[1], background)
    assert image.mode == "RGB"
    return np.asarray(image)


def photo(height, width, seed=0):
    """Smooth colours with some noise, as in a photograph."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x / 9 + np.arange(3)[:, None, None]) + np.cos(y / 7)
    noisy = 127 + 50 * waves + rng.normal(0, 6, (3, height, width))
    return Image.fromarray(np.moveaxis(noisy, 0, -1).clip(0, 255).astype(np.uint8))


def png_bytes(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    names = [str(folder / f"{i}.png") for i in range(len(COLOUR))]
    for name, image in zip(names, COLOUR, strict=True):
        Image.fromarray(image).save(name)
    return names


@pytest.fixture(scope="module")
def expected():
    return features(list(COLOUR))


def objects(samples, shape=-1):
    array = np.empty(len(samples), dtype=object)
    array[:] = samples
    return array.reshape(shape)


def as_images(paths):
    return [Image.open(path) for path in paths]


def as_bytes(paths):
    return [pathlib.Path(path).read_bytes() for path in paths]


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "object array": objects,
    "column of objects": lambda paths: objects(paths, (-1, 1)),
    "string array": np.array,
    "column of strings": lambda paths: np.array(paths)[:, None],
    "variable-width strings": lambda paths: np.array(paths, np.dtypes.StringDType()),
    "list of numpy strings": lambda paths: list(np.array(paths)),
    "pandas Series": pd.Series,
    "pandas Series of objects": lambda paths: pd.Series(paths, dtype=object),
    "pandas Series of strings": lambda paths: pd.Series(paths, dtype="string"),
    "pandas Series, other index": lambda paths: pd.Series(paths, index=[3, 1, 4, 0, 9]),
    "pandas Categorical": lambda paths: pd.Series(paths, dtype="category"),
    "pandas DataFrame": lambda paths: pd.DataFrame({"path": paths}),
    "pandas DataFrame, unnamed": lambda paths: pd.DataFrame(paths),
    "polars Series": pl.Series,
    "polars DataFrame": lambda paths: pl.DataFrame({"path": paths}),
    "list of path objects": lambda paths: list(map(pathlib.Path, paths)),
    "Series of path objects": lambda paths: pd.Series(list(map(pathlib.Path, paths))),
    "list of bytes": as_bytes,
    "list of byte arrays": lambda paths: list(map(bytearray, as_bytes(paths))),
    "list of memory views": lambda paths: list(map(memoryview, as_bytes(paths))),
    "object array of bytes": lambda paths: np.array(as_bytes(paths), dtype=object),
    "Series of bytes": lambda paths: pd.Series(as_bytes(paths)),
    "polars Series of bytes": lambda paths: pl.Series(as_bytes(paths)),
    "list of PIL images": as_images,
    "object array of PIL images": lambda paths: objects(as_images(paths)),
    "Series of PIL images": lambda paths: pd.Series(as_images(paths)),
    "list of arrays": lambda paths: list(COLOUR),
    "tuple of arrays": lambda paths: tuple(COLOUR),
    "object array of arrays": lambda paths: objects(list(COLOUR)),
    "column of arrays": lambda paths: objects(list(COLOUR), (-1, 1)),
    "Series of arrays": lambda paths: pd.Series(list(COLOUR)),
    "DataFrame of arrays": lambda paths: pd.DataFrame({"image": list(COLOUR)}),
    "numeric array": lambda paths: COLOUR,
    "numeric array in Fortran order": lambda paths: np.asfortranarray(COLOUR),
    "opaque RGBA": lambda paths: np.concatenate([COLOUR, OPAQUE], axis=3),
    "floats": lambda paths: COLOUR / 255,
    "32-bit floats": lambda paths: (COLOUR / 255).astype(np.float32),
    "16-bit numbers": lambda paths: COLOUR.astype(np.uint16) * 257,
    "mixture of kinds": lambda paths: [
        paths[0],
        pathlib.Path(paths[1]),
        as_bytes(paths)[2],
        *as_images(paths[3:4]),
        COLOUR[4],
    ],
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_features_are_the_same_from(container, paths, expected):
    np.testing.assert_array_equal(features(container(paths)), expected)


@pytest.mark.parametrize("convert", [np.array, lambda X: X / 255], ids=["uint8", "float"])
@pytest.mark.parametrize("expand", [False, True], ids=["(n, H, W)", "(n, H, W, 1)"])
def test_features_of_grey_arrays_are_those_of_their_images(convert, expand):
    X = convert(GREY)
    of_images = features([Image.fromarray(image) for image in GREY])
    np.testing.assert_array_equal(features(X[..., None] if expand else X), of_images)


def test_features_of_arrays_with_alpha_are_those_of_their_images():
    of_images = features([Image.fromarray(image) for image in NOISE])
    np.testing.assert_array_equal(features(NOISE), of_images)


def test_sizes_may_differ():
    samples = [COLOUR[0], COLOUR[1, :9], COLOUR[2, :, :5], photo(70, 41)]
    alone = np.concatenate([features([sample]) for sample in samples])
    np.testing.assert_allclose(features(samples), alone, rtol=1e-4, atol=1e-6)


def test_numeric_array_is_not_copied():
    assert np.shares_memory(as_samples(COLOUR), COLOUR)


def test_list_is_copied():
    samples = ["a.png"]
    as_samples(samples).append("b.png")
    assert samples == ["a.png"]


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
def test_grey_array_decodes_to_its_levels(array):
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
def test_unknown_colour_is_refused(background):
    with pytest.raises(ValueError, match="is no colour that Pillow knows; use a name"):
        parse_background(background)


@pytest.mark.parametrize(
    "background", [(1, 2), (1, 2, 3, 4), (0, 0, 256), (0, 0, -1), (0.5, 0.5, 0.5), ("a",) * 3]
)
def test_triple_that_is_no_colour_is_refused(background):
    with pytest.raises(ValueError, match="expected three integers 0 to 255"):
        parse_background(background)


def test_transparent_pixels_show_the_background():
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[..., 0] = 255  # red, and invisible
    of_colours = {name: features([clear], background=name) for name in ("white", "blue")}
    for name, array in of_colours.items():
        opaque = np.full((4, 4, 3), parse_background(name), np.uint8)
        np.testing.assert_array_equal(array, features([opaque]))
    assert np.abs(of_colours["white"] - of_colours["blue"]).max() > 1e-4


def test_background_does_not_touch_opaque_images(expected):
    np.testing.assert_array_equal(features(COLOUR, background="red"), expected)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
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
def test_pillow_image_of_mode(mode, colour, expected):
    assert tuple(pixels(Image.new(mode, (3, 2), colour))[0, 0]) == expected


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


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"channels first.*image.transpose\(1, 2, 0\)"),
        (np.zeros((8, 9, 2), np.uint8), r"shape \(8, 9, 2\), expected \(H, W\)"),
        (np.zeros(9, np.uint8), r"shape \(9,\), expected \(H, W\)"),
        (np.zeros((1, 8, 9, 3), np.uint8), r"shape \(1, 8, 9, 3\), expected \(H, W\)"),
        (np.zeros((0, 9, 3), np.uint8), r"has no pixels: shape \(0, 9, 3\)"),
        (np.zeros((9, 0), np.uint8), r"has no pixels: shape \(9, 0\)"),
        (np.zeros((8, 9), np.int64), "dtype int64, expected uint8.*astype"),
        (np.zeros((8, 9), np.int8), "dtype int8, expected uint8"),
        (np.zeros((8, 9), np.uint32), "dtype uint32, expected uint8"),
        (np.zeros((8, 9), complex), "dtype complex128, expected uint8"),
        (np.full((8, 9), "a"), "dtype <U1, expected uint8"),
        (np.full((8, 9), None), "is an array of objects, expected one of numbers"),
        (np.full((8, 9), np.nan), "contains NaN"),
        (np.full((8, 9), np.inf), r"float values in \[inf, inf\], expected \[0, 1\]"),
        (np.full((8, 9), 255.0), r"float values in \[255, 255\], expected \[0, 1\]; divide"),
        (np.full((8, 9), -0.01), r"float values in \[-0.01, -0.01\]"),
        (np.full((8, 9, 3), 1.001, np.float32), r"float values in \[1.001, 1.001\]"),
    ],
    ids=lambda value: f"{value.dtype}{value.shape}" if hasattr(value, "dtype") else "",
)
def test_bad_array_is_refused_with_its_row(array, reason):
    with pytest.raises(
        ValueError, match=rf"row 1 \(array .*\): .*{reason}.*Repair or drop it"
    ):
        features([COLOUR[0], array])


def test_one_nan_pixel_is_refused():
    array = COLOUR[0] / 255
    array[-1, -1, -1] = np.nan
    with pytest.raises(ValueError, match="row 0 .*contains NaN"):
        features([array])


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "F"])
def test_pillow_image_without_pixels_is_refused(size, mode):
    with pytest.raises(ValueError, match=r"row 0 \(Image\): .*has no pixels"):
        features([Image.new(mode, size)])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, r"missing value \(None\)"),
        (math.nan, r"missing value \(nan\)"),
        (np.float64("nan"), r"missing value \(.*nan"),
        (pd.NA, r"missing value \(<NA>\)"),
        (pd.NaT, r"missing value \(NaT\)"),
        (3, "is of type int, expected a path, encoded bytes, a PIL image"),
        (3.5, "is of type float, expected a path"),
        ([[1, 2], [3, 4]], "is of type list, expected a path"),
        ({"path": "a.png"}, "is of type dict, expected a path"),
        (torch.zeros(3, 8, 8), "is of type Tensor, expected a path"),
        (io.BytesIO(b"x"), "is of type BytesIO, expected a path"),
    ],
    ids=repr,
)
def test_value_that_is_no_sample_is_refused_with_its_row(value, reason):
    with pytest.raises(ValueError, match=rf"row 1 \({type(value).__name__}\): .*{reason}"):
        features([COLOUR[0], value])


@pytest.mark.parametrize(
    "column",
    [
        lambda paths: pd.Series([*paths, None]),
        lambda paths: pd.Series([*paths, None], dtype="string"),
        lambda paths: pd.Series([*paths, np.nan], dtype=object),
        lambda paths: pl.Series([*paths, None]),
        lambda paths: pd.DataFrame({"path": [*paths, None]}),
        lambda paths: objects([*paths, np.nan]),
    ],
)
def test_missing_value_in_a_column_is_refused_with_its_row(column, paths):
    with pytest.raises(ValueError, match="row 5 .*missing value"):
        features(column(paths))


def test_missing_values_become_nan_if_asked(paths, expected):
    with pytest.warns(UserWarning, match=r"1 of 6 samples cannot be used.*missing value"):
        found = features(pd.Series([None, *paths]), on_error="nan")
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("X", ["a.png", pathlib.Path("a.png"), b"abc", Image.new("L", (2, 2))])
def test_single_sample_is_refused(X):
    name = type(X).__name__
    with pytest.raises(ValueError, match=rf"got one {name}; put it into a list: \[X\]"):
        features(X)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_single_image_array_is_refused(channels):
    with pytest.raises(ValueError, match=r"looks like one image; pass X\[None\]"):
        features(NOISE[0, ..., :channels])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_channels_first_is_refused(dtype):
    X = np.zeros((2, 3, 8, 8), dtype)
    with pytest.raises(ValueError, match=r"channels last: X.transpose\(0, 2, 3, 1\)"):
        features(X)


def test_table_of_numbers_is_refused():
    with pytest.raises(ValueError, match=r"shape \(4, 64\).*Reshape.*preprocess=None"):
        features(np.zeros((4, 64)))


@pytest.mark.parametrize("shape", [(), (5,), (2, 8, 8, 2), (2, 2, 8, 8, 3)])
def test_numeric_array_of_another_shape_is_refused(shape):
    with pytest.raises(
        ValueError, match=rf"shape {shape}".replace("(", r"\(").replace(")", r"\)")
    ):
        features(np.zeros(shape, np.uint8))


def test_int64_array_is_refused_with_the_repair():
    with pytest.raises(ValueError, match=r"row 0 .*dtype int64.*image.astype\('uint8'\)"):
        features(COLOUR.astype(np.int64))


@pytest.mark.parametrize("dtype", ["S5", "M8[s]", complex, "V3"])
def test_array_of_a_strange_dtype_is_refused(dtype):
    with pytest.raises(
        ValueError, match=r"X has dtype .*, expected images as numbers, or paths"
    ):
        features(np.zeros(3, dtype))


@pytest.mark.parametrize("shape", [(2, 2), (1, 4), (2, 2, 1)])
def test_table_of_paths_is_refused(shape, paths):
    X = np.array(paths[:4]).reshape(shape)
    with pytest.raises(ValueError, match=r"expected \(n_samples,\) or \(n_samples, 1\)"):
        features(X)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frame_with_two_columns_is_refused(frame, paths):
    X = frame({"path": paths, "label": paths})
    with pytest.raises(ValueError, match=r"2 columns \['path', 'label'\].*ColumnTransformer"):
        features(X)


def test_frame_with_one_name_twice_is_refused(paths):
    X = pd.DataFrame([[path, path] for path in paths], columns=["path", "path"])
    with pytest.raises(ValueError, match=r"2 columns \['path', 'path'\]"):
        features(X)


@pytest.mark.parametrize(
    "X",
    [
        torch.zeros(2, 8, 8, 3),
        {"a": "a.png"},
        {"a.png"},
        (path for path in ["a.png"]),
        map(str, ["a.png"]),
        io.BytesIO(b"x"),
        3,
        None,
    ],
    ids=lambda X: type(X).__name__,
)
def test_what_is_no_sequence_is_refused(X):
    with pytest.raises(
        ValueError,
        match=f"X must be a list, tuple, array.*got {type(X).__name__}; a sample is",
    ):
        features(X)


@pytest.mark.parametrize(
    "X",
    [
        [],
        (),
        np.array([], dtype=object),
        np.zeros((0, 8, 8)),
        np.zeros((0, 8, 8, 3), np.uint8),
        pd.Series([], dtype=object),
        pd.DataFrame({"path": []}),
        pl.Series([], dtype=pl.String),
    ],
    ids=lambda X: type(X).__name__,
)
def test_no_samples_are_refused(X):
    with pytest.raises(ValueError, match=r"0 sample\(s\) while a minimum of 1 is required"):
        features(X)


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        ("a.png", "'a.png'"),
        (np.str_("a.png"), "'a.png'"),
        (pathlib.Path("a.png"), "'a.png'"),
        (b"abc", "3 bytes"),
        (np.zeros((2, 3), np.uint8), "array (2, 3) of uint8"),
        (Image.new("L", (2, 2)), "Image"),
        (None, "NoneType"),
    ],
)
def test_a_message_calls_a_sample(sample, name):
    assert describe(sample) == name


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "no such file"),
        ("a\0b", "null"),
        ("a" * 5000, "too long"),
        (f"{__file__}/inside.png", "Not a directory"),
        ("https://example.org/a.png", "no such file"),
        ("/dev/null", "not a regular file"),
    ],
    ids=["empty", "null", "long", "inside a file", "address", "device"],
)
def test_path_that_cannot_be_a_file_is_refused(path, reason):
    with pytest.raises(ValueError, match=f"row 0 .*{reason}"):
        features([path])


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
    return InputSpec(size, resize, (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), interpolation, crop_mode)


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
    return np.moveaxis(np.asarray(transform(image)), 0, -1)


# Where the ratio of an image is as extreme as 1 to 64, timm scales to no pixels and fails.
COMPARED = [(a, size) for a in SPECS for size in SIZES if a[2] != "border" or 64 not in size]


@pytest.mark.parametrize(("arguments", "size"), COMPARED, ids=str)
def test_same_pixels_as_timm(arguments, size):
    image = photo(*size)
    found = eval_transform(image, spec_of(*arguments))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, as_timm(image, *arguments))


def test_same_pixels_as_timm_for_many_sizes():
    arguments = ((32, 32), 0.875, "center", "bicubic")
    rng = np.random.default_rng(0)
    for size in rng.integers(1, 150, (150, 2)):
        if max(size) < 50 * min(size):
            image = photo(*size)
            found = eval_transform(image, spec_of(*arguments))
            np.testing.assert_array_equal(found, as_timm(image, *arguments))


@pytest.mark.parametrize("size", [(1, 999), (999, 1)], ids=str)
def test_line_within_a_border_keeps_one_row_of_pixels(size):
    image = Image.new("RGB", size[::-1], "red")
    found = eval_transform(image, spec_of((32, 32), 1.0, "border", "bicubic"))
    red = np.all(found == (255, 0, 0), axis=2)
    assert sorted(red.sum(axis=k).max() for k in (0, 1)) == [1, 32]
    assert np.all(found[~red] == (102, 128, 153))


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_grey_network_takes_the_grey_image(crop_mode):
    image = photo(50, 70)
    spec = InputSpec((32, 32), (36, 36), (0.5,), (0.2,), crop_mode=crop_mode)
    found = eval_transform(image, spec)
    three = InputSpec((32, 32), (36, 36), (0.5,) * 3, (0.2,) * 3, crop_mode=crop_mode)
    expected = eval_transform(image.convert("L").convert("RGB"), three)
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
    scaled = _inputs._scaled_size(image.size, spec)
    assert math.prod(scaled) > _inputs._LARGEST_RATIO * math.prod(wanted)
    difference = eval_transform(image, spec) - as_timm(image, *arguments).astype(int)
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("size", [(100, 75), (75, 100), (333, 500), (41, 200)], ids=str)
@pytest.mark.parametrize("arguments", SPECS[:6], ids=str)
def test_resampling_the_crop_alone_is_close_to_the_full_resize(monkeypatch, size, arguments):
    image = photo(*size)
    monkeypatch.setattr(_inputs, "_LARGEST_RATIO", 0)
    difference = eval_transform(image, spec_of(*arguments)) - as_timm(
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
    eval_transform(image, spec_of((224, 224), 0.875, "center", "bicubic"))
    assert max(scaled) <= _inputs._LARGEST_RATIO * 224 * 224


@pytest.fixture
def memo(monkeypatch):
    """Empty memory of files, for this test alone."""
    memo = {}
    monkeypatch.setattr(_inputs, "_memo", memo)
    return memo


@pytest.fixture
def settled_memo(monkeypatch, memo):
    """As `memo`, for files that count as old from the moment they are written."""
    monkeypatch.setattr(_inputs, "_SETTLED_NS", -1)
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
        monkeypatch.setattr(_inputs.time, "time_ns", lambda age=age: written + int(age))
        digests.append(read_sample(path)[0])
        assert known_digest(path) == (digests[0] if age > 2e9 else None)
    assert digests[0] == digests[1]


def test_file_dated_in_the_future_is_not_remembered(tmp_path, memo, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"new")
    os.utime(path, (1e10, 1e10))
    later = os.stat(path).st_ctime_ns + 10**12
    monkeypatch.setattr(_inputs.time, "time_ns", lambda: later)
    read_sample(path)
    assert memo == {}


def test_settled_file_is_remembered(tmp_path, settled_memo):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    assert known_digest(path) is None
    assert known_digest(path) is None  # asking alone does not read it
    digest, content = read_sample(path)
    assert content == b"old"
    assert known_digest(path) == known_digest(str(path)) == digest


def test_other_content_of_equal_size_and_time_has_another_digest(tmp_path, settled_memo):
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    first, _ = read_sample(path)
    rewrite(path, b"two")
    os.utime(path, (1, 1))
    assert known_digest(path) is None
    second, content = read_sample(path)
    assert content == b"two"
    assert first != second == known_digest(path)


def test_replaced_file_has_another_digest(tmp_path, settled_memo):
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    read_sample(path)
    os.replace(other, path)
    assert known_digest(path) is None


def test_link_that_points_elsewhere_has_another_digest(tmp_path, settled_memo):
    link = tmp_path / "link.png"
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
        read_sample(tmp_path / name)
    link.symlink_to(tmp_path / "a")
    assert known_digest(link) == known_digest(tmp_path / "a")
    link.unlink()
    link.symlink_to(tmp_path / "b")
    assert known_digest(link) == known_digest(tmp_path / "b")


def test_relative_path_is_the_same_file(tmp_path, settled_memo, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    digest, _ = read_sample(path)
    monkeypatch.chdir(tmp_path)
    assert known_digest("a.png") == digest


def test_remembered_file_that_is_gone_is_refused(tmp_path, settled_memo):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    read_sample(path)
    path.unlink()
    with pytest.raises(BadSampleError, match="no such file"):
        known_digest(path)


def test_memory_of_files_is_bounded(tmp_path, settled_memo, monkeypatch):
    monkeypatch.setattr(_inputs, "_MEMO_LIMIT", 3)
    for i in range(10):
        (tmp_path / str(i)).write_bytes(b"old")
        read_sample(tmp_path / str(i))
        assert 1 <= len(settled_memo) <= 3


@pytest.mark.parametrize("sample", [b"abc", Image.new("L", (2, 2)), np.zeros((2, 2))])
def test_only_files_are_remembered(sample, settled_memo):
    read_sample(sample)
    assert settled_memo == {}


@pytest.mark.parametrize("sample", [b"abc", COLOUR[0], GREY[0] / 255, GREY[0].T])
def test_digest_of_what_is_in_memory_is_known(sample):
    assert known_digest(sample) == read_sample(sample)[0]


@pytest.mark.parametrize("sample", [None, 3.5, Image.new("L", (2, 2)), np.array([None])])
def test_digest_of_what_must_be_looked_into_is_not_known(sample):
    assert known_digest(sample) is None


def test_changed_file_gives_other_features(tmp_path):
    path = tmp_path / "a.bmp"  # uncompressed, so that both have the same size
    found = []
    for image in COLOUR[:2]:
        Image.fromarray(image).save(path)
        model = PretrainedFeatures("test_resnet.r160_in1k", weights=None, input_size=32)
        found.append(model.transform([path])[0])
    np.testing.assert_array_equal(found, features(COLOUR[:2]))


def test_file_and_its_bytes_have_one_digest(paths):
    assert read_sample(paths[0])[0] == read_sample(as_bytes(paths)[0])[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (GREY[0], GREY[1]),
        (GREY[0], GREY[0].astype(np.uint16)),
        (GREY[0], GREY[0][..., None]),
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


def test_equal_images_have_one_digest(paths):
    assert read_sample(Image.open(paths[0]))[0] == read_sample(Image.open(paths[0]).copy())[0]
    assert read_sample(COLOUR[0])[0] == read_sample(COLOUR[0].copy(order="F"))[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_are_not_changed(dtype, channels):
    array = (NOISE[0, ..., :channels] > 99).astype(dtype)
    before = array.copy()
    array.flags.writeable = False
    features([array])
    np.testing.assert_array_equal(array, before)


def turned_image(mode="RGB"):
    """Image with a transparent corner where the mode allows, to be shown turned."""
    image = Image.fromarray(NOISE[0], "RGBA" if mode == "RGBA" else None).convert(mode)
    image.getexif()[0x0112] = 6
    return image


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I", "F"])
def test_pillow_images_are_not_changed(mode):
    image = Image.new("F", (9, 5), 0.5) if mode == "F" else turned_image(mode)
    before = (image.mode, image.size, image.tobytes(), dict(image.info))
    orientation = image.getexif().get(0x0112)
    features([image])
    assert (image.mode, image.size, image.tobytes(), dict(image.info)) == before
    assert image.getexif().get(0x0112) == orientation


def test_list_of_samples_is_not_changed(paths):
    X = [paths[0], COLOUR[1], *as_images(paths[2:3])]
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
    photo(60, 90).save(path, exif=exif)
    expected_digest, expected = read_sample(Image.open(path))[0], pixels(path)
    monkeypatch.setattr(Image.Exif, "load", slowed(Image.Exif.load, 0.02))
    monkeypatch.setattr(ImageFile.ImageFile, "load", slowed(ImageFile.ImageFile.load, 0.001))
    for _ in range(5):
        image, found, barrier = Image.open(path), [], threading.Barrier(4)

        def work(image=image, found=found, barrier=barrier):
            barrier.wait()
            digest, content = read_sample(image)
            found.append((digest, np.asarray(decode(content, WHITE))))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [digest for digest, _ in found] == [expected_digest] * 4
        assert all(np.array_equal(array, expected) for _, array in found)


def test_one_lazily_opened_image_in_many_rows(paths):
    X = [Image.open(paths[0])] * 20
    found = features(X, n_jobs=4)
    np.testing.assert_allclose(found, np.repeat(features([paths[0]]), 20, axis=0), rtol=1e-5)
