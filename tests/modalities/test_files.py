"""Files whose values Pillow alone does not give back, each against what was written."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from sklearn_transfer._modalities.image.files import decode_file
from tests.modalities import file_writers as write

H, W = 21, 27
RNG = np.random.default_rng(0)


def values(dtype, *shape, high=None):
    """Random values over the whole range of a type, or up to `high`."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return RNG.random(shape).astype(dtype)
    limits = np.iinfo(dtype)
    low = limits.min if high is None else 0
    return RNG.integers(low, high or limits.max, shape, dtype, endpoint=True)


GRAY16, COLOR16 = values("u2", H, W), values("u2", H, W, 3)
GRAY12, COLOR12 = values("u2", H, W, high=4095), values("u2", H, W, 3, high=4095)
COLOR8, RGBA8 = values("u1", H, W, 3), values("u1", H, W, 4)
RGBA16 = values("u2", H, W, 4)
SIGNED16 = values("i2", H, W)
COLOR8_OF_RGBA = RGBA8[..., :3]
RGBA8_OF_COLOR = np.concatenate([COLOR8, RGBA8[..., 3:]], axis=-1)
UNUSED = np.concatenate([COLOR8, np.zeros((H, W, 1), np.uint8)], axis=-1)
BGRX = UNUSED[..., [2, 1, 0, 3]]
COLOR_MASKS = (0xFF0000, 0xFF00, 0xFF)


def pillow_alone(content):
    """Array that Pillow makes of a file, None where it raises."""
    try:
        return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    except Exception:
        return None


def decoded_array(content):
    pixels = decode_file(content).pixels
    return np.asarray(pixels)


def planar(array):
    return np.moveaxis(array, -1, 0)


def tiff_gray(array, **options):
    return write.tiff(array, photometric="minisblack", **options)


def tiff_planar(array, **options):
    return write.tiff(planar(array), planarconfig="separate", **options)


def offset_by(array, offset, dtype):
    return (array.astype(np.int64) + offset).astype(dtype)


FLOAT, FIVE = GRAY16 / np.float32(65535), values("u1", H, W, 5)
WIDE = GRAY16.astype(np.uint32) << 16
SIGNED8 = GRAY16.astype(np.int8)
ALPHA_BIT = np.broadcast_to(np.where(np.arange(W) % 2, 0x8000, 0), (H, W)).astype(np.uint16)
BLUE = np.zeros((H, W, 4), np.uint8)
BLUE[..., 2], BLUE[..., 3] = 255, np.where(ALPHA_BIT, 255, 0)

