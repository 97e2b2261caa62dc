"""Ordinary files as Pillow has them; damaged, unclear and huge ones, and missing extras."""

import io
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from sklearn_transfer._modalities.image.files import BadFileError, decode_file
from tests.modalities import file_writers as write
from tests.modalities.test_files import (
    COLOR8,
    COLOR12,
    COLOR16,
    FIVE,
    FLOAT,
    GRAY16,
    MISREAD,
    RGBA8,
    SIGNED16,
    H,
    W,
    decoded_array,
    pillow_alone,
    planar,
    tiff_gray,
    tiff_planar,
    values,
)

PLAIN_IMAGES = {
    "L": Image.fromarray(COLOR8[..., 0]),
    "LA": Image.fromarray(RGBA8[..., :2]),
    "RGB": Image.fromarray(COLOR8),
    "RGBA": Image.fromarray(RGBA8),
    "P": Image.fromarray(COLOR8).quantize(17),
    "1": Image.fromarray(COLOR8[..., 0] > 99),
    "CMYK": Image.fromarray(COLOR8).convert("CMYK"),
}
ORDINARY = [
    *[(mode, "PNG", {}) for mode in ("L", "LA", "RGB", "RGBA", "P", "1")],
    *[(mode, "JPEG", {}) for mode in ("L", "RGB", "CMYK")],
    *[(mode, "WEBP", {}) for mode in ("RGB", "RGBA")],
    *[(mode, "GIF", {}) for mode in ("L", "P", "1")],
    *[(mode, "BMP", {}) for mode in ("L", "RGB", "P", "1")],
    *[(mode, "TGA", {"rle": rle}) for mode in ("L", "RGB", "P") for rle in (False, True)],
    *[(mode, "PPM", {}) for mode in ("L", "RGB", "1")],
    *[(mode, "PCX", {}) for mode in ("L", "RGB", "P", "1")],
    *[(mode, "SGI", {}) for mode in ("L", "RGB", "RGBA")],
    *[(mode, "JPEG2000", {}) for mode in ("L", "RGB", "RGBA")],
    *[(mode, "DDS", {}) for mode in ("L", "LA", "RGB", "RGBA")],
    *[(mode, "ICO", {"bitmap_format": f}) for mode in ("RGB", "RGBA") for f in ("png", "bmp")],
    *[
        (mode, "TIFF", {"compression": compression})
        for mode in ("L", "LA", "RGB", "RGBA", "P", "1", "CMYK")
        for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")
    ],
    *[("1", "TIFF", {"compression": compression}) for compression in ("group3", "group4")],
    *[(mode, "TIFF", {"compression": "jpeg"}) for mode in ("L", "RGB", "CMYK")],
]


def saved(mode, kind, options):
    file = io.BytesIO()
    PLAIN_IMAGES[mode].save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(("mode", "kind", "options"), ORDINARY)
def test_ordinary_files_are_what_pillow_makes_of_them(mode, kind, options):
    content = saved(mode, kind, options)
    found, alone = decode_file(content).pixels, Image.open(io.BytesIO(content))
    assert (found.mode, found.size, found.getpalette()) == (
        alone.mode,
        alone.size,
        alone.getpalette(),
    )
    assert found.tobytes() == alone.tobytes()


def test_pfm_has_the_values_that_were_written():
    file = io.BytesIO()
    Image.fromarray(FLOAT).save(file, "PPM")
    np.testing.assert_array_equal(decoded_array(file.getvalue()), FLOAT)


@pytest.mark.parametrize("max_value", [1, 15, 200])
def test_a_pgm_of_few_levels_spans_black_to_white(max_value):
    array = values("u1", H, W, high=max_value)
    found = decoded_array(write.pnm(array, max_value))
    np.testing.assert_array_equal(found, np.rint(array / max_value * 255))


def test_a_fits_of_8_bits_has_the_pixels_of_pillow():
    content = write.fits(COLOR8[..., 0])
    np.testing.assert_array_equal(decoded_array(content), pillow_alone(content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no image", "not an image in a format that Pillow reads"),
        (b"II*\0\x08\0\0\0", "TIFF file.*export it again"),
        (b"SIMPLE", "FITS file whose header does not end"),
        (
            write.rename_tag(tiff_gray(GRAY16), 262, 265),
            "whether 0 is black or white.*PhotometricInterpretation.*save it again",
        ),
        (write.with_tag(tiff_gray(GRAY16), 262, 32803), "raw sensor data, expected gray"),
        (write.with_tag(tiff_gray(GRAY16), 262, 9), "photometric 9, expected gray, RGB"),
        (
            tiff_gray(GRAY16, subfiletype=1, extratags=[(50706, 1, 4, b"\1\4\0\0", True)]),
            "first image is a reduced preview; export the full image",
        ),
        (tiff_gray(GRAY16 + 0j), r"formats \[6\], expected one of unsigned.*convert"),
        (tiff_gray(np.stack([GRAY16] * 4), volumetric=True, tile=(2, 16, 16)), "TIFF volume"),
        (
            write.tiff(FLOAT * 2, photometric="miniswhite"),
            r"32-bit float TIFF \(WhiteIsZero, uncompressed\) with values in \[.*, 1.99",
        ),
        (
            write.tiff(COLOR16, photometric="cielab"),
            r"is a 16-bit TIFF \(CIELab, uncompressed\), which is not supported; convert",
        ),
        (
            write.tiff(RGBA8, photometric="separated", extratags=[(332, 3, 1, 2, True)]),
            "inks other than CMYK",
        ),
        (write.fits(RGBA8), r"shape \(4, 21, 27\), expected one plane.*pass the array"),
        (write.fits(GRAY16.view(np.int16), bits=24), "BITPIX 24, expected one of"),
        (
            write.fits(GRAY16.view(np.int16), write.card("ZIMAGE", "T")),
            "tile compression; decompress it",
        ),
        (write.fits(SIGNED16, write.card("BZERO", "abc")), "BZERO = 'abc', expected a number"),
        (write.fits(np.zeros((0, 0), np.uint8)), "FITS file without an image"),
        (b"P2 1 1 65535 70000", "the value 70000, expected at most the 65535"),
        (write.pnm(GRAY16 | 4096, 4095), "expected at most the 4095 that its header states"),
        (write.tga(RGBA8[..., :2], alpha_bits=0), "16 bits that declares no alpha.*PNG"),
        (
            write.sgi(COLOR16)[:2] + b"\1" + write.sgi(COLOR16)[3:],
            "SGI file of 16 bits with run-length.*save it uncompressed",
        ),
    ],
)
def test_a_file_that_has_no_certain_meaning_is_refused_with_the_repair(content, reason):
    with pytest.raises(BadFileError, match=reason):
        decode_file(content)


