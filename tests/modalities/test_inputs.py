"""Containers that X may be, and what is refused."""

import io
import math
import pathlib

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.contents import describe_sample
from sklearn_transfer._modalities.image import samples as image_samples

NOISE = np.random.default_rng(0).integers(0, 256, (5, 24, 30, 4), dtype=np.uint8)
COLOR, GRAY = NOISE[..., :3], NOISE[..., 0]
OPAQUE = np.full_like(NOISE[..., :1], 255)


def features(X, **options):
    options = {"weights": None, "input_size": 32, **options}
    return PretrainedFeatures("test_resnet.r160_in1k", cache=None, **options).transform(X)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    names = [str(folder / f"{i}.png") for i in range(len(COLOR))]
    for name, image in zip(names, COLOR, strict=True):
        Image.fromarray(image).save(name)
    return names


@pytest.fixture(scope="module")
def expected():
    return features(list(COLOR))


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
    "list of arrays": lambda paths: list(COLOR),
    "tuple of arrays": lambda paths: tuple(COLOR),
    "object array of arrays": lambda paths: objects(list(COLOR)),
    "column of arrays": lambda paths: objects(list(COLOR), (-1, 1)),
    "Series of arrays": lambda paths: pd.Series(list(COLOR)),
    "DataFrame of arrays": lambda paths: pd.DataFrame({"image": list(COLOR)}),
    "numeric array": lambda paths: COLOR,
    "numeric array in Fortran order": lambda paths: np.asfortranarray(COLOR),
    "opaque RGBA": lambda paths: np.concatenate([COLOR, OPAQUE], axis=3),
    "floats": lambda paths: COLOR / 255,
    "32-bit floats": lambda paths: (COLOR / 255).astype(np.float32),
    "16-bit numbers": lambda paths: COLOR.astype(np.uint16) * 257,
    "mixture of kinds": lambda paths: [
        paths[0],
        pathlib.Path(paths[1]),
        as_bytes(paths)[2],
        *as_images(paths[3:4]),
        COLOR[4],
    ],
}


if hasattr(np.dtypes, "StringDType"):  # numpy 2
    CONTAINERS["array of variable-width strings"] = lambda paths: np.array(
        paths, np.dtypes.StringDType()
    )


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_features_are_the_same_from(container, paths, expected):
    np.testing.assert_array_equal(features(container(paths)), expected)


@pytest.mark.parametrize("convert", [np.array, lambda X: X / 255], ids=["uint8", "float"])
@pytest.mark.parametrize("expand", [False, True], ids=["(n, H, W)", "(n, H, W, 1)"])
def test_features_of_gray_arrays_are_those_of_their_images(convert, expand):
    X = convert(GRAY)
    of_images = features([Image.fromarray(image) for image in GRAY])
    np.testing.assert_array_equal(features(X[..., None] if expand else X), of_images)


@pytest.mark.filterwarnings("ignore:.*fourth channel of an array")
def test_features_of_arrays_with_alpha_are_those_of_their_images():
    of_images = features([Image.fromarray(image) for image in NOISE])
    np.testing.assert_array_equal(features(NOISE), of_images)


def test_sizes_may_differ():
    samples = [COLOR[0], COLOR[1, :9], COLOR[2, :, :5], GRAY[3, ::2]]
    alone = np.concatenate([features([sample]) for sample in samples])
    np.testing.assert_allclose(features(samples), alone, rtol=1e-4, atol=1e-6)


def test_numeric_array_is_not_copied():
    assert np.shares_memory(image_samples.as_images(COLOR), COLOR)


def test_list_is_copied():
    samples = ["a.png"]
    image_samples.as_images(samples).append("b.png")
    assert samples == ["a.png"]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"channels first.*image.transpose\(1, 2, 0\)"),
        (np.zeros((8, 9, 2), np.uint8), r"shape \(8, 9, 2\), expected \(H, W\)"),
        (np.zeros(9, np.uint8), r"shape \(9,\), expected \(H, W\)"),
        (np.zeros((1, 8, 9, 3), np.uint8), r"shape \(1, 8, 9, 3\), expected \(H, W\)"),
        (np.zeros((0, 9, 3), np.uint8), r"has no pixels: shape \(0, 9, 3\)"),
        (np.zeros((9, 0), np.uint8), r"has no pixels: shape \(9, 0\)"),
        (np.ones((8, 9), np.int64), r"dtype int64 with values in \[1, 1\].*astype"),
        (np.ones((8, 9), np.int8), "dtype int8 with values"),
        (np.ones((8, 9), np.uint32), "dtype uint32 with values"),
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
        features([COLOR[0], array])


def test_one_nan_pixel_is_refused():
    array = COLOR[0] / 255
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
        ({"file": "a.png"}, "is of type dict, expected a path"),
        ({"bytes": None, "path": None}, r"missing value \(None\)"),
        ({"bytes": None, "path": "a.png"}, "no such file"),
        (torch.zeros(3, 8, 8), "channels first"),
        (("a.png", 1), r"is of type tuple, .*\[image for image, label in X\]"),
        (io.BytesIO(b"x"), "is of type BytesIO, expected a path"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_value_that_is_no_sample_is_refused_with_its_row(value, reason):
    with pytest.raises(ValueError, match=rf"row 1 \({type(value).__name__}\): .*{reason}"):
        features([COLOR[0], value])


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


@pytest.mark.parametrize("shape", [(), (5,), (8, 8, 2), (2, 2, 8, 8, 3)])
def test_numeric_array_of_another_shape_is_refused(shape):
    with pytest.raises(
        ValueError, match=rf"shape {shape}".replace("(", r"\(").replace(")", r"\)")
    ):
        features(np.zeros(shape, np.uint8) if len(shape) != 3 else [np.zeros(shape, np.uint8)])


def test_int64_array_is_refused_with_the_repair():
    with pytest.raises(ValueError, match=r"row 0 .*dtype int64.*image.astype\('uint8'\)"):
        features(COLOR.astype(np.int64))


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
    assert describe_sample(sample) == name


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


def test_long_string_in_place_of_a_path_is_shortened():
    with pytest.raises(ValueError, match="File name too long") as caught:
        features([COLOR[0], "a" * 100_000 + "b" * 100_000])
    message = str(caught.value)
    assert len(message) < 600
    assert "aaa...bbb" in message
    assert "(200000 characters)" in message
