"""Every layout of a TIFF file that tifffile writes, and PNG and FITS, against the array."""

import itertools

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from sklearn_transfer._modalities.image.files import BadFileError, decode_file
from tests.modalities import file_writers as write

pytestmark = pytest.mark.slow

H, W = 21, 19  # no multiple of the tiles and strips
RNG = np.random.default_rng(0)
TYPES = ("u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8")
COMPRESSIONS = (None, "lzw", "zlib", "packbits", "zstd", "lzma")
PREDICTED = ("lzw", "zlib", "zstd")
PARTS = {"one": {}, "strips": {"rowsperstrip": 5}, "tiles": {"tile": (16, 16)}}
# Name to photometric, channels, and extra samples.
CONTENTS = {
    "gray": ("minisblack", 1, []),
    "white": ("miniswhite", 1, []),
    "RGB": ("rgb", 3, []),
    "RGBA": ("rgb", 4, ["unassalpha"]),
    "RGBa": ("rgb", 4, ["assocalpha"]),
    "RGB and another": ("rgb", 4, ["unspecified"]),
    "RGBA and another": ("rgb", 5, ["unassalpha", "unspecified"]),
    "gray and alpha": ("minisblack", 2, ["unassalpha"]),
    "gray and premultiplied alpha": ("minisblack", 2, ["assocalpha"]),
    "gray and another": ("minisblack", 2, ["unspecified"]),
    "white and alpha": ("miniswhite", 2, ["unassalpha"]),
    "five": ("minisblack", 5, []),
    "CMYK": ("separated", 4, []),
    "CMYK and another": ("separated", 5, ["unspecified"]),
    "CIELab": ("cielab", 3, []),
}
ONLY = {
    "gray": TYPES,
    "white": TYPES,
    "RGB": TYPES,
    "CMYK": ("u1", "u2"),
    "CMYK and another": ("u1", "u2"),
    "CIELab": ("u1",),
}