# Content, and the array that it means.
MISREAD = {
    "TIFF, 16-bit planar RGB": (tiff_planar(COLOR16, photometric="rgb"), COLOR16),
    "TIFF, 16-bit WhiteIsZero": (
        write.tiff(GRAY16, photometric="miniswhite"),
        65535 - GRAY16,
    ),
    "TIFF, 8-bit planar gray and alpha": (
        tiff_planar(
            RGBA8[..., :2],
            photometric="minisblack",
            extrasamples=["unassalpha"],
            compression="zlib",
        ),
        RGBA8[..., :2],
    ),
    "TIFF, int8": (tiff_gray(SIGNED8), SIGNED8),
    "TIFF, int16": (tiff_gray(SIGNED16), SIGNED16),
    "TIFF, compressed big-endian int16": (
        tiff_gray(SIGNED16, byteorder=">", compression="lzw"),
        SIGNED16,
    ),
    "TIFF, compressed big-endian float32": (
        tiff_gray(FLOAT, byteorder=">", compression="zlib"),
        FLOAT,
    ),
    "TIFF, uint32": (tiff_gray(WIDE), WIDE),
    "TIFF, WhiteIsZero of float32": (write.tiff(FLOAT, photometric="miniswhite"), 1 - FLOAT),
    "TIFF, float64": (tiff_gray(GRAY16 / 65535), GRAY16 / 65535),
    "TIFF, 16-bit RGB": (write.tiff(COLOR16, photometric="rgb"), COLOR16),
    "TIFF, compressed 16-bit RGBA": (
        write.tiff(RGBA16, photometric="rgb", extrasamples=["unassalpha"], compression="zlib"),
        RGBA16,
    ),
    "TIFF, RGB and infrared": (
        write.tiff(RGBA8, photometric="rgb", extrasamples=["unspecified"]),
        RGBA8,
    ),
    "TIFF, five channels": (tiff_gray(FIVE, planarconfig="contig"), FIVE),
    "TIFF, five planes": (
        tiff_planar(FIVE, photometric="minisblack", compression="lzw"),
        FIVE,
    ),
    "TIFF, 10 bits": (write.packed_tiff(GRAY16 >> 6, 10), GRAY16 >> 6),
    "TIFF, 12-bit RGB, big-endian": (
        write.packed_tiff(COLOR12, 12, ">", photometric="rgb"),
        COLOR12,
    ),
    "FITS, uint16": (
        write.fits(SIGNED16, write.card("BZERO", 32768)),
        offset_by(SIGNED16, 32768, np.uint16),
    ),
    "FITS, int8": (
        write.fits(COLOR8[..., 0], write.card("BZERO", -128)),
        offset_by(COLOR8[..., 0], -128, np.int8),
    ),
    "FITS, int16": (write.fits(SIGNED16), SIGNED16),
    "FITS, int64": (write.fits(SIGNED16.astype(np.int64)), SIGNED16.astype(np.int64)),
    "FITS, uint32": (
        write.fits(SIGNED16.astype(np.int32), write.card("BZERO", "2147483648.0")),
        offset_by(SIGNED16, 2**31, np.uint32),
    ),
    "FITS, scaled": (
        write.fits(SIGNED16, write.card("BSCALE", "2.5D-1"), write.card("BZERO", 7)),
        7 + 0.25 * SIGNED16,
    ),
    "FITS, undefined pixels": (
        write.fits(np.where(SIGNED16 < 0, -1, SIGNED16), write.card("BLANK", -1), bits=16),
        np.where(SIGNED16 < 0, np.nan, SIGNED16),
    ),
    "FITS, three planes": (write.fits(COLOR8), COLOR8),
    "PNG, 16-bit RGB": (write.png(COLOR16), COLOR16),
    "PNG, 16-bit RGBA": (write.png(RGBA16), RGBA16),
    "PNG, 16-bit gray and alpha": (write.png(RGBA16[..., :2]), RGBA16[..., :2]),
    "JPEG 2000, 12 bits": (write.jpeg2000(GRAY12, 12), GRAY12),
    "JPEG 2000, signed 12 bits": (
        write.jpeg2000(offset_by(GRAY12, -2048, np.int16), 12),
        offset_by(GRAY12, -2048, np.int16),
    ),
    "JPEG 2000, 16-bit RGB": (write.jpeg2000(COLOR16, 16), COLOR16),
    "PGM of 12 bits": (write.pnm(GRAY12, 4095), GRAY12),
    "PGM of 12 bits, plain": (write.pnm(GRAY12, 4095, plain=True), GRAY12),
    "PPM of 12 bits": (write.pnm(COLOR12, 4095), COLOR12),
    "PPM of 16 bits, plain": (write.pnm(COLOR16, 65535, plain=True), COLOR16),
    "SGI of 16 bits": (write.sgi(GRAY16), GRAY16),
    "SGI of 16-bit RGB": (write.sgi(COLOR16), COLOR16),
    "Sun raster of 32 bits": (write.sun(COLOR8, 1), COLOR8),
    "Sun raster of 32 bits, RGB": (write.sun(COLOR8, 3), COLOR8),
    "TGA of 32 bits without alpha": (write.tga(UNUSED, alpha_bits=0), COLOR8),
    "TGA of 16 bits without alpha": (
        write.tga(ALPHA_BIT | 31, alpha_bits=0),
        BLUE[..., :3],
    ),
    "BMP with empty masks": (write.bmp(BGRX, 56, (0, 0, 0, 0)), COLOR8),
    "BMP of 16 bits with alpha": (
        write.bmp(ALPHA_BIT | 31, 56, (0x7C00, 0x3E0, 0x1F, 0x8000)),
        BLUE,
    ),
    "ICO without alpha": (write.icon(BGRX, np.zeros((H, W), bool)), COLOR8),
    "PSD with a saved selection": (write.psd(RGBA8, None), COLOR8_OF_RGBA),
}


