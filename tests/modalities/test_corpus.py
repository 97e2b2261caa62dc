"""Image files as they are found in the wild, each with its pixels or its error."""

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.image import contents
from sklearn_transfer._modalities.image.decoding import Decoding

BACKGROUND = (10, 200, 90)

# Pixels as (height, width, 3) that differ along both edges and between channels.
HEIGHT, WIDTH = 18, 26
Y, X = np.mgrid[:HEIGHT, :WIDTH]
SCENE = np.stack([8 * X + 20, 12 * Y + 10, 250 - 5 * X - 6 * Y], axis=2).astype(np.uint8)
GRAY = (7 * X + 4 * Y).astype(np.uint8)
ALPHA = (255 * X / X.max()).astype(np.uint8)

# What a camera stores when the scene it saw is to be shown with this orientation.
STORED = {
    1: SCENE,
    2: SCENE[:, ::-1],
    3: SCENE[::-1, ::-1],
    4: SCENE[::-1],
    5: SCENE.transpose(1, 0, 2),
    6: np.rot90(SCENE),
    7: SCENE.transpose(1, 0, 2)[::-1, ::-1],
    8: np.rot90(SCENE, -1),
}


def rgb(gray):
    return np.repeat(gray[..., None], 3, axis=2)


def over_background(color, alpha):
    share = alpha[..., None] / 255
    return share * color + (1 - share) * np.array(BACKGROUND)


def oriented(orientation, **options):
    def write(path):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(
            path, exif=exif, **options
        )
        return SCENE

    return write


def saved(image, expected, **options):
    """Writer of a file with these pixels, and what they must become."""

    def write(path):
        image.save(path, **options)
        return expected

    return write


def raw_png(samples, color_type, expected):
    """Writer of a PNG with 16 bits a sample, which Pillow cannot write."""

    def write(path):
        rows = samples.astype(">u2").reshape(len(samples), -1)
        data = b"".join(b"\0" + row.tobytes() for row in rows)
        path.write_bytes(png(samples.shape[1], samples.shape[0], 16, color_type, data))
        return expected

    return write


def png(width, height, depth, color_type, data):
    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*pair) for pair in chunks)


def palette_image():
    """Four colors in bands, as a palette image with its RGB pixels."""
    index = (X * 4 // WIDTH).astype(np.uint8)
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 80, 70]], np.uint8)
    image = Image.fromarray(index)
    image.putpalette(colors.tobytes())
    return image, index, colors[index]


def transparent_palette(transparency):
    """Palette image whose entries have these alphas; an int is the one that is clear."""
    image, index, colors = palette_image()
    entries = np.full(4, 255)
    if isinstance(transparency, int):
        entries[transparency] = 0
    else:
        entries[: len(transparency)] = list(transparency)
    expected = over_background(colors, entries[index])
    return saved(image, expected, transparency=transparency)


def color_key():
    """RGB image in which one color stands for transparent."""
    pixels = SCENE.copy()
    pixels[4:9, 5:11] = (1, 2, 3)
    expected = pixels.copy()
    expected[4:9, 5:11] = BACKGROUND
    return saved(Image.fromarray(pixels), expected, transparency=(1, 2, 3))


def animation(**options):
    frames = [Image.fromarray(frame) for frame in (GRAY, 255 - GRAY, GRAY[::-1])]
    return saved(frames[0], rgb(GRAY), save_all=True, append_images=frames[1:], **options)