def random_values(dtype, shape):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return RNG.random(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def layouts(name, dtype):
    """Arrays (H, W) or (H, W, C) with what tifffile is told of them."""
    photometric, n_channels, extras = CONTENTS[name]
    shape = (H, W) if n_channels == 1 else (H, W, n_channels)
    planes = (False,) if n_channels == 1 else (False, True)
    grid = itertools.product(COMPRESSIONS, "<>", PARTS, planes, (False, True), (False, True))
    for compression, byteorder, part, is_planar, predictor, bigtiff in grid:
        if predictor and (compression not in PREDICTED or part == "strips"):
            continue
        if predictor and dtype in ("u8", "i8"):  # which tifffile does not write
            continue
        if part != "one" and (bigtiff or compression in ("packbits", "lzma")):
            continue
        options = {"photometric": photometric, "byteorder": byteorder, **PARTS[part]}
        options |= {"compression": compression} if compression else {}
        options |= {"predictor": True} if predictor else {}
        options |= {"extrasamples": extras} if extras else {}
        options |= {"bigtiff": True} if bigtiff else {}
        if n_channels > 1:
            options["planarconfig"] = "separate" if is_planar else "contig"
        yield random_values(dtype, shape), options, is_planar


def meaning(array, name):
    """What an array stored under this photometric means."""
    if not name.startswith("white"):
        return array
    array = array.copy()
    gray = array if array.ndim == 2 else array[..., 0]
    if array.dtype.kind == "f":
        gray[...] = 1 - gray
    else:
        limits = np.iinfo(array.dtype)
        gray[...] = int(limits.max) + int(limits.min) - gray.astype(object)
    return array


def is_right(decoded, array, name):
    written = meaning(array, name)
    pixels = decoded.pixels
    if not isinstance(pixels, Image.Image):
        n_colors = {"minisblack": 1, "miniswhite": 1, "rgb": 3}[CONTENTS[name][0]]
        alpha = {"unassalpha": "unassociated", "assocalpha": "associated"}
        expected = (n_colors, alpha.get((CONTENTS[name][2] or [""])[0]))
        if written.ndim == 2:
            expected = (None, None)
        elif CONTENTS[name][0] == "minisblack" and expected[1] is None:
            expected = (written.shape[2], None)  # bands, of which no tag says what they are
        described = (decoded.n_color_channels, decoded.alpha) == expected
        return described and pixels.dtype == written.dtype and np.array_equal(pixels, written)
    found = np.asarray(pixels)
    if written.dtype == np.uint16:  # inks, which no array has
        written = np.rint(written / 257).astype(np.uint8)
    if name == "RGBa":  # which Pillow divides by alpha: multiplied again it is as written
        found = np.rint(found[..., :3] / 255.0 * found[..., 3:])
        below = np.minimum(written[..., :3], written[..., 3:])
        return np.abs(found - below).max() <= 1
    return np.array_equal(found, written[..., :4] if name.startswith("CMYK") else written)


CASES = [
    (name, dtype)
    for name, dtype in itertools.product(CONTENTS, TYPES)
    if dtype in ONLY.get(name, ("u1", "u2", "f4"))
]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_tiff_has_the_values_that_were_written(name, dtype):
    wrong = []
    for array, options, is_planar in layouts(name, dtype):
        content = write.tiff(np.moveaxis(array, -1, 0) if is_planar else array, **options)
        if not is_right(decode_file(content), array, name):
            wrong.append(options)
    assert not wrong


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_tiff_of_one_bit_has_the_values_that_were_written(photometric):
    for compression, byteorder, part in itertools.product(COMPRESSIONS, "<>", PARTS):
        array = RNG.random((H, W)) < 0.5
        options = {"compression": compression} if compression else {}
        options |= {"photometric": photometric, "byteorder": byteorder, **PARTS[part]}
        found = np.asarray(decode_file(write.tiff(array, **options)).pixels)
        np.testing.assert_array_equal(found, array ^ (photometric == "miniswhite"))


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_of_few_bits_has_the_values_that_were_written(bits, photometric, byteorder):
    shape = (H, W, 3) if photometric == "rgb" else (H, W)
    array = RNG.integers(0, 2**bits, shape, np.uint8)
    decoded = decode_file(write.packed_tiff(array, bits, byteorder, photometric))
    black, white = decoded.value_range or (0, 255)
    found = (np.asarray(decoded.pixels) - black) / (white - black)
    stored = array / (2**bits - 1)
    expected = 1 - stored if photometric == "miniswhite" else stored
    np.testing.assert_allclose(found, expected, atol=0.5 / 255)


@pytest.mark.parametrize("bits", [9, 10, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_of_packed_bits_has_the_values_that_were_written(bits, photometric, byteorder):
    shape = (H, W, 3) if photometric == "rgb" else (H, W)
    array = RNG.integers(0, 2**bits, shape, np.uint16)
    decoded = decode_file(write.packed_tiff(array, bits, byteorder, photometric))
    white = 2**bits - 1
    assert decoded.value_range == (0, white)
    expected = white - array if photometric == "miniswhite" else array
    np.testing.assert_array_equal(decoded.pixels, expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
@pytest.mark.parametrize("name", ["gray", "RGB", "RGBA"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_is_upright(name, dtype, orientation):
    turns = {1: "", 2: "h", 3: "hv", 4: "v", 5: "t", 6: "th", 7: "thv", 8: "tv"}[orientation]
    photometric, n_channels, extras = CONTENTS[name]
    array = random_values(dtype, (H, W, n_channels))
    expected = array.swapaxes(0, 1) if "t" in turns else array
    expected = expected[:, ::-1] if "h" in turns else expected
    expected = (expected[::-1] if "v" in turns else expected).squeeze()
    options = {"extrasamples": extras} if extras else {}
    for compression, byteorder, bigtiff in itertools.product((None, "zlib"), "<>", (0, 1)):
        content = write.tiff(
            array.squeeze(),
            photometric=photometric,
            compression=compression,
            byteorder=byteorder,
            bigtiff=bool(bigtiff),
            extratags=[(274, 3, 1, orientation, True)],
            **options,
        )
        pixels = decode_file(content).pixels
        if isinstance(pixels, Image.Image):
            pixels = ImageOps.exif_transpose(pixels)
        np.testing.assert_array_equal(np.asarray(pixels), expected)


@pytest.mark.parametrize("name", ["gray", "RGB", "YCbCr"])
@pytest.mark.parametrize("part", PARTS)
def test_tiff_of_jpeg_looks_as_it_did(name, part):
    y, x = np.mgrid[:64, :80]
    array = np.stack([3 * x, 3 * y, 255 - x - y], axis=-1).astype(np.uint8)
    stored = array[..., 0] if name == "gray" else array
    planes = (False, True) if name == "RGB" else (False,)
    for is_planar, subsampling in itertools.product(planes, ((1, 1), (2, 2))):
        options = {"compression": "jpeg", **PARTS[part]}
        options |= {"rowsperstrip": 16} if part == "strips" else {}
        if name == "gray":
            options["photometric"] = "minisblack"
        else:
            options["photometric"] = "rgb"
            options["planarconfig"] = "separate" if is_planar else "contig"
        if name == "YCbCr":
            options |= {"photometric": "ycbcr", "subsampling": subsampling}
            stored = np.asarray(Image.fromarray(array).convert("YCbCr"))
        content = write.tiff(np.moveaxis(stored, -1, 0) if is_planar else stored, **options)
        pixels = decode_file(content).pixels
        if isinstance(pixels, Image.Image):
            pixels = pixels.convert("L" if name == "gray" else "RGB")
        expected = array[..., 0] if name == "gray" else array
        difference = np.abs(np.asarray(pixels).astype(int) - expected)
        assert difference.mean() < 4


@pytest.mark.parametrize("compression", ["webp", "jpeg2000", "jpegxl", "png", "lerc"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_tiff_of_rare_codecs_has_the_values_that_were_written(compression, dtype):
    array = random_values(dtype, (H, W, 3))
    options = {"photometric": "rgb", "compression": compression}
    if compression != "lerc":
        options["compressionargs"] = {
            "jpeg2000": {"reversible": True, "level": 0},
            "png": {},
        }.get(compression, {"lossless": True})
    try:
        content = write.tiff(array, **options)
    except (ValueError, RuntimeError):
        pytest.skip("not written by tifffile")
    np.testing.assert_array_equal(np.asarray(decode_file(content).pixels), array)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("smooth", [False, True])
def test_png_has_the_values_that_were_written(n_channels, dtype, smooth):
    array = random_values(dtype, (H, W, n_channels))
    if smooth:  # so that the encoder chooses other filters
        array = np.cumsum(array % 5, axis=0).astype(array.dtype)
    for stored in (array.squeeze(), np.ascontiguousarray(array[:1])):
        stored = stored[..., 0] if stored.ndim == 3 and n_channels == 1 else stored
        content = imagecodecs.png_encode(stored, level=6)
        np.testing.assert_array_equal(np.asarray(decode_file(content).pixels), stored)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_interlaced_png_has_the_values_that_were_written(n_channels):
    array = random_values("u2", (H, W, n_channels))
    array = array[..., 0] if n_channels == 1 else array
    found = np.asarray(decode_file(write.png(array, interlaced=True)).pixels)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("signed", [False, True])
def test_jpeg2000_has_the_values_that_were_written(bits, n_channels, signed):
    low = -(2 ** (bits - 1)) if signed else 0
    array = RNG.integers(low, low + 2**bits, (H, W, n_channels)).squeeze()
    array = array.astype(("i" if signed else "u") + ("1" if bits == 8 else "2"))
    decoded = decode_file(write.jpeg2000(array, bits))
    found = np.asarray(decoded.pixels)
    if signed and bits == 8:  # an image from black to white
        found = (found.astype(int) - 128).astype(np.int8)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(H, W), (H, W, 1), (H, W, 3)])
@pytest.mark.parametrize("extension", [False, True])
def test_fits_has_the_values_that_were_written(dtype, shape, extension):
    array = random_values(dtype, shape)
    found = decode_file(write.fits(array, extension=extension)).pixels
    np.testing.assert_array_equal(found, array.squeeze())
    scaled = write.fits(array, write.card("BSCALE", 0.5), write.card("BZERO", 3.0))
    np.testing.assert_array_equal(
        decode_file(scaled).pixels, 3 + 0.5 * array.squeeze().astype(np.float64)
    )


@pytest.mark.parametrize("how", ["cut", "flipped", "zeros", "header"])
def test_damaged_files_raise_nothing_else(how):
    rng = np.random.default_rng(1)
    for array, options, is_planar in itertools.islice(layouts("RGB", "u2"), 0, None, 3):
        content = write.tiff(np.moveaxis(array, -1, 0) if is_planar else array, **options)
        damaged = np.frombuffer(content, np.uint8).copy()
        if how == "cut":
            damaged = damaged[: rng.integers(4, len(damaged))]
        elif how == "flipped":
            damaged[rng.integers(200, len(damaged), 20)] ^= 0x55
        elif how == "zeros":
            damaged[len(damaged) // 2 :][:50] = 0
        else:
            damaged[rng.integers(4, 250, 3)] ^= rng.integers(1, 256, dtype=np.uint8)
        try:
            decode_file(damaged.tobytes())
        except BadFileError:
            continue
        assert how != "cut"
