"""Files to pixels, in the values that were written."""

import math
import re
import struct

import numpy as np
from PIL import Image

from sklearn_transfer.extraction._decoded import (
    FORMATS_EXTRA,
    ORIENTATION,
    BadFileError,
    Decoded,
    load_image,
    open_image,
    open_with_raw_mode,
    require_values,
    turn_upright,
)
from sklearn_transfer.extraction._fits import decode_fits
from sklearn_transfer.extraction._tiff import TIFF_SIGNATURES, decode_tiff

__all__ = ["BadFileError", "Decoded", "decode_file"]

_CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000: start, then the sizes
_YCBCR_COLORS = re.compile(rb"colr\x01..\0\0\0\x12", re.DOTALL)  # sYCC, by its number
_TGA_FOOTER = b"TRUEVISION-XFILE.\0"


def decode_file(content):
    """First image of an encoded file (bytes) as a `Decoded`; raises BadFileError.

    Pillow decodes what it reads right: JPEG, WebP, GIF, PNG and BMP of 8 bits, and most
    others. TIFF is decided by its tags, FITS is read here, samples of more than 8 bits come
    as arrays, and a fourth channel is alpha only where the file says so.
    """
    if not content:
        raise BadFileError("the file is empty")
    if content.startswith(TIFF_SIGNATURES):
        return decode_tiff(content)
    if content.startswith(b"SIMPLE"):
        return decode_fits(content)
    image = open_image(content)
    read = _READERS.get(image.format)
    return Decoded(load_image(image)) if read is None else read(image, content)


def _without_alpha(image):
    return image.convert("L" if image.mode == "LA" else "RGB")


