"""Decoding of image files to the values that were written."""

import math
import re
import struct

import numpy as np
from PIL import Image, ImageOps

from sklearn_transfer._modalities.image.decoded import (
    FORMATS_EXTRA,
    ORIENTATION,
    BadFileError,
    Decoded,
    describe_error,
    load_image,
    open_image,
    open_with_raw_mode,
    require_values,
    turn_upright,
)
from sklearn_transfer._modalities.image.fits import decode_fits
from sklearn_transfer._modalities.image.tiff import TIFF_SIGNATURES, decode_tiff

__all__ = ["BadFileError", "Decoded", "decode_file"]

_CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000: start, then the sizes
_YCBCR_COLORS = re.compile(rb"colr\x01..\0\0\0\x12", re.DOTALL)  # sYCC, by its number
_TGA_FOOTER = b"TRUEVISION-XFILE.\0"


def decode_file(content):
    """Decode the first image of a file (bytes) to a `Decoded`; raises BadFileError.

    Pillow decodes the formats that it reads correctly: JPEG, WebP, GIF, PNG and BMP of 8 bits,
    and most others. The tags of a TIFF file decide what reads it, and FITS is read here.
    Samples of more than 8 bits become arrays, and a fourth channel is alpha only if the file
    says so.
    """
    if not content:
        raise BadFileError("the file is empty")
    try:
        if content.startswith(TIFF_SIGNATURES):
            return decode_tiff(content)
        if content.startswith(b"SIMPLE"):
            return decode_fits(content)
        image = open_image(content)
        read = _READERS.get(image.format)
        return Decoded(load_image(image)) if read is None else read(image, content)
    except BadFileError:
        raise
    except Exception as error:  # a damaged header can lead to any error
        raise BadFileError(describe_error(error)) from error


def _remove_alpha(image):
    return image.convert("L" if image.mode == "LA" else "RGB")


def _read_png(image, content):
    """Decode a PNG file: 8 bits by Pillow, and both bytes of 16-bit samples.

    Pillow keeps one byte of 16-bit samples with color or alpha. Samples span 16 bits whatever
    the chunk sBIT says, since the format requires writers to scale them.
    """
    if content[24] != 16:
        return Decoded(load_image(image))
    color_type = content[25]
    hidden = image.info.get("transparency")
    if color_type == 0:
        array = np.asarray(load_image(image)).astype(np.uint16)
    elif color_type == 4:  # gray and alpha, unpacked as the four bytes that they are
        image = open_with_raw_mode(content, "RGBA")
        array = np.asarray(image).view(">u2").astype(np.uint16)
    else:
        array = _join_bytes(load_image(image), content, "16L")
    if hidden is not None and color_type in (0, 2):  # this gray level or color is transparent
        array = np.atleast_3d(array)
        opaque = (array != np.asarray(hidden)).any(axis=-1, keepdims=True)
        array = np.concatenate([array, opaque * np.uint16(65535)], axis=-1)
    array = turn_upright(array, image.getexif().get(ORIENTATION))
    return _wrap_array(array)


def _join_bytes(image, content, low_order):
    """Return samples of 16 bits, given the decoded image of their high bytes."""
    low = np.asarray(open_with_raw_mode(content, f"{image.mode};{low_order}"))
    return (np.asarray(image).astype(np.uint16) << 8) | low


def _wrap_array(array, value_range=None, alpha="unassociated"):
    """Return the `Decoded` of an array; 2 or 4 channels are gray or color with alpha."""
    if array.ndim == 2:
        return Decoded(array, value_range)
    n_channels = array.shape[2]
    n_color_channels = 1 if n_channels < 3 else 3
    alpha = alpha if n_channels > n_color_channels else None
    return Decoded(array, value_range, n_color_channels, alpha)


def _read_ppm(image, content):
    """Decode samples above 8 bits as written, with the largest value of the header."""
    offset, args = image.tile[0][2:]
    kind = content[:2]
    max_value = 65535 if image.mode == "I" else 255
    if isinstance(args, tuple):
        max_value = args[1]
    if kind not in (b"P2", b"P3", b"P5", b"P6") or max_value <= 255:
        return Decoded(load_image(image))
    width, height = image.size
    shape = (height, width, 3) if kind in (b"P3", b"P6") else (height, width)
    what = f"a {'PPM' if len(shape) == 3 else 'PGM'} file of 16 bits"
    n_values = height * width * (3 if len(shape) == 3 else 1)
    if kind in (b"P5", b"P6"):
        array = require_values(content, offset, n_values, ">u2", what)
    else:
        array = _read_plain_values(content[offset:], n_values, what)
    if array.size and array.max() > max_value:
        raise BadFileError(
            f"is {what} with the value {array.max()}, expected at most the {max_value} that"
            " its header states; export it again"
        )
    value_range = None if max_value == 65535 else (0, max_value)
    return _wrap_array(array.reshape(shape).astype(np.uint16), value_range)