WHOLE = {
    **{name: content for name, (content, _) in MISREAD.items()},
    **{" ".join(map(str, case)): saved(*case) for case in ORDINARY},
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_ends_early_is_refused(name):
    content = WHOLE[name]
    for length in (len(content) // 2, 20):
        with pytest.raises(BadFileError):
            decode_file(content[:length])


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}])
def test_a_strip_that_ends_early_is_refused(compression, options):
    array = planar(COLOR16) if options else COLOR16
    content = write.tiff(
        array, photometric="rgb", compression=compression, rowsperstrip=H, **options
    )
    content = write.shorten_first_strip(content)
    with pytest.raises(BadFileError):
        decode_file(content)


@pytest.mark.parametrize(
    "content",
    [
        write.tiff(COLOR8, photometric="rgb"),
        tiff_planar(COLOR16, photometric="rgb"),
        write.fits(SIGNED16),
        write.png(COLOR16),
        saved("RGB", "JPEG", {}),
    ],
)
def test_more_pixels_than_pillow_takes_for_safe_are_refused(content, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W - 1)
    with pytest.raises(BadFileError, match="MAX_IMAGE_PIXELS if you trust the file"):
        decode_file(content)


def test_many_channels_count_as_pixels(monkeypatch):
    content = tiff_gray(np.zeros((H, W, 100), np.uint8), planarconfig="contig")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6 * H * W)
    with pytest.raises(BadFileError, match="27 x 21 pixels are more than"):
        decode_file(content)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (
            tiff_planar(COLOR16, photometric="rgb"),
            r"is a 16-bit planar TIFF \(RGB, uncompressed\), which Pillow misreads",
        ),
        (
            tiff_gray(FLOAT, byteorder=">", compression="zlib"),
            r"is a 32-bit float TIFF \(gray, deflate\), which Pillow misreads",
        ),
        (
            tiff_gray(FIVE, planarconfig="contig"),
            r"is an 8-bit TIFF \(gray with 4 extra samples, uncompressed\), which Pillow",
        ),
        (tiff_gray(GRAY16, byteorder=">", bigtiff=True), "is a big-endian BigTIFF, which"),
        (write.jpeg2000(COLOR16, 16), "is a JPEG 2000 file of 3 x 16 bits, which imagecodecs"),
    ],
)
def test_a_missing_extra_is_named(content, what, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(
        BadFileError, match=rf'{what}.*pip install "sklearn-transfer\[formats\]"'
    ):
        decode_file(content)


def test_a_missing_codec_is_named(monkeypatch):
    content = tiff_planar(COLOR16, photometric="rgb", compression="lzw")
    monkeypatch.setattr(
        tifffile.TiffPage, "asarray", raises(ValueError("requires the 'imagecodecs' package"))
    )
    with pytest.raises(BadFileError, match=r"planar TIFF.*'imagecodecs'.*\[formats\]"):
        decode_file(content)


def raises(error):
    def method(*args, **kwargs):
        raise error

    return method


@pytest.mark.parametrize(
    ("content", "written"),
    [
        (write.tiff(COLOR8, photometric="rgb", compression="lzw"), COLOR8),
        (tiff_planar(COLOR8, photometric="rgb", compression="lzw"), COLOR8),
        (tiff_gray(GRAY16, byteorder=">", compression="zlib"), GRAY16),
        (write.tiff(GRAY16, photometric="miniswhite"), 65535 - GRAY16),
        (write.tiff(COLOR16, photometric="rgb", compression="zlib"), COLOR16),
        (write.tiff(RGBA8, photometric="rgb", extrasamples=[0]), RGBA8[..., :3]),
        (write.fits(SIGNED16), SIGNED16),
        (write.png(COLOR16), COLOR16),
        (write.pnm(COLOR12, 4095), COLOR12),
    ],
)
def test_what_needs_no_extra_is_read_without_it(content, written, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    np.testing.assert_array_equal(decoded_array(content), written)


def test_ordinary_files_do_not_load_tifffile():
    contents = [saved("RGB", kind, {}) for kind in ("JPEG", "PNG", "TIFF", "BMP")]
    code = (
        "import sys\n"
        "from sklearn_transfer._modalities.image.files import BadFileError, decode_file\n"
        f"for content in {contents!r}: decode_file(content)\n"
        "print('tifffile' in sys.modules, 'imagecodecs' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert run.stdout.split() == [b"False", b"False"]