def _read_png(image, content):
    """8 bits as Pillow has them; of 16 bits both bytes, Pillow keeps one where there is color.

    The samples span 16 bits whatever sBIT says: the format has writers scale them.
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
    if hidden is not None and color_type in (0, 2):  # the one gray or color to see through
        array = np.atleast_3d(array)
        opaque = (array != np.asarray(hidden)).any(axis=-1, keepdims=True)
        array = np.concatenate([array, opaque * np.uint16(65535)], axis=-1)
    array = turn_upright(array, image.getexif().get(ORIENTATION))
    return _color_array(array)


def _join_bytes(image, content, low_order):
    """Samples of 16 bits from a decoded image of their high bytes."""
    low = np.asarray(open_with_raw_mode(content, f"{image.mode};{low_order}"))
    return (np.asarray(image).astype(np.uint16) << 8) | low


def _color_array(array, value_range=None):
    """Decoded of an array whose even number of channels means gray or color with alpha."""
    if array.ndim == 2:
        return Decoded(array, value_range)
    n_channels = array.shape[2]
    n_color_channels = 1 if n_channels < 3 else 3
    alpha = "unassociated" if n_channels > n_color_channels else None
    return Decoded(array, value_range, n_color_channels, alpha)


def _read_ppm(image, content):
    """Samples above 8 bits as written, with the largest value that the header states."""
    offset, args = image.tile[0][2:]
    kind = content[:2]
    max_value = args[1] if args[0] in ("L", "RGB") else 65535 if image.mode == "I" else 0
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
            f"{what} has the value {array.max()}, expected at most the {max_value} that its"
            " header states; export it again"
        )
    value_range = None if max_value == 65535 else (0, max_value)
    return _color_array(array.reshape(shape), value_range)


def _read_plain_values(text, n_values, what):
    tokens = re.sub(rb"#[^\r\n]*", b"", text).split()[:n_values]
    if len(tokens) < n_values or not all(token.isdigit() for token in tokens):
        raise BadFileError(
            f"{what} is damaged: expected {n_values} whole numbers after the header, found"
            f" {sum(token.isdigit() for token in tokens)}; export it again"
        )
    return np.array([min(int(token), 65535) for token in tokens], np.uint16)


def _read_jpeg2000(image, content):
    """8 bits as Pillow has them; above, the values of as many bits as the header states."""
    start = content.find(_CODESTREAM)
    n_channels, precision = struct.unpack_from(">HB", content, start + 40)
    bits, signed = (precision & 127) + 1, precision > 127
    if start < 0 or bits <= 8 or image.mode not in ("I;16", "LA", "RGB", "RGBA"):
        return Decoded(load_image(image))
    if bits > 16 or image.mode != "I;16":
        what = f"a JPEG 2000 file of {n_channels} x {bits} bits"
        if _YCBCR_COLORS.search(content, 0, start):
            raise BadFileError(f"{what} in YCbCr is not supported; convert it to RGB")
        array = _decode_jpeg2000(content, what)
    else:  # Pillow shifts what it reads to 16 bits, and lifts signed values above 0
        array = np.asarray(load_image(image)).astype(np.uint16) >> (16 - bits)
        if signed:
            array = (array.astype(np.int32) - 2 ** (bits - 1)).astype(np.int16)
    full = array.dtype.itemsize * 8 == bits
    value_range = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return _color_array(array, None if full else value_range)


def _decode_jpeg2000(content, what):
    try:
        from imagecodecs import jpeg2k_decode
    except ImportError as error:
        raise BadFileError(
            f"{what} is read by imagecodecs, which is not installed: {FORMATS_EXTRA}"
        ) from error
    try:
        return jpeg2k_decode(content)
    except Exception as error:
        raise BadFileError(f"{what} cannot be decoded: {error}; export it again") from error


def _read_tga(image, content):
    """The image descriptor and the extension area say whether there is alpha at all."""
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
        return Decoded(_without_alpha(image))
    if attribute_type == 4 and image.mode == "RGBA":
        return Decoded(np.asarray(image), None, 3, "associated")
    return Decoded(image)


def _read_bmp(image, content):
    """The mask of alpha says whether there is any, and only some headers have one."""
    start = 14 if image.format == "BMP" else 0  # where the header of the bitmap begins
    image = load_image(image)
    size, _, _, _, bits, compression = struct.unpack_from("<IiiHHI", content, start)
    mask = struct.unpack_from("<I", content, start + 52)[0]
    if size < 56 or compression != 3:
        mask = 0
    if image.mode == "RGBA" and mask == 0:
        image = _without_alpha(image)
    elif image.mode == "RGB" and bits == 16 and mask == 0x8000 and start:
        image.putalpha(_top_bits(image.size, content, start))
    return Decoded(image)


def _top_bits(size, content, start):
    """The highest bit of each pixel of 16 bits as 0 or 255, which Pillow leaves out."""
    width, height = size
    stride = -(-width // 2) * 2
    offset = int.from_bytes(content[10:14], "little")
    pixels = require_values(content, offset, stride * height, "<u2", "a BMP file of 16 bits")
    bits = pixels.reshape(height, stride)[:, :width] >> 15
    top_down = content[start + 11] == 255  # a negative height
    return Image.fromarray((bits if top_down else bits[::-1]).astype(np.uint8) * np.uint8(255))


def _read_icon(image, content):
    """Alpha that is 0 everywhere is unused, and the mask of one bit says what is seen."""
    image = load_image(image)
    if image.mode != "RGBA" or image.getextrema()[3] != (0, 0):
        return Decoded(image)
    opaque = _without_alpha(image)
    mask = _and_mask(image, content)
    if mask is not None and mask.any():
        opaque.putalpha(Image.fromarray(np.where(mask, 0, 255).astype(np.uint8)))
    return Decoded(opaque)


def _and_mask(image, content):
    """Where the largest entry of an icon hides the image, None where it has no mask."""
    entry = next((e for e in _icon_entries(content) if e[0] == image.size), None)
    if entry is None or content[entry[2] : entry[2] + 4] == b"\x89PNG":
        return None
    (width, height), size, offset = entry
    stride = -(-width // 32) * 4
    end = offset + size
    packed = np.frombuffer(content[end - stride * height : end], np.uint8)
    if packed.size < stride * height:
        return None
    bits = np.unpackbits(packed.reshape(height, stride), axis=1)[:, :width]
    return bits[::-1].astype(bool)


def _icon_entries(content):
    """Sizes, lengths and offsets of the images of 32 bits."""
    for i in range(int.from_bytes(content[4:6], "little")):
        width, height, _, _, _, bits, size, offset = struct.unpack_from(
            "<4B2H2I", content, 6 + 16 * i
        )
        if bits == 32:
            yield (width or 256, height or 256), size, offset


def _read_psd(image, content):
    """A fourth channel is the merged layers' alpha where the number of layers is negative."""
    image = load_image(image)
    at = 26
    for _ in range(2):  # the color mode's data, then the resources
        at += 4 + int.from_bytes(content[at : at + 4], "big")
    n_bytes, n_layer_bytes, n_layers = struct.unpack_from(">IIh", content, at)
    if image.mode == "RGBA" and not (n_bytes and n_layer_bytes and n_layers < 0):
        image = _without_alpha(image)
    return Decoded(image)


def _read_sgi(image, content):
    """Planes of 16 bits, from the bottom row up."""
    if content[3] != 2:
        return Decoded(load_image(image))
    if content[2] != 0:
        raise BadFileError(
            "is an SGI file of 16 bits with run lengths, of which Pillow keeps 8; save it"
            " uncompressed, or as PNG"
        )
    n_channels = len(image.getbands())
    shape = (n_channels, image.size[1], image.size[0])
    values = require_values(content, 512, math.prod(shape), ">u2", "an SGI file")
    array = np.moveaxis(values.reshape(shape), 0, -1)[::-1]
    return _color_array(np.ascontiguousarray(array[..., 0] if n_channels == 1 else array))


def _read_sun(image, content):
    """Of 32 bits the first byte is unused, where Pillow leaves out the last."""
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
    "PSD": _read_psd,
    "SGI": _read_sgi,
    "SUN": _read_sun,
}
