"""Result of decoding a file, and functions shared by the decoders of all formats."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
FORMATS_EXTRA = 'pip install "sklearn-transfer[formats]"'

# Bytes of a pixel of the largest plausible type and number of channels.
_PIXEL_BYTES = 16


class BadFileError(ValueError):
    """A file that cannot be decoded to the values that were written; the message says why."""


@dataclass(frozen=True)
class Decoded:
    """The first image of a file, in values that mean what the writer meant.

    `pixels` is a loaded PIL image of at most 8 bits per sample, whose EXIF orientation is
    not applied yet, or an array (H, W) or (H, W, C) in the file's own type, upright.
    `value_range` is (black, white) where the file states it and the type of the array does
    not. `n_color_channels` says for arrays (H, W, C) how many channels are color; of the
    others the first is alpha ("unassociated", "associated", or "supposed" where the file does
    not say so) unless `alpha` is None.
    """

    pixels: Image.Image | np.ndarray
    value_range: tuple[float, float] | None = None
    n_color_channels: int | None = None
    alpha: str | None = None


def open_image(content):
    """Open an image lazily; raises BadFileError if it is too large to be decoded safely."""
    # Pillow tries formats that have no signature, such as Photo CD and IM, before WebP.
    is_webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    try:
        image = Image.open(io.BytesIO(content), formats=["WEBP"] if is_webp else None)
    except Exception as error:  # Pillow's plugins raise errors of many types
        raise BadFileError(describe_error(error)) from error
    refuse_bomb(image.size)
    return image


def load_image(image):
    """Decode an image that was opened lazily, and return it."""
    try:
        image.load()
    except Exception as error:  # as above
        raise BadFileError(describe_error(error)) from error
    return image


def open_with_raw_mode(content, raw_mode):
    """Decode an image with another raw mode, which says how Pillow unpacks its samples.

    Pillow keeps only the high byte of 16-bit color. Unpacked as if the samples had the other
    byte order, it keeps the low byte instead, so two readings give all 16 bits.
    """
    image = open_image(content)
    tiles = []
    for tile in image.tile:
        args = tile[3]
        args = raw_mode if isinstance(args, str) else (raw_mode, *args[1:])
        tiles.append(
            type(tile)._make([*tile[:3], args])
            if hasattr(tile, "_make")
            else (*tile[:3], args)
        )
    image.tile = tiles
    return load_image(image)


def import_tifffile(what):
    """Import tifffile; raises a BadFileError that says what needs it if it is missing."""
    try:
        import tifffile
    except ImportError as error:
        raise BadFileError(
            f"is {what}, which Pillow misreads and tifffile reads, but tifffile is not"
            f" installed: {FORMATS_EXTRA}"
        ) from error
    return tifffile


def refuse_bomb(size, bytes_per_pixel=1):
    """Raise BadFileError if an image of this size is too large to be decoded safely."""
    limit = Image.MAX_IMAGE_PIXELS
    weight = max(1, -(-bytes_per_pixel // _PIXEL_BYTES))
    if limit is not None and size[0] * size[1] * weight > limit:
        raise BadFileError(
            f"{size[0]} x {size[1]} pixels are more than the {limit} that Pillow considers"
            " safe; raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
        )


def describe_error(error):
    """Return the reason why a file could not be read, from the error of a decoder."""
    if isinstance(error, BadFileError):
        return str(error)
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image in a format that Pillow reads"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"{error}; raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
    return f"{type(error).__name__}: {error}"


def turn_upright(array, orientation):
    """Apply an EXIF or TIFF orientation to an array (H, W) or (H, W, C)."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def require_values(content, offset, n_values, dtype, what):
    """Return `n_values` of `dtype` at `offset` in native byte order, or raise BadFileError."""
    dtype = np.dtype(dtype)
    if offset + n_values * dtype.itemsize > len(content):
        raise BadFileError(
            f"is {what}, truncated: expected {n_values * dtype.itemsize} bytes of pixels,"
            f" found {max(0, len(content) - offset)}; copy or export it again"
        )
    values = np.frombuffer(content, dtype, n_values, offset)
    return values.astype(dtype.newbyteorder("="))