@pytest.mark.parametrize("name", MISREAD)
def test_values_that_pillow_alone_misreads_are_those_that_were_written(name):
    content, written = MISREAD[name]
    found, alone = decoded_array(content), pillow_alone(content)
    assert found.dtype == written.dtype
    np.testing.assert_array_equal(found, written)
    assert alone is None or alone.dtype != written.dtype or not np.array_equal(alone, written)


@pytest.mark.parametrize(
    ("content", "channels", "alpha"),
    [
        (tiff_planar(COLOR16, photometric="rgb"), 3, None),
        (tiff_planar(RGBA16, photometric="rgb", extrasamples=[1]), 3, "associated"),
        (write.tiff(RGBA16, photometric="rgb", extrasamples=[1]), 3, "associated"),
        (write.tiff(RGBA16, photometric="rgb", extrasamples=[2]), 3, "unassociated"),
        (write.tiff(RGBA16, photometric="rgb", extrasamples=[0]), 3, None),
        (write.tiff(RGBA8, photometric="rgb", extrasamples=[0]), 3, None),
        (tiff_gray(FIVE, planarconfig="contig"), 5, None),
        (
            tiff_gray(RGBA16[..., :2], planarconfig="contig", extrasamples=[2]),
            1,
            "unassociated",
        ),
        (write.fits(COLOR16), 3, None),
        (write.png(RGBA16), 3, "unassociated"),
        (write.png(RGBA16[..., :2]), 1, "unassociated"),
        (write.pnm(COLOR16, 65535), 3, None),
        (write.sgi(RGBA16), 3, "unassociated"),
        (write.tga(RGBA8, attribute_type=4), 3, "associated"),
    ],
)
def test_the_file_says_which_channels_are_color_and_which_is_alpha(content, channels, alpha):
    decoded = decode_file(content)
    assert (decoded.n_color_channels, decoded.alpha) == (channels, alpha)


OME = '<OME><Image><Pixels SignificantBits="12" Type="uint16"/></Image></OME>'


@pytest.mark.parametrize(
    ("content", "value_range"),
    [
        (write.packed_tiff(GRAY16 >> 6, 10), (0, 1023)),
        (write.packed_tiff(GRAY12, 12), (0, 4095)),
        (write.packed_tiff(GRAY12, 12, photometric="miniswhite"), (0, 4095)),
        (tiff_gray(GRAY12, description=OME), (0, 4095)),
        (tiff_gray(GRAY12, extratags=[(281, 3, 1, 4095, True)]), (0, 4095)),
        (tiff_gray(GRAY12, extratags=[(281, 3, 1, 4001, True)]), None),
        (tiff_gray(GRAY16, description=OME), None),
        (tiff_gray(GRAY12), None),
        (write.tiff(COLOR12, photometric="rgb", description=OME), (0, 4095)),
        (write.png(GRAY12, sBIT=b"\x0c"), None),
        (write.pnm(GRAY12, 4095), (0, 4095)),
        (write.pnm(GRAY16, 65535), None),
        (write.jpeg2000(GRAY12, 12), (0, 4095)),
        (write.jpeg2000(offset_by(GRAY12, -2048, np.int16), 12), (-2048, 2047)),
        (write.jpeg2000(GRAY16, 16), None),
        (write.fits(SIGNED16), None),
    ],
)
def test_a_range_is_what_the_file_states(content, value_range):
    assert decode_file(content).value_range == value_range


def test_packed_white_is_zero_is_turned_round_within_its_bits():
    content = write.packed_tiff(GRAY12, 12, photometric="miniswhite")
    np.testing.assert_array_equal(decoded_array(content), 4095 - GRAY12)


def test_alpha_beside_white_is_zero_is_left_as_it_is():
    array = RGBA16[..., :2]
    options = {"photometric": "miniswhite", "planarconfig": "contig", "extrasamples": [2]}
    found = decoded_array(write.tiff(array, **options))
    np.testing.assert_array_equal(found[..., 0], 65535 - array[..., 0])
    np.testing.assert_array_equal(found[..., 1], array[..., 1])


