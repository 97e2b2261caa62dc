"""FITS images, read without Pillow, which ignores the scaling of their values."""

import math
import re

import numpy as np

from sklearn_transfer._modalities.image.decoded import (
    BadFileError,
    Decoded,
    refuse_bomb,
    require_values,
)

_BLOCK = 2880
_CARD = 80
_TYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
# BZERO that turns the stored type into the one of the other sign, exactly.
_SIGN_OFFSETS = {8: -128, 16: 2**15, 32: 2**31, 64: 2**63}


def decode_fits(content):
    """Decode the first image of a FITS file.

    Values are BZERO + BSCALE * stored, in an integer type if that holds them exactly, else in
    float64; undefined pixels (BLANK) are NaN. The last row comes first, as viewers show it. A
    third axis of length 1 is dropped, and one of length 3 is red, green and blue.
    """
    offset = 0
    while offset < len(content):
        header, data = _read_header(content, offset)
        shape = _read_shape(header)
        n_values = math.prod(shape) if shape else 0
        if header.get("ZIMAGE") == "T":
            raise BadFileError(
                "is a FITS file with tile compression; decompress it, for instance with"
                " funpack, or pass the image as an array"
            )
        if n_values and header.get("XTENSION", "IMAGE") == "IMAGE":
            return _decode_unit(content, data, header, shape)
        size = abs(_read_number(header, "BITPIX", 8)) // 8 * _read_number(header, "GCOUNT", 1)
        size *= n_values + _read_number(header, "PCOUNT", 0)
        offset = data + -(-int(size) // _BLOCK) * _BLOCK
    raise BadFileError("is a FITS file without an image")


def _read_header(content, start):
    """Return the cards of a header by keyword, and the offset of the data."""
    header = {}
    for at in range(start, len(content) - _CARD + 1, _CARD):
        card = content[at : at + _CARD].decode("ascii", "replace")
        keyword = card[:8].strip()
        if keyword == "END":
            return header, start + -(-(at + _CARD - start) // _BLOCK) * _BLOCK
        if card[8:10] == "= ":
            text = re.match(r"\s*('(?:[^']|'')*'|[^/]*)", card[10:])[1].strip()
            header.setdefault(keyword, text.strip("'").strip())
    raise BadFileError("is a FITS file whose header does not end; copy or export it again")


def _read_number(header, keyword, default=None):
    text = header.get(keyword, default)
    if text is None:
        raise BadFileError(f"is a FITS file whose header lacks {keyword}; export it again")
    try:
        value = float(str(text).replace("D", "E"))
    except ValueError as error:
        raise BadFileError(
            f"is a FITS file whose header says {keyword} = {text!r}, expected a number"
        ) from error
    return int(text) if re.fullmatch(r"[+-]?\d+", str(text)) else value


def _read_shape(header):
    """Return the lengths of the axes, the slowest first."""
    n_axes = _read_number(header, "NAXIS")
    return tuple(int(_read_number(header, f"NAXIS{i}")) for i in range(int(n_axes), 0, -1))


def _decode_unit(content, offset, header, shape):
    bits = _read_number(header, "BITPIX")
    if bits not in _TYPES:
        raise BadFileError(f"is a FITS file of BITPIX {bits}, expected one of {[*_TYPES]}")
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 3):
        raise BadFileError(
            f"is a FITS file of shape {shape}, expected one plane (H, W) or three of red,"
            " green and blue; save one plane, or pass the array"
        )
    refuse_bomb((shape[-1], shape[-2]), abs(bits) // 8 * (3 if len(shape) == 3 else 1))
    stored = require_values(content, offset, math.prod(shape), _TYPES[bits], "a FITS file")
    values = _apply_scale(stored, header, bits).reshape(shape)
    if len(shape) == 2:
        return Decoded(np.ascontiguousarray(values[::-1]))
    color = np.ascontiguousarray(np.moveaxis(values, 0, -1)[::-1])
    return Decoded(color, n_color_channels=3)


def _apply_scale(stored, header, bits):
    scale, zero = _read_number(header, "BSCALE", 1), _read_number(header, "BZERO", 0)
    blank = stored == _read_number(header, "BLANK") if "BLANK" in header and bits > 0 else None
    if blank is not None and blank.any():
        return np.where(blank, np.nan, zero + scale * stored.astype(np.float64))
    if scale == 1 and zero == 0:
        return stored
    if scale == 1 and bits > 0 and zero == _SIGN_OFFSETS[bits]:
        flipped = "u" if stored.dtype.kind == "i" else "i"
        other = stored.view(f"{flipped}{stored.dtype.itemsize}")
        top = other.dtype.type(-128) if bits == 8 else other.dtype.type(zero)
        return other ^ top
    return zero + scale * stored.astype(np.float64)
