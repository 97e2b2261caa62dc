"""TIFF files, decided by their tags: Pillow for what it reads right, tifffile for the rest."""

import importlib.util
import io
import math
import re
import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from sklearn_transfer.extraction._decoded import (
    FORMATS_EXTRA,
    ORIENTATION,
    BadFileError,
    Decoded,
    describe_error,
    load_image,
    open_with_raw_mode,
    refuse_bomb,
    turn_upright,
)

TIFF_SIGNATURES = (
    b"II\x2a\x00",
    b"MM\x00\x2a",
    b"II\x2b\x00",  # BigTIFF
    b"MM\x00\x2b",
    b"MM\x2a\x00",  # two that Pillow forgives
    b"II\x00\x2a",
)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_PHOTOMETRICS = {
    _WHITE_IS_ZERO: ("WhiteIsZero", 1),
    _BLACK_IS_ZERO: ("gray", 1),
    _RGB: ("RGB", 3),
    _PALETTE: ("palette", 1),
    _CMYK: ("CMYK", 4),
    _YCBCR: ("YCbCr", 3),
    _LAB: ("CIELab", 3),
}
_COMPRESSIONS = {
    1: "uncompressed",
    2: "CCITT",
    3: "CCITT",
    4: "CCITT",
    5: "LZW",
    6: "JPEG",
    7: "JPEG",
    8: "deflate",
    32773: "PackBits",
    32946: "deflate",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
}
_CCITT, _JPEG, _WEBP = (2, 3, 4), (6, 7), 50001  # WebP is in no wheel of Pillow
# What is asked of a file; other tags may be damaged.
_TAGS = (
    *(254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 281, 284, 320),
    *(322, 323, 324, 325, 330, 332, 338, 339, 530, 32997, 50706),
)
_OPTIONAL_CODECS = (34925, 50000)  # which not every build of Pillow has
_ALPHAS = {1: "associated", 2: "unassociated", 999: "unassociated"}  # 999 of Corel Draw
_SAMPLE_KINDS = {1: "u", 2: "i", 3: "f"}
_SIGNIFICANT_BITS = re.compile(r'SignificantBits="(\d+)"')  # of OME-XML


@dataclass(frozen=True)
class _Layout:
    """What the tags of a file's first image say of its samples."""

    size: tuple[int, int]
    bits: int
    kind: str  # "u", "i", or "f", as of a NumPy type
    n_samples: int
    photometric: int
    compression: int
    is_planar: bool
    is_big_endian: bool
    fill_order: int
    extras: tuple[int, ...]
    orientation: int
    subsampling: tuple[int, ...]

    @property
    def n_colors(self):
        return _PHOTOMETRICS[self.photometric][1]

    @property
    def sample(self):
        """Kind and bits of a sample, such as "u8"."""
        return f"{self.kind}{self.bits}"

    @property
    def alpha(self):
        """What the first extra sample is; one that no tag speaks of is alpha, as in Pillow."""
        if self.extras:
            return {1: "associated", 2: "unassociated", 999: "unassociated"}.get(
                self.extras[0]
            )
        is_rgba = self.photometric == _RGB and self.n_samples == 4
        return "unassociated" if is_rgba else None

    def describe(self):
        kind = {"u": "", "i": "signed ", "f": "float "}[self.kind]
        words = [_PHOTOMETRICS[self.photometric][0]]
        if self.n_samples > self.n_colors:
            words.append(f"with {self.n_samples - self.n_colors} extra samples")
        name = _COMPRESSIONS.get(self.compression, f"compression {self.compression}")
        planar = "planar " if self.is_planar else ""
        return f"a {self.bits}-bit {kind}{planar}TIFF ({' '.join(words)}, {name})"