RAMP = np.linspace(0, 65535, HEIGHT * WIDTH).round().astype(np.uint16).reshape(HEIGHT, WIDTH)
WIDE = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)
UNIT = (RAMP / 65535).astype(np.float32)
LONG = np.linspace(0, 255, 5000).astype(np.uint8)
INKS = np.dstack([SCENE, GRAY // 2])
CMYK = Image.frombytes("CMYK", (WIDTH, HEIGHT), INKS.tobytes())
PRINTED = (255.0 - INKS[..., :3]) * (255.0 - INKS[..., 3:]) / 255
JPEG = {"quality": 98, "subsampling": 0}

GOOD = {
    **{f"orientation_{k}.jpg": oriented(k, **JPEG) for k in STORED},
    "orientation_6.png": oriented(6),
    "orientation_7.tif": oriented(7),
    "orientation_8.webp": oriented(8, lossless=True),
    "gray.png": saved(Image.fromarray(GRAY), rgb(GRAY)),
    "gray.jpg": saved(Image.fromarray(GRAY), rgb(GRAY), **JPEG),
    "bilevel.png": saved(
        Image.fromarray(np.uint8(GRAY > 99) * 255).convert("1"),
        rgb(np.uint8(GRAY > 99) * 255),
    ),
    "gray_alpha.png": saved(
        Image.fromarray(np.dstack([GRAY, ALPHA])), over_background(rgb(GRAY), ALPHA)
    ),
    "palette.png": saved(palette_image()[0], palette_image()[2]),
    "palette_clear_entry.png": transparent_palette(2),
    "palette_alphas.png": transparent_palette(bytes([0, 100, 200])),
    "palette_clear_entry.gif": transparent_palette(1),
    "color_key.png": color_key(),
    "rgba.png": saved(
        Image.fromarray(np.dstack([SCENE, ALPHA])), over_background(SCENE, ALPHA)
    ),
    "rgba.webp": saved(
        Image.fromarray(np.dstack([SCENE, ALPHA])),
        over_background(SCENE, ALPHA),
        lossless=True,
        exact=True,
    ),
    "cmyk.jpg": saved(CMYK, PRINTED, **JPEG),
    "cmyk.tif": saved(CMYK, PRINTED),
    "gray_16.png": saved(Image.fromarray(RAMP), rgb(RAMP * (255 / 65535))),
    "gray_16.tif": saved(Image.fromarray(RAMP), rgb(RAMP * (255 / 65535))),
    "gray_16_big_endian.tif": saved(
        Image.fromarray(RAMP.astype(">u2")), rgb(RAMP * (255 / 65535))
    ),
    "gray_16_in_32.tif": saved(
        Image.fromarray(RAMP.astype(np.int32)), rgb(RAMP * (255 / 65535))
    ),
    "rgb_16.png": raw_png(WIDE, 2, WIDE * (255 / 65535)),
    "rgba_16.png": raw_png(
        np.dstack([WIDE, RAMP]),
        6,
        over_background(WIDE * (255 / 65535), RAMP * (255 / 65535)),
    ),
    "gray_alpha_16.png": raw_png(
        np.dstack([RAMP, RAMP[::-1]]),
        4,
        over_background(rgb(RAMP * (255 / 65535)), RAMP[::-1] * (255 / 65535)),
    ),
    "float.tif": saved(Image.fromarray(UNIT), rgb(UNIT * 255)),
    "one_pixel.png": saved(Image.fromarray(SCENE[:1, :1]), SCENE[:1, :1]),
    "tall.png": saved(Image.fromarray(LONG[:, None]), rgb(LONG[:, None])),
    "wide.png": saved(Image.fromarray(LONG[None]), rgb(LONG[None])),
    "animation.gif": animation(),
    "animation.png": animation(),
    "animation.webp": animation(lossless=True),
    "pages.tif": animation(),
    "progressive.jpg": saved(Image.fromarray(SCENE), SCENE, progressive=True, **JPEG),
    "damaged_exif.jpg": saved(
        Image.fromarray(SCENE), SCENE, exif=b"Exif\0\0not a directory", **JPEG
    ),
    "scene.bmp": saved(Image.fromarray(SCENE), SCENE),
    "wrong_extension.png": saved(Image.fromarray(SCENE), SCENE, format="TIFF"),
    "ünïcödé and space.png": saved(Image.fromarray(SCENE), SCENE),
}

# Gray levels by which a pixel may be off by rounding; of 16-bit color and alpha alike,
# Pillow keeps the high byte.
TOLERANCE = {name: 4 if name.endswith(".jpg") else 1.01 for name in GOOD}
TOLERANCE |= {"rgba_16.png": 2.5, "gray_alpha_16.png": 2.5}


def shorten(save, keep):
    """File that ends early, as after an interrupted copy."""

    def write(path):
        save(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])

    return write


def values(array):
    return lambda path: Image.fromarray(array).save(path)


def text(path):
    path.write_text("404 Not Found")


def link_to_nothing(path):
    path.symlink_to(path.with_name("gone.jpg"))


def bomb(side):
    return lambda path: path.write_bytes(png(side, side, 8, 0, b""))


BAD = {
    "truncated.jpg": (shorten(oriented(1, **JPEG), 0.8), "truncated"),
    "truncated_progressive.jpg": (shorten(GOOD["progressive.jpg"], 0.5), "truncated"),
    "truncated.png": (shorten(GOOD["rgba.png"], 0.7), "truncated|broken"),
    "truncated.gif": (shorten(saved(Image.fromarray(GRAY), None), 0.8), "truncated"),
    "header_alone.jpg": (shorten(oriented(1), 0.01), "Truncated File Read"),
    "empty.jpg": (lambda path: path.touch(), "the file is empty"),
    "text.jpg": (text, "not an image in a format that Pillow reads"),
    "missing.jpg": (lambda path: None, "no such file"),
    "dangling_link.jpg": (link_to_nothing, "no such file"),
    "folder.jpg": (lambda path: path.mkdir(), "is a directory, not a file"),
    "pipe.jpg": (os.mkfifo, "is not a regular file"),
    "bomb.png": (bomb(60_000), "pixels.*PIL.Image.MAX_IMAGE_PIXELS if you trust"),
    "float_255.tif": (values(UNIT * 255), r"float values in \[0, 255\], expected \[0, 1\]"),
    "float_negative.tif": (values(UNIT - 0.5), r"float values in \[-0.5, 0.5\]"),
    "float_nan.tif": (values(np.where(UNIT > 0.5, np.nan, UNIT)), "contains NaN"),
    "integer_32.tif": (values(RAMP.astype(np.int32) * 2), "nothing says which of them"),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Path of every file, and the pixels of the good ones."""
    folder = tmp_path_factory.mktemp("corpus")
    pixels = {name: write(folder / name) for name, write in GOOD.items()}
    for name, (write, _) in BAD.items():
        write(folder / name)
    return {name: (str(folder / name), pixels.get(name)) for name in [*GOOD, *BAD]}


def decode(path):
    image = Decoding(BACKGROUND).make_picture(contents.read_sample(path)[1]).image
    assert image.mode == "RGB"
    return np.asarray(image).astype(float)


def extractor(**options):
    options = {"weights": None, "input_size": 32, "background": BACKGROUND, **options}
    return PretrainedFeatures("test_resnet.r160_in1k", cache=None, **options)


@pytest.fixture(scope="module")
def alone(corpus):
    """Features of each good file, extracted by itself."""
    return {name: extractor().transform([corpus[name][0]])[0] for name in GOOD}


@pytest.mark.parametrize("name", GOOD)
def test_file_decodes_to(corpus, name):
    path, expected = corpus[name]
    decoded = decode(path)
    assert decoded.shape == expected.shape
    assert np.abs(decoded - expected).max() <= TOLERANCE[name]


@pytest.mark.parametrize("name", GOOD)
def test_bytes_decode_as_their_file(corpus, name):
    path, _ = corpus[name]
    with open(path, "rb") as file:
        content = file.read()
    np.testing.assert_array_equal(decode(content), decode(path))


@pytest.mark.parametrize("name", GOOD)
def test_image_opened_by_pillow_decodes_as_its_file(corpus, name):
    path, _ = corpus[name]
    with Image.open(path) as image:
        of_image, of_file = decode(image), decode(path)
    # Of 16-bit color Pillow keeps the high bytes, and blends alpha by them.
    tolerance = 2 if name in ("rgb_16.png", "rgba_16.png", "gray_alpha_16.png") else 0
    np.testing.assert_allclose(of_image, of_file, atol=tolerance)


def test_no_two_files_have_the_same_digest(corpus):
    digests = {contents.read_sample(corpus[name][0])[0] for name in GOOD}
    assert len(digests) == len(GOOD)


def test_full_range_of_16_bits_is_not_clipped(corpus):
    levels = np.unique(decode(corpus["gray_16.png"][0]))
    np.testing.assert_array_equal(levels, np.arange(256))


@pytest.mark.parametrize("name", [name for name in GOOD if TOLERANCE[name] < 3])
def test_features_of_a_file_are_those_of_its_pixels(corpus, alone, name):
    _, expected = corpus[name]
    pixels = np.rint(expected).astype(np.uint8)
    of_pixels = extractor().transform([pixels])[0]
    assert np.linalg.norm(alone[name] - of_pixels) <= 0.01 * np.linalg.norm(of_pixels)


def test_unlike_files_have_unlike_features(alone):
    names = ["orientation_6.png", "gray.png", "rgba.png", "gray_16.png", "tall.png"]
    features = np.stack([alone[name] for name in names])
    distances = np.linalg.norm(features[:, None] - features, axis=2) + np.eye(len(names))
    assert distances.min() > 1e-3


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_refused_with_row_name_and_reason(corpus, name):
    good, (bad, _) = corpus["gray.png"][0], corpus[name]
    with pytest.raises(
        ValueError, match=rf"row 2 \('.*{name}'\): .*{BAD[name][1]}.*Repair"
    ) as e:
        extractor().transform([good, good, bad, good])
    assert not isinstance(e.value, BadSampleError)


@pytest.mark.parametrize("name", [name for name in BAD if name != "pipe.jpg"])
def test_bad_file_is_refused_at_decoding(corpus, name):
    with pytest.raises(BadSampleError, match=BAD[name][1]):
        decode(corpus[name][0])


def test_bytes_of_a_bad_file_are_refused_with_row_and_reason(corpus):
    with open(corpus["truncated.jpg"][0], "rb") as file:
        content = file.read()
    with pytest.raises(ValueError, match=rf"row 1 \({len(content)} bytes\): .*truncated"):
        extractor().transform([corpus["gray.png"][0], content])


def test_image_opened_from_a_bad_file_is_refused_with_row_and_reason(corpus):
    with (
        Image.open(corpus["truncated.jpg"][0]) as image,
        pytest.raises(ValueError, match=r"row 0 \(JpegImageFile\): .*truncated"),
    ):
        extractor().transform([image])


@pytest.mark.parametrize("n_jobs", [1, 4])
def test_nan_for_bad_files_and_the_usual_features_for_the_others(corpus, alone, n_jobs):
    names = [name for pair in zip(GOOD, list(BAD) * 9, strict=False) for name in pair]
    n_bad = len(GOOD)
    with pytest.warns(UserWarning, match=f"{n_bad} of {2 * n_bad} samples.*rows of NaN") as w:
        features = extractor(on_error="nan", n_jobs=n_jobs).transform(
            [corpus[name][0] for name in names]
        )
    assert len(w) == 1
    assert np.isnan(features[1::2]).all()
    expected = np.stack([alone[name] for name in names[::2]])
    distances = np.linalg.norm(features[::2] - expected, axis=1)
    assert np.all(distances <= 1e-5 * np.linalg.norm(expected, axis=1))


def test_warning_names_the_first_bad_file(corpus):
    paths = [corpus[name][0] for name in ("gray.png", "empty.jpg", "text.jpg")]
    with pytest.warns(
        UserWarning, match=r"the first is row 1 \('.*empty.jpg'\): the file is empty"
    ):
        extractor(on_error="nan").transform(paths)


def test_good_files_alone_give_no_warning(corpus):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        extractor(on_error="nan").transform([corpus[name][0] for name in GOOD])
    assert caught == []


def test_bad_files_alone_give_rows_of_nan_as_they_do_beside_a_good_one(corpus):
    paths = [corpus[name][0] for name in ("empty.jpg", "text.jpg", "gray.png")]
    with pytest.warns(UserWarning, match=r"2 of 3 samples.*row 0 \(.*empty.jpg.*empty"):
        beside = extractor(on_error="nan").transform(paths)
    with pytest.warns(UserWarning, match=r"2 of 2 samples.*row 0 \(.*empty.jpg.*empty"):
        alone = extractor(on_error="nan").transform(paths[:2])
    np.testing.assert_array_equal(alone, beside[:2])


def test_missing_file_is_found_before_any_is_read(corpus, monkeypatch):
    monkeypatch.setattr(contents, "read_sample", None)
    paths = [corpus["gray.png"][0]] * 50 + [corpus["missing.jpg"][0]]
    with pytest.raises(ValueError, match=r"row 50 .*no such file"):
        extractor().transform(paths)


def test_unreadable_file_is_refused(tmp_path):
    path = tmp_path / "secret.png"
    Image.fromarray(SCENE).save(path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read any file")
    with pytest.raises(ValueError, match=r"row 0 \(.*secret.png'\): Permission denied"):
        extractor().transform([path])


def test_limit_of_pillow_decides_what_is_a_bomb(corpus, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH)
    assert decode(corpus["gray.png"][0]).shape == (HEIGHT, WIDTH, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    with pytest.raises(BadSampleError, match="pixels.*if you trust the file"):
        decode(corpus["gray.png"][0])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bomb_is_refused_where_pillow_only_warns(corpus, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    with pytest.raises(
        BadSampleError, match=f"{WIDTH} x {HEIGHT} pixels are more than the 467"
    ):
        decode(corpus["gray.png"][0])


def test_no_limit_of_pillow_is_no_limit(corpus, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(corpus["wide.png"][0]).shape == (1, 5000, 3)