def _read_plain_values(text, n_values, what):
    tokens = re.sub(rb"#[^\r\n]*", b"", text).split()[:n_values]
    if len(tokens) < n_values or not all(token.isdigit() for token in tokens):
        raise BadFileError(
            f"is {what}, damaged: expected {n_values} whole numbers after the header, found"
            f" {sum(token.isdigit() for token in tokens)}; export it again"
        )
    return np.array([int(token) for token in tokens], np.int64)


def _read_jpeg2000(image, content):
    """Decode 8 bits by Pillow; above, values have as many bits as the header states."""
    start = content.find(_CODESTREAM)
    if start < 0:
        return Decoded(load_image(image))
    n_channels, precision = struct.unpack_from(">HB", content, start + 40)
    bits, signed = (precision & 127) + 1, precision > 127
    alpha = "unassociated" if content.find(b"cdef", 0, start) > 0 else "supposed"
    if bits <= 8 and alpha == "supposed" and image.mode in ("LA", "RGBA"):
        array = np.asarray(ImageOps.exif_transpose(load_image(image)))
        return _wrap_array(array, alpha=alpha)
    if bits <= 8 or image.mode not in ("L", "I;16", "LA", "RGB", "RGBA"):
        return Decoded(load_image(image))
    if bits > 16 or image.mode != "I;16":
        what = f"a JPEG 2000 file of {n_channels} x {bits} bits"
        if _YCBCR_COLORS.search(content, 0, start):
            raise BadFileError(
                f"is {what} in YCbCr, which is not supported; convert it to RGB"
            )
        array = _decode_jpeg2000(content, what)
    else:  # Pillow shifts samples to 16 bits and makes signed values positive: undo both
        array = np.asarray(load_image(image)).astype(np.uint16) >> (16 - bits)
        if signed:
            array = (array.astype(np.int32) - 2 ** (bits - 1)).astype(np.int16)
    full = array.dtype.itemsize * 8 == bits
    value_range = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return _wrap_array(array, None if full else value_range, alpha)


def _decode_jpeg2000(content, what):
    try:
        from imagecodecs import jpeg2k_decode
    except ImportError as error:
        raise BadFileError(
            f"is {what}, which imagecodecs reads, but that is not installed: {FORMATS_EXTRA}"
        ) from error
    try:
        return jpeg2k_decode(content)
    except Exception as error:
        raise BadFileError(
            f"is {what} that cannot be decoded ({error}); export it again"
        ) from error


def _read_tga(image, content):
    """Decode a TGA file; descriptor and extension area say whether there is alpha."""
    n_alpha_bits = content[17] & 15
    if image.mode == "LA" and n_alpha_bits == 0:
        raise BadFileError(
            "is a TGA file of 16 bits that declares no alpha: gray of 16 bits, or gray with"
            " an unused byte; save it as PNG"
        )
    attribute_type = 3  # useful alpha
    extension = int.from_bytes(content[-26:-22], "little")
    if content.endswith(_TGA_FOOTER) and 0 < extension < len(content) - 494:
        attribute_type = content[extension + 494]
    image = load_image(image)
    if image.mode not in ("LA", "RGBA", "P") or (image.mode == "P" and content[7] == 24):
        return Decoded(image)
    if n_alpha_bits == 0 or attribute_type < 3:
        return Decoded(_remove_alpha(image))
    if attribute_type == 4 and image.mode == "RGBA":
        return Decoded(np.asarray(image), None, 3, "associated")
    return Decoded(image)


def _read_bmp(image, content):
    """Decode a BMP file; it has alpha only if its header has a mask for it."""
    start = 14 if image.format == "BMP" else 0  # where the header of the bitmap begins
    image = load_image(image)
    header = content[start : start + 56].ljust(56, b"\0")
    size, _, _, _, bits, compression = struct.unpack_from("<IiiHHI", header)
    mask = int.from_bytes(header[52:], "little") if size >= 56 and compression == 3 else 0
    if image.mode == "RGBA" and mask == 0:
        image = _remove_alpha(image)
    elif image.mode == "RGB" and bits == 16 and mask == 0x8000 and start:
        image.putalpha(_extract_top_bits(image.size, content, start))
    return Decoded(image)