def decode_tiff(content):
    """First image of a TIFF file as a `Decoded`; raises BadFileError.

    Pillow reads 8 bits and fewer with their samples side by side, most planar ones, and the
    wide types that it does not mix up. 16-bit color is read byte by byte, of the rest the
    module tifffile reads what has a meaning as gray or color.
    """
    image = _open_with_pillow(content)
    tags = _read_tags(content, image)
    layout = _read_layout(tags, content.startswith(b"MM"))
    weight = -(-layout.bits // 8) * layout.n_samples
    refuse_bomb(layout.size, weight)
    is_sparse = _check_segments(tags, layout, len(content))
    value_range = _stated_range(tags, layout)
    if (
        image is not None
        and not is_sparse
        and (_pillow_reads(layout) or _pillow_leaves_out_extras(layout))
    ):
        image = _load_with_pillow(image, layout)
        if image is not None:
            return _from_pillow(image, content, tags, layout, value_range)
    return _from_tifffile(content, tags, layout, value_range)


def _pillow_leaves_out_extras(layout):
    """Whether Pillow has at least the colors, and tifffile is not there to give the rest."""
    is_rgb = layout.photometric == _RGB and layout.sample == "u8" and not layout.is_planar
    has_other = layout.n_samples == 4 and layout.alpha is None
    return is_rgb and has_other and importlib.util.find_spec("tifffile") is None


def _open_with_pillow(content):
    """The file unread, None where Pillow does not know its layout, or its tags are damaged."""
    try:
        image = Image.open(io.BytesIO(content))
    except Exception:  # the reason is found from the tags
        return None
    return image if image.format == "TIFF" else None


def _read_tags(content, image):
    try:
        tags = image.tag_v2 if image is not None else _parse_tags(content)
        return {tag: tags[tag] for tag in _TAGS if tag in tags}
    except Exception as error:  # Pillow's parser raises what a damaged table trips it on
        raise BadFileError(
            f"is a TIFF file with damaged tags ({type(error).__name__}: {error}); copy or"
            " export it again"
        ) from error


def _parse_tags(content):
    tags = ImageFileDirectory_v2(content[: 16 if 43 in content[2:4] else 8])
    file = io.BytesIO(content)
    file.seek(tags.next)
    tags.load(file)
    return tags


def _tuple(tags, tag, default=()):
    value = tags.get(tag, default)
    return tuple(value) if isinstance(value, (tuple, list, bytes)) else (value,)


def _read_layout(tags, is_big_endian):
    try:
        size = (int(tags[256]), int(tags[257]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadFileError("is a TIFF file that states no size; export it again") from error
    if min(size) < 1:
        raise BadFileError(f"has no pixels: {size[0]} x {size[1]}")
    compression = tags.get(259, 1)
    photometric = tags.get(262, _WHITE_IS_ZERO if compression in _CCITT else None)
    if compression == 6:  # the old JPEG, whatever the tag says
        photometric = _YCBCR
    _refuse_photometric(photometric, tags)
    n_samples = tags.get(277, 3 if compression == 6 else 1)
    bits, kinds = set(_tuple(tags, 258, (1,))), set(_tuple(tags, 339, (1,)))
    if len(bits) != 1 or len(kinds) != 1 or not kinds <= {*_SAMPLE_KINDS}:
        raise BadFileError(
            f"is a TIFF file of samples of {sorted(bits)} bits in the formats {sorted(kinds)},"
            " expected one of unsigned, signed or real numbers; convert it first"
        )
    if tags.get(32997, 1) != 1:
        raise BadFileError("is a TIFF volume, expected one plane; save its planes apart")
    n_colors = _PHOTOMETRICS[photometric][1]
    if n_samples < n_colors and compression not in _JPEG:
        raise BadFileError(
            f"is a TIFF file of {n_samples} samples per pixel, expected {n_colors} for"
            f" {_PHOTOMETRICS[photometric][0]}; export it again"
        )
    return _Layout(
        size=size,
        bits=bits.pop(),
        kind=_SAMPLE_KINDS[kinds.pop()],
        n_samples=n_samples,
        photometric=photometric,
        compression=compression,
        is_planar=tags.get(284, 1) == 2 and n_samples > 1,
        is_big_endian=is_big_endian,
        fill_order=tags.get(266, 1),
        extras=_tuple(tags, 338),
        orientation=tags.get(ORIENTATION, 1),
        subsampling=_tuple(tags, 530, (2, 2)),
    )


def _refuse_photometric(photometric, tags):
    if photometric is None:
        raise BadFileError(
            "is a TIFF file that does not say whether 0 is black or white"
            " (PhotometricInterpretation); save it again with another program"
        )
    if photometric not in _PHOTOMETRICS:
        what = "raw sensor data" if photometric == 32803 else f"photometric {photometric}"
        raise BadFileError(
            f"is a TIFF file of {what}, expected gray, RGB, palette, CMYK, YCbCr or CIELab;"
            " convert it to RGB"
        )
    if tags.get(254, 0) & 1 and (330 in tags or 50706 in tags):
        raise BadFileError(
            "is a raw or pyramidal TIFF file whose first image is a reduced preview; export"
            " the full image, for instance with rawpy"
        )
    if photometric == _CMYK and tags.get(332, 1) != 1:
        raise BadFileError("is a TIFF file of inks other than CMYK; convert it to RGB")


def _check_segments(tags, layout, n_bytes):
    """Whether a strip or tile is left empty; raises where one lies outside of the file."""
    width, height = layout.size
    tile = (tags.get(322), tags.get(323)) if 324 in tags else (width, tags.get(278, height))
    offsets = _tuple(tags, 324 if 324 in tags else 273)
    counts = _tuple(tags, 325 if 324 in tags else 279, (0,) * len(offsets))
    if not all(tile) or len(offsets) != len(counts):
        raise BadFileError(f"{layout.describe()} with damaged tags; export it again")
    n_segments = math.ceil(width / tile[0]) * math.ceil(height / min(tile[1], height))
    n_segments *= layout.n_samples if layout.is_planar else 1
    ends = [offset + count for offset, count in zip(offsets, counts, strict=True)]
    if len(offsets) < n_segments or max(ends) > n_bytes:
        raise BadFileError(
            f"{layout.describe()} that is truncated: {n_segments} strips or tiles up to byte"
            f" {max(ends, default=0)} expected, found {len(offsets)} in {n_bytes} bytes; copy"
            " or export it again"
        )
    return any(offset == 0 for offset in offsets)


def _stated_range(tags, layout):
    """(black, white) where the file says that its values end below what their type holds.

    MaxSampleValue counts where it is one less than a power of two: else it is the largest
    value found, as the format has it, and would scale each image by its own.
    """
    if layout.kind == "u" and layout.bits not in (1, 8, 16, 32, 64):
        return (0, 2**layout.bits - 1)
    if layout.kind != "u" or layout.bits != 16:
        return None
    stated = _SIGNIFICANT_BITS.search(str(tags.get(270, "")))
    white = 2 ** int(stated[1]) - 1 if stated else max(_tuple(tags, 281, (0,)))
    if isinstance(white, int) and 255 <= white < 65535 and (white + 1).bit_count() == 1:
        return (0, white)
    return None


def _pillow_reads(layout):
    """Whether Pillow from 10.4 on reads such a file right, as the tests' sweep found."""
    if layout.compression not in _COMPRESSIONS or layout.compression == _WEBP:
        return False
    n_extra = layout.n_samples - layout.n_colors
    if layout.sample in ("u1", "u2", "u4"):
        return layout.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE) and not n_extra
    if layout.sample == "u8":
        return _pillow_reads_bytes(layout, n_extra)
    if layout.photometric == _RGB and layout.sample == "u16" and not layout.is_planar:
        return n_extra == 0 or (n_extra == 1 and layout.alpha == "unassociated")
    if n_extra or layout.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        return False
    is_raw, is_little = layout.compression == 1, not layout.is_big_endian
    if layout.photometric == _WHITE_IS_ZERO:
        return layout.sample == "u16" and is_little
    if layout.sample in ("u12", "u32"):
        return is_little and (is_raw or layout.sample == "u32")
    return layout.sample in ("u16", "i8") or (
        layout.sample in ("i16", "i32", "f32") and (is_little or is_raw)
    )


def _pillow_reads_bytes(layout, n_extra):
    if layout.photometric == _YCBCR:
        is_libtiff = layout.compression != 1
        return is_libtiff and not layout.is_planar and n_extra <= 0
    if n_extra == 0:
        return layout.photometric != _LAB or not layout.is_planar
    if n_extra > 1 or layout.alpha is None:
        return False
    if layout.photometric == _RGB:
        return layout.alpha == "unassociated" or not layout.is_planar
    if layout.photometric in (_BLACK_IS_ZERO, _PALETTE):
        return layout.alpha == "unassociated" and not layout.is_planar
    return False


def _load_with_pillow(image, layout):
    """Decoded image, or None where this build of Pillow lacks the codec."""
    try:
        return load_image(image)
    except BadFileError:
        if layout.compression in _OPTIONAL_CODECS:
            return None
        raise


def _from_pillow(image, content, tags, layout, value_range):
    if layout.photometric == _PALETTE:
        return Decoded(_with_wide_palette(image, tags))
    if layout.bits <= 8 and layout.kind == "u":
        return Decoded(image)
    image = ImageOps.exif_transpose(image)  # what Pillow has turned says that it is upright
    if layout.photometric == _RGB:
        return _wide_color(image, content, layout, value_range)
    array = np.asarray(image)
    if layout.sample == "u32":
        array = array.view(np.uint32)
    elif layout.sample == "i8":
        array = array.view(np.int8)
    elif layout.sample == "i16":
        array = array.astype(np.int16)
    elif layout.sample in ("u12", "u16"):
        array = array.astype(np.uint16)
    return Decoded(_black_is_zero(array, layout, value_range), value_range)


def _with_wide_palette(image, tags):
    """Colors as Pillow has them, which takes them for 16 bits: some writers give 8."""
    colors = _tuple(tags, 320)
    if colors and max(colors) < 256 and image.mode == "P" and max(colors) > 0:
        image.putpalette(np.reshape(colors, (3, -1)).T.astype(np.uint8).tobytes())
    return image


def _wide_color(image, content, layout, value_range):
    """16 bits from two readings of 8: Pillow takes the one byte or the other by byte order."""
    is_raw = layout.compression == 1  # else libtiff gives the machine's own byte order
    is_big_endian = layout.is_big_endian if is_raw else sys.byteorder == "big"
    low = open_with_raw_mode(content, f"{image.mode};{'16L' if is_big_endian else '16B'}")
    low = np.asarray(ImageOps.exif_transpose(low))
    array = (np.asarray(image).astype(np.uint16) << 8) | low
    return Decoded(array, value_range, 3, layout.alpha)


def _black_is_zero(array, layout, value_range):
    """Values turned round where 0 is white, those of extra samples excepted."""
    if layout.photometric != _WHITE_IS_ZERO:
        return array
    if array.ndim == 3:
        gray = _black_is_zero(array[..., 0], layout, value_range)
        return np.concatenate([gray[..., None], array[..., 1:]], axis=-1)
    if array.dtype.kind in "bi":
        return ~array  # -1 - value: the least becomes the largest
    if array.dtype.kind == "u":
        white = value_range[1] if value_range else np.iinfo(array.dtype).max
        return array.dtype.type(white) - array
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):
        raise BadFileError(
            f"{layout.describe()} has values in [{low:g}, {high:g}], expected [0, 1] where 0"
            " is white; save it with 0 as black"
        )
    return array.dtype.type(1) - array


def _from_tifffile(content, tags, layout, value_range):
    array = _read_with_tifffile(content, layout)
    if layout.is_planar and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.shape[:2] != layout.size[::-1] or array.ndim > 3:
        raise BadFileError(
            f"{layout.describe()} is read by tifffile with the shape {array.shape}, expected"
            f" one image of {layout.size[::-1]}; save it as another format"
        )
    array = turn_upright(array, layout.orientation)
    if layout.photometric in (_PALETTE, _CMYK, _YCBCR, _LAB):
        return _to_rgb(array, tags, layout)
    array = _black_is_zero(array, layout, value_range)
    if array.ndim == 2:
        return Decoded(array, value_range)
    return Decoded(array, value_range, layout.n_colors, layout.alpha)


def _read_with_tifffile(content, layout):
    try:
        from tifffile import TiffFile
    except ImportError as error:
        raise BadFileError(
            f"{layout.describe()} is not read right by Pillow but by tifffile, which is not"
            f" installed: {FORMATS_EXTRA}"
        ) from error
    try:
        with TiffFile(io.BytesIO(content)) as file:
            return file.pages[0].asarray(maxworkers=1)
    except Exception as error:  # its codecs raise whatever damaged streams trip them on
        hint = f"{FORMATS_EXTRA}" if "imagecodecs" in str(error) else "export it again"
        raise BadFileError(
            f"{layout.describe()} cannot be decoded: {describe_error(error)}; {hint}"
        ) from error


def _to_rgb(array, tags, layout):
    """RGB of what NumPy has no channels for, by the conversions that Pillow uses."""
    if layout.photometric == _PALETTE and array.ndim == 2:
        colors = np.reshape(_tuple(tags, 320), (3, -1)).T.astype(np.uint16)
        colors = colors * np.uint16(257 if colors.max() < 256 else 1)
        return Decoded(colors[np.minimum(array, len(colors) - 1)], None, 3)
    if layout.photometric == _YCBCR and layout.compression in (7, _WEBP):
        return Decoded(array, None, 3)  # tifffile has converted it
    mode = {_CMYK: "CMYK", _YCBCR: "YCbCr", _LAB: "LAB"}.get(layout.photometric)
    is_wide_cmyk = mode == "CMYK" and layout.sample == "u16"
    is_subsampled = mode == "YCbCr" and layout.subsampling != (1, 1)
    if mode is None or is_subsampled or not (layout.sample == "u8" or is_wide_cmyk):
        raise BadFileError(f"{layout.describe()} is not supported; convert it to RGB")
    if is_wide_cmyk:
        array = ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    color = np.ascontiguousarray(array[..., : layout.n_colors])
    image = Image.frombytes(mode, color.shape[1::-1], color.tobytes())
    if layout.alpha == "unassociated":
        image = image.convert("RGB")
        image.putalpha(Image.fromarray(np.ascontiguousarray(array[..., layout.n_colors])))
    return Decoded(image)
