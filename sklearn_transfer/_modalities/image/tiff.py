"""TIFF files: Pillow decodes those that it reads correctly, tifffile the others."""

import importlib.util
import io
import sys

import numpy as np
from PIL import Image, ImageOps

from sklearn_transfer._modalities.image.decoded import (
    FORMATS_EXTRA,
    BadFileError,
    Decoded,
    describe_error,
    import_tifffile,
    load_image,
    open_with_raw_mode,
    refuse_bomb,
    turn_upright,
)
from sklearn_transfer._modalities.image.tiff_tags import (
    BIG_ENDIAN_BIGTIFF,
    BLACK_IS_ZERO,
    CMYK,
    COMPRESSIONS,
    LAB,
    PALETTE,
    RGB,
    UNASSOCIATED,
    WEBP,
    WHITE_IS_ZERO,
    YCBCR,
    find_value_range,
    get_tag_values,
    has_empty_segments,
    read_layout,
    read_tags,
)

TIFF_SIGNATURES = (
    b"II\x2a\x00",
    b"MM\x00\x2a",
    b"II\x2b\x00",  # BigTIFF
    BIG_ENDIAN_BIGTIFF,
    b"MM\x2a\x00",  # two wrong byte orders, which Pillow accepts
    b"II\x00\x2a",
)
_OPTIONAL_CODECS = (34925, 50000)  # not in every build of Pillow


def decode_tiff(content):
    """Decode the first image of a TIFF file to a `Decoded`; raises BadFileError.

    Pillow, up to version 13 at least, silently misreads some layouts, so the tags decide.
    Pillow reads samples of at most 8 bits, most planar files among them, and those wider types
    that it reads correctly; 16-bit color is read in two passes, one for each byte. The
    package tifffile reads the rest, as far as it can be interpreted as gray or color.
    """
    image = _open_with_pillow(content)
    tags = read_tags(content, image)
    layout = read_layout(tags, content.startswith(b"MM"))
    weight = -(-layout.bits // 8) * layout.n_samples
    refuse_bomb(layout.size, weight)
    is_sparse = has_empty_segments(tags, layout, len(content))
    value_range = find_value_range(tags, layout)
    if (
        image is not None
        and not is_sparse
        and (_can_pillow_read(layout) or _needs_to_skip_extras(layout))
    ):
        image = _load_with_pillow(image, layout)
        if image is not None:
            return _from_pillow(image, content, tags, layout, value_range)
    return _from_tifffile(content, tags, layout, value_range)


def _needs_to_skip_extras(layout):
    """Whether only Pillow is installed, which reads the colors but not the extra samples."""
    is_rgb = layout.photometric == RGB and layout.sample == "u8" and not layout.is_planar
    has_other = layout.n_samples == 4 and layout.alpha is None
    return is_rgb and has_other and importlib.util.find_spec("tifffile") is None


def _open_with_pillow(content):
    """Open a file lazily; None if Pillow does not know its layout or its tags are damaged."""
    if content.startswith(BIG_ENDIAN_BIGTIFF):
        return None
    try:
        image = Image.open(io.BytesIO(content))
    except Exception:  # reading the tags will report the reason
        return None
    return image if image.format == "TIFF" else None


def _can_pillow_read(layout):
    """Whether Pillow from 10.4 on reads such a file correctly, which the tests verify."""
    if layout.compression not in COMPRESSIONS or layout.compression == WEBP:
        return False
    if layout.fill_order != 1 and layout.bits > 8:
        return False
    n_extra = layout.n_samples - layout.n_colors
    if layout.sample in ("u1", "u2", "u4"):
        return layout.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE) and not n_extra
    if layout.sample == "u8":
        return _can_pillow_read_bytes(layout, n_extra)
    if layout.photometric == RGB and layout.sample == "u16" and not layout.is_planar:
        return n_extra == 0 or (n_extra == 1 and layout.alpha in UNASSOCIATED)
    if n_extra or layout.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO):
        return False
    is_raw, is_little = layout.compression == 1, not layout.is_big_endian
    if layout.photometric == WHITE_IS_ZERO:
        return layout.sample == "u16" and is_little
    if layout.sample in ("u12", "u32"):
        return is_little and (is_raw or layout.sample == "u32")
    return layout.sample in ("u16", "i8") or (
        layout.sample in ("i16", "i32", "f32") and (is_little or is_raw)
    )


def _can_pillow_read_bytes(layout, n_extra):
    if layout.photometric == YCBCR:
        is_libtiff = layout.compression != 1
        return is_libtiff and not layout.is_planar and n_extra <= 0
    if n_extra == 0:
        return layout.photometric != LAB or not layout.is_planar
    if n_extra > 1 or layout.alpha is None:
        return False
    if layout.photometric == RGB:
        return layout.alpha in UNASSOCIATED or not layout.is_planar
    if layout.photometric in (BLACK_IS_ZERO, PALETTE):
        return layout.alpha in UNASSOCIATED and not layout.is_planar
    return False


def _load_with_pillow(image, layout):
    """Decode an image; returns None if this build of Pillow lacks the codec."""
    try:
        return load_image(image)
    except BadFileError:
        if layout.compression in _OPTIONAL_CODECS:
            return None
        raise