def _extract_top_bits(size, content, start):
    """Return the highest bit of each 16-bit pixel as 0 or 255; Pillow ignores that bit."""
    width, height = size
    stride = -(-width // 2) * 2
    offset = int.from_bytes(content[10:14], "little")
    pixels = require_values(content, offset, stride * height, "<u2", "a BMP file of 16 bits")
    bits = pixels.reshape(height, stride)[:, :width] >> 15
    top_down = content[start + 11] == 255  # a negative height
    return Image.fromarray((bits if top_down else bits[::-1]).astype(np.uint8) * np.uint8(255))


def _read_icon(image, content):
    """Decode an icon; if its alpha is 0 everywhere, its mask says what is visible."""
    image = load_image(image)
    entry = next(_list_bitmaps(content, image.size), None)
    is_cursor = image.format == "CUR"  # whose entries do not state their bits
    if image.mode != "RGBA" or image.getextrema()[3] != (0, 0) or not (entry or is_cursor):
        return Decoded(image)
    image = _remove_alpha(image)
    mask = _read_mask(content, image.size, *entry) if entry else None
    if mask is not None and mask.any():
        image.putalpha(Image.fromarray(np.where(mask, 0, 255).astype(np.uint8)))
    return Decoded(image)


def _list_bitmaps(content, size):
    """Yield offset and length of each 32-bit bitmap of this size."""
    for i in range(int.from_bytes(content[4:6], "little")):
        width, height, _, _, _, bits, length, offset = struct.unpack_from(
            "<4B2H2I", content, 6 + 16 * i
        )
        is_png = content[offset : offset + 4] == b"\x89PNG"
        if bits == 32 and not is_png and (width or 256, height or 256) == size:
            yield offset, length


def _read_mask(content, size, offset, length):
    """Return where the mask of an icon hides its image, or None if there is no mask."""
    width, height = size
    stride = -(-width // 32) * 4
    end = offset + length
    packed = np.frombuffer(content[end - stride * height : end], np.uint8)
    if packed.size < stride * height:
        return None
    bits = np.unpackbits(packed.reshape(height, stride), axis=1)[:, :width]
    return bits[::-1].astype(bool)


def _read_dds(image, content):
    """Decode a DDS file; older versions of Pillow fill missing pixels with black."""
    flags, _, bits = struct.unpack_from("<3I", content, 80)
    if flags & 0x40:
        n_bytes = image.size[0] * image.size[1] * (bits // 8)
        require_values(content, 128, n_bytes, np.uint8, "a DDS file")
    return Decoded(load_image(image))


def _read_pcx(image, content):
    """Decode a PCX file; truncated before its palette, 256 colors would become gray."""
    image = load_image(image)
    has_palette = content[-769:-768] == b"\x0c"
    if image.mode == "L" and not has_palette and content[68:70] != b"\2\0":
        raise BadFileError("is a PCX file without its palette; copy or export it again")
    return Decoded(image)


def _read_psd(image, content):
    """Decode a PSD file; a fourth channel is alpha if the number of layers is negative."""
    image = load_image(image)
    at = 26
    for _ in range(2):  # the color mode's data, then the resources
        at += 4 + int.from_bytes(content[at : at + 4], "big")
    n_bytes, n_layer_bytes, n_layers = struct.unpack_from(">IIh", content, at)
    if image.mode == "RGBA" and not (n_bytes and n_layer_bytes and n_layers < 0):
        image = _remove_alpha(image)
    return Decoded(image)


def _read_sgi(image, content):
    """Decode an SGI file; planes of 16 bits begin with the bottom row."""
    if content[3] != 2:
        return Decoded(load_image(image))
    if content[2] != 0:
        raise BadFileError(
            "is an SGI file of 16 bits with run-length compression, and Pillow keeps only 8"
            " bits; save it uncompressed, or as PNG"
        )
    n_channels = len(image.getbands())
    shape = (n_channels, image.size[1], image.size[0])
    values = require_values(content, 512, math.prod(shape), ">u2", "an SGI file")
    array = np.moveaxis(values.reshape(shape), 0, -1)[::-1]
    return _wrap_array(np.ascontiguousarray(array[..., 0] if n_channels == 1 else array))


def _read_sun(image, content):
    """Decode a Sun raster; of 32 bits the first byte is unused, which Pillow keeps."""
    if content[12:16] != b"\0\0\0 ":
        return Decoded(load_image(image))
    is_rgb = content[20:24] == b"\0\0\0\3"
    return Decoded(open_with_raw_mode(content, "XRGB" if is_rgb else "XBGR"))


_READERS = {
    "PNG": _read_png,
    "PPM": _read_ppm,
    "JPEG2000": _read_jpeg2000,
    "TGA": _read_tga,
    "BMP": _read_bmp,
    "DIB": _read_bmp,
    "ICO": _read_icon,
    "CUR": _read_icon,
    "DDS": _read_dds,
    "PCX": _read_pcx,
    "PSD": _read_psd,
    "SGI": _read_sgi,
    "SUN": _read_sun,
}
