"""Files whose values Pillow alone does not give back, each against what was written."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from sklearn_transfer.extraction._files import decode_file
from tests.extraction import file_writers as write

H, W = 21, 27
RNG = np.random.default_rng(0)
LIMITS = {"u1": (0, 255), "u2": (0, 65535), "i1": (-128, 127), "i2": (-32768, 32767)}


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
RGBA16, GRAY_ALPHA16 = values("u2", H, W, 4), values("u2", H, W, 2)
SIGNED16 = values("i2", H, W)
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


def gray_alpha(extra="unassalpha"):
    array = values("u1", H, W, 2)
    options = {
        "photometric": "minisblack",
        "planarconfig": "separate",
        "extrasamples": [extra],
    }
    return write.tiff(planar(array), compression="zlib", **options), array


def negative(array):
    return write.tiff(array, photometric="miniswhite"), 65535 - array


# Content, and the array that it means.
MISREAD = {
    "TIFF, 16-bit planar RGB": (
        write.tiff(planar(COLOR16), photometric="rgb", planarconfig="separate"),
        COLOR16,
    ),
    "TIFF, 16-bit WhiteIsZero": negative(GRAY16),
    "TIFF, 8-bit planar gray and alpha": gray_alpha(),
    "TIFF, int8": (
        write.tiff(GRAY16.astype(np.int8), photometric="minisblack"),
        GRAY16.astype(np.int8),
    ),
    "TIFF, compressed big-endian float32": (
        write.tiff(GRAY16 / np.float32(65535), byteorder=">", compression="zlib"),
        GRAY16 / np.float32(65535),
    ),
    "TIFF, compressed big-endian int16": (
        write.tiff(SIGNED16, byteorder=">", compression="lzw"),
        SIGNED16,
    ),
    "TIFF, uint32 above int32": (
        write.tiff(GRAY16.astype(np.uint32) << 16, photometric="minisblack"),
        GRAY16.astype(np.uint32) << 16,
    ),
    "TIFF, WhiteIsZero of float32": (
        write.tiff(GRAY16 / np.float32(65535), photometric="miniswhite"),
        np.float32(1) - GRAY16 / np.float32(65535),
    ),
    "TIFF, 16-bit RGB": (write.tiff(COLOR16, photometric="rgb"), COLOR16),
    "TIFF, compressed 16-bit RGBA": (
        write.tiff(RGBA16, photometric="rgb", extrasamples=["unassalpha"], compression="zlib"),
        RGBA16,
    ),
    "TIFF, float64": (write.tiff(GRAY16 / 65535, photometric="minisblack"), GRAY16 / 65535),
    "TIFF, five channels": (
        write.tiff(values("u1", H, W, 5), photometric="minisblack", planarconfig="contig"),
        None,
    ),
    "FITS, uint16": (
        write.fits(SIGNED16, write.card("BZERO", 32768)),
        (SIGNED16.astype(np.int32) + 32768).astype(np.uint16),
    ),
    "FITS, int8": (
        write.fits(COLOR8[..., 0], write.card("BZERO", -128)),
        (COLOR8[..., 0].astype(np.int16) - 128).astype(np.int8),
    ),
    "FITS, int16": (write.fits(SIGNED16), SIGNED16),
    "FITS, uint32": (
        write.fits(SIGNED16.astype(np.int32), write.card("BZERO", "2147483648.0")),
        (SIGNED16.astype(np.int64) + 2**31).astype(np.uint32),
    ),
    "FITS, scaled": (
        write.fits(SIGNED16, write.card("BSCALE", "2.5E-1"), write.card("BZERO", 7)),
        7 + 0.25 * SIGNED16,
    ),
    "FITS, three planes": (write.fits(values("u1", H, W, 3)), None),
    "FITS, int64": (write.fits(SIGNED16.astype(np.int64)), SIGNED16.astype(np.int64)),
    "PNG, 16-bit RGB": (write.png(COLOR16), COLOR16),
    "PNG, 16-bit RGBA": (write.png(RGBA16), RGBA16),
    "PNG, 16-bit gray and alpha": (write.png(GRAY_ALPHA16), GRAY_ALPHA16),
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
        write.tga(np.full((H, W), 0x8000 | 31 << 10, np.uint16), alpha_bits=0),
        np.full((H, W, 3), (255, 0, 0), np.uint8),
    ),
    "BMP with empty masks": (write.bmp(BGRX, 56, (0, 0, 0, 0)), COLOR8),
    "BMP of 16 bits with alpha": (
        write.bmp(
            np.where(np.arange(W) % 2, 0x8000, 0) + np.zeros((H, 1), np.uint16) + 31,
            56,
            (0x7C00, 0x3E0, 0x1F, 0x8000),
        ),
        np.broadcast_to(
            np.where(np.arange(W)[:, None] % 2, (0, 0, 255, 255), (0, 0, 255, 0)), (H, W, 4)
        ),
    ),
    "ICO without alpha": (write.icon(BGRX, np.zeros((H, W), bool)), COLOR8),
    "PSD with a saved selection": (write.psd(RGBA8, None), RGBA8[..., :3]),
}
_five = values("u1", H, W, 5)
_planes = values("u1", H, W, 3)
MISREAD["TIFF, five channels"] = (
    write.tiff(_five, photometric="minisblack", planarconfig="contig"),
    _five,
)
MISREAD["FITS, three planes"] = (write.fits(_planes), _planes)


@pytest.mark.parametrize("name", MISREAD)
def test_values_that_pillow_alone_misreads_are_those_that_were_written(name):
    content, written = MISREAD[name]
    alone = pillow_alone(content)
    found = decoded_array(content)
    assert found.dtype == written.dtype or written.dtype == np.int64
    np.testing.assert_array_equal(found, written)
    same = alone is not None and alone.shape == written.shape and (alone == written).all()
    assert not same or alone.dtype != written.dtype