@pytest.mark.parametrize("array", [GRAY16, COLOR16], ids=["gray", "color"])
def test_the_transparent_value_of_a_16_bit_png_becomes_alpha(array):
    content = write.png(array, transparent=array[0, 0])
    decoded = decode_file(content)
    alpha = np.full((H, W), 65535)
    alpha[(np.atleast_3d(array) == array[0, 0]).all(axis=-1)] = 0
    assert decoded.alpha == "unassociated"
    np.testing.assert_array_equal(decoded.pixels[..., -1], alpha)
    np.testing.assert_array_equal(decoded.pixels[..., :-1], np.atleast_3d(array))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("array", [COLOR8, GRAY16, COLOR16, RGBA16.astype(np.float32)])
def test_arrays_and_images_are_upright(array, orientation):
    options = {"photometric": "minisblack" if array.ndim == 2 else "rgb"}
    content = write.tiff(array, extratags=[(274, 3, 1, orientation, True)], **options)
    pixels = decode_file(content).pixels
    if isinstance(pixels, Image.Image):
        pixels = np.asarray(ImageOps.exif_transpose(pixels))
    marked = Image.fromarray(np.arange(H * W, dtype=np.int32).reshape(H, W))
    marked.getexif()[0x0112] = orientation
    order = np.asarray(ImageOps.exif_transpose(marked))
    written = array.reshape(H * W, -1)[order].reshape(pixels.shape)
    np.testing.assert_array_equal(pixels, written)