def _from_pillow(image, content, tags, layout, value_range):
    if layout.photometric == PALETTE:
        return Decoded(_restore_palette(image, tags))
    if layout.bits <= 8 and layout.kind == "u" and layout.alpha != "supposed":
        return Decoded(image)
    image = ImageOps.exif_transpose(image)  # does nothing if Pillow has rotated it already
    if layout.sample == "u8":
        return Decoded(np.asarray(image), None, 3, layout.alpha)
    if layout.photometric == RGB:
        return _combine_readings(image, content, layout, value_range)
    array = np.asarray(image)
    if layout.sample == "u32":
        array = array.view(np.uint32)
    elif layout.sample == "i8":
        array = array.view(np.int8)
    elif layout.sample == "i16":
        array = array.astype(np.int16)
    elif layout.sample in ("u12", "u16"):
        array = array.astype(np.uint16)
    value_range = _confirm_range(array, value_range)
    return Decoded(_make_black_zero(array, layout, value_range), value_range)


def _restore_palette(image, tags):
    """Repair the palette of a file whose writer stored colors of 8 bits.

    The format stores colors of 16 bits, of which Pillow keeps the high byte.
    """
    colors = get_tag_values(tags, 320)
    if colors and max(colors) < 256 and image.mode == "P" and max(colors) > 0:
        image.putpalette(np.reshape(colors, (3, -1)).T.astype(np.uint8).tobytes())
    return image


def _combine_readings(image, content, layout, value_range):
    """Combine two readings of 8 bits: the byte order says which byte Pillow keeps."""
    is_raw = layout.compression == 1  # else libtiff returns the machine's own byte order
    is_big_endian = layout.is_big_endian if is_raw else sys.byteorder == "big"
    low = open_with_raw_mode(content, f"{image.mode};{'16L' if is_big_endian else '16B'}")
    low = np.asarray(ImageOps.exif_transpose(low))
    array = (np.asarray(image).astype(np.uint16) << 8) | low
    return Decoded(array, _confirm_range(array, value_range), 3, layout.alpha)


def _confirm_range(array, value_range):
    """Return the range that the tags state if no value is above it, else None."""
    return value_range if value_range and array.max() <= value_range[1] else None


def _make_black_zero(array, layout, value_range):
    """Invert values, except extra samples, if 0 is white."""
    if layout.photometric != WHITE_IS_ZERO:
        return array
    if array.ndim == 3:
        gray = _make_black_zero(array[..., 0], layout, value_range)
        return np.concatenate([gray[..., None], array[..., 1:]], axis=-1)
    if array.dtype.kind in "bi":
        return ~array  # -1 - value: the least becomes the largest
    if array.dtype.kind == "u":
        white = value_range[1] if value_range else np.iinfo(array.dtype).max
        return array.dtype.type(white) - array
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):
        raise BadFileError(
            f"is {layout.describe()} with values in [{low:g}, {high:g}], expected [0, 1] where"
            " 0 is white; save it with 0 as black"
        )
    return array.dtype.type(1) - array


def _from_tifffile(content, tags, layout, value_range):
    array = _read_with_tifffile(content, layout)
    if layout.is_planar and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.shape[:2] != layout.size[::-1] or array.ndim > 3:
        raise BadFileError(
            f"is {layout.describe()}, read by tifffile with the shape {array.shape}, expected"
            f" one image of {layout.size[::-1]}; save it as another format"
        )
    array = turn_upright(array, layout.orientation)
    if layout.photometric in (PALETTE, CMYK, YCBCR, LAB):
        return _to_rgb(array, tags, layout)
    value_range = _confirm_range(array, value_range)
    array = _make_black_zero(array, layout, value_range)
    if array.ndim == 2:
        return Decoded(array, value_range)
    n_colors = layout.n_colors
    if n_colors == 1 and layout.alpha is None:  # several bands of equal standing
        n_colors = array.shape[2]
    return Decoded(array, value_range, n_colors, layout.alpha)


def _read_with_tifffile(content, layout):
    tifffile = import_tifffile(layout.describe())
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            return file.pages[0].asarray(maxworkers=1)
    except Exception as error:  # its codecs raise errors of many types
        hint = FORMATS_EXTRA if "imagecodecs" in str(error) else "export it again"
        raise BadFileError(
            f"is {layout.describe()} that cannot be decoded ({describe_error(error)}); {hint}"
        ) from error


def _to_rgb(array, tags, layout):
    """Convert palette, CMYK, YCbCr or CIELab to RGB, as Pillow does."""
    if layout.photometric == PALETTE and array.ndim == 2:
        colors = np.reshape(get_tag_values(tags, 320), (3, -1)).T.astype(np.uint16)
        colors = colors * np.uint16(257 if colors.max() < 256 else 1)
        return Decoded(colors[np.minimum(array, len(colors) - 1)], None, 3)
    if layout.photometric == YCBCR and layout.compression in (7, WEBP):
        return Decoded(array, None, 3)  # tifffile has converted it
    mode = {CMYK: "CMYK", YCBCR: "YCbCr", LAB: "LAB"}.get(layout.photometric)
    is_wide_cmyk = mode == "CMYK" and layout.sample == "u16"
    is_subsampled = mode == "YCbCr" and layout.subsampling != (1, 1)
    if mode is None or is_subsampled or not (layout.sample == "u8" or is_wide_cmyk):
        raise BadFileError(
            f"is {layout.describe()}, which is not supported; convert it to RGB"
        )
    if is_wide_cmyk:
        array = ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    color = np.ascontiguousarray(array[..., : layout.n_colors])
    image = Image.frombytes(mode, color.shape[1::-1], color.tobytes())
    if layout.alpha in UNASSOCIATED:
        image = image.convert("RGB")
        image.putalpha(Image.fromarray(np.ascontiguousarray(array[..., layout.n_colors])))
    return Decoded(image)