def test_exif_turns_a_16_bit_png():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = write.png(COLOR16, eXIf=exif.tobytes()[6:])
    np.testing.assert_array_equal(decoded_array(content), np.rot90(COLOR16, -1))


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (GRAY12, {}),
        (GRAY12, {"compression": "lzw", "predictor": True}),
        (GRAY12, {"compression": "zlib", "byteorder": ">"}),
        (COLOR8, {"planarconfig": "contig"}),
    ],
)
def test_of_several_pages_the_first_is_taken(array, options):
    pages = np.stack([array, array // 2])
    photometric = "rgb" if array.ndim == 3 else "minisblack"
    content = write.tiff(pages, photometric=photometric, **options)
    np.testing.assert_array_equal(decoded_array(content), array)


def test_a_tile_that_was_left_out_is_black():
    tiles = [RGBA16[:16, :16, 0], None, GRAY16[:16, :16], np.ones((16, 16), np.uint16)]
    content = write.tiff(
        iter(tiles), shape=(32, 32), dtype=np.uint16, tile=(16, 16), photometric="minisblack"
    )
    tiles[1] = np.zeros((16, 16))
    np.testing.assert_array_equal(decoded_array(content), np.block([tiles[:2], tiles[2:]]))


def test_of_an_empty_first_unit_of_fits_the_next_is_taken():
    content = write.fits(GRAY16.view(np.int16), extension=True)
    np.testing.assert_array_equal(decoded_array(content), GRAY16.view(np.int16))


@pytest.mark.parametrize("bits", [8, 16])
def test_reversed_bits_are_put_right(bits):
    array = COLOR8[..., 0] if bits == 8 else GRAY16
    content = tiff_gray(array, extratags=[(265, 3, 1, 2, True)])
    content = write.rename_tag(content, 265, 266)  # the order of bits, which is not written
    start, data = content.find(array.tobytes()), array.tobytes()
    reverse = np.packbits(np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little"))
    content = content[:start] + reverse.tobytes() + content[start + len(data) :]
    np.testing.assert_array_equal(decoded_array(content), array)


def test_wide_cmyk_is_that_of_8_bits():
    ink = values("u2", H, W, 4)
    image = decode_file(write.tiff(ink, photometric="separated")).pixels
    assert image.mode == "CMYK"
    np.testing.assert_array_equal(np.asarray(image), np.rint(ink / 257))


@pytest.mark.parametrize("options", [{}, {"planarconfig": "separate", "compression": "zlib"}])
def test_cielab_has_the_color_that_was_written(options):
    red = np.array([54.3 * 2.55, 80.8, 69.9]).astype(np.uint8)  # CIELab of red under D50
    green = np.array([87.8 * 2.55, -79.3 + 256, 81.0]).astype(np.uint8)
    lab = np.stack([[red, green]] * 3)
    array = planar(lab) if options else lab
    image = decode_file(write.tiff(array, photometric="cielab", **options)).pixels
    expected = np.broadcast_to([(255, 0, 0), (0, 255, 0)], (3, 2, 3))
    np.testing.assert_allclose(np.asarray(image.convert("RGB")), expected, atol=15)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_ycbcr_is_converted(compression):
    y, x = np.mgrid[:H, :W]
    rgb = np.stack([9 * x, 11 * y, 5 * (x + y)], axis=-1).astype(np.uint8)
    stored = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    options = {"photometric": "ycbcr", "subsampling": (1, 1), "compression": compression}
    found = decode_file(write.tiff(stored, **options)).pixels.convert("RGB")
    assert np.abs(np.asarray(found).astype(int) - rgb).max() <= 5  # rounded twice


@pytest.mark.parametrize("scale", [1, 257])
def test_a_palette_of_8_or_16_bits_has_its_colors(scale):
    colors = values("u1", 256, 3)
    indices = COLOR8[..., 0]
    table = colors.T.astype(np.uint16) * np.uint16(scale)
    content = write.tiff(indices, photometric="palette", colormap=table)
    np.testing.assert_array_equal(decode_file(content).pixels.convert("RGB"), colors[indices])


def test_a_palette_of_16_bits_has_its_colors():
    table = values("u2", 3, 65536)
    content = write.tiff(GRAY16, photometric="palette", colormap=table)
    np.testing.assert_array_equal(decoded_array(content), table.T[GRAY16])


@pytest.mark.parametrize(
    "content",
    [
        write.tga(RGBA8),
        write.tga(RGBA8, attribute_type=3),
        write.bmp(RGBA8[..., [2, 1, 0, 3]], 56, (*COLOR_MASKS, 0xFF000000)),
        write.bmp(RGBA8[..., [2, 1, 0, 3]], 108, (*COLOR_MASKS, 0xFF000000)),
        write.icon(RGBA8[..., [2, 1, 0, 3]], np.ones((H, W), bool)),
        write.psd(RGBA8, -1),
        write.tiff(RGBA8, photometric="rgb", extrasamples=["unassalpha"]),
    ],
)
def test_alpha_that_the_header_declares_is_kept(content):
    np.testing.assert_array_equal(decoded_array(content), RGBA8)


@pytest.mark.parametrize(
    "content",
    [
        write.tga(UNUSED, alpha_bits=0),
        write.tga(RGBA8_OF_COLOR, alpha_bits=0),
        write.tga(UNUSED, alpha_bits=0, attribute_type=3),
        write.tga(UNUSED, attribute_type=0),
        write.tga(UNUSED, attribute_type=1),
        write.tga(UNUSED, attribute_type=2),
        write.bmp(BGRX),
        write.bmp(BGRX, 108),
        write.bmp(BGRX, 40, COLOR_MASKS),
        write.bmp(BGRX, 56, (*COLOR_MASKS, 0)),
        write.bmp(BGRX, 124, (*COLOR_MASKS, 0)),
        write.bmp(BGRX, 124, (0, 0, 0, 0)),
        write.icon(BGRX, np.zeros((H, W), bool)),
        write.dds(UNUSED),
        write.psd(RGBA8_OF_COLOR, 1),
        write.psd(RGBA8_OF_COLOR, None),
        write.sun(COLOR8, 1),
    ],
)
def test_a_fourth_byte_that_the_header_does_not_declare_is_ignored(content):
    image = decode_file(content).pixels
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), COLOR8)


def test_a_transparent_png_in_an_icon_stays_transparent():
    file = io.BytesIO()
    Image.fromarray(UNUSED).save(file, "ICO", sizes=[(16, 16)])
    assert decode_file(file.getvalue()).pixels.getextrema()[3] == (0, 0)


def test_the_mask_of_an_icon_counts_where_its_alpha_is_unused():
    mask = RNG.random((H, W)) < 0.5
    found = decoded_array(write.icon(BGRX, mask))
    np.testing.assert_array_equal(found[..., :3], COLOR8)
    np.testing.assert_array_equal(found[..., 3], np.where(mask, 0, 255))
