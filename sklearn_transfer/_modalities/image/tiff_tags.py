"""Tags of a TIFF file, and the layout of its first image that they state."""

import io
import math
import re
from dataclasses import dataclass

from sklearn_transfer._modalities.image.decoded import (
    ORIENTATION,
    BadFileError,
    import_tifffile,
)

BIG_ENDIAN_BIGTIFF = b"MM\x00\x2b"  # Pillow reads only the little-endian form
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
_PHOTOMETRICS = {
    WHITE_IS_ZERO: ("WhiteIsZero", 1),
    BLACK_IS_ZERO: ("gray", 1),
    RGB: ("RGB", 3),
    PALETTE: ("palette", 1),
    CMYK: ("CMYK", 4),
    YCBCR: ("YCbCr", 3),
    LAB: ("CIELab", 3),
}
COMPRESSIONS = {
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
_CCITT, _JPEG, WEBP = (2, 3, 4), (6, 7), 50001  # WebP is in no wheel of Pillow
# Only these tags are read, so that others may be damaged.
_TAGS = (
    *(254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 281, 284, 320),
    *(322, 323, 324, 325, 330, 332, 338, 339, 530, 32997, 50706),
)
_NEXT_PAGE = -1  # no tag, but where the next page's begin
UNASSOCIATED = ("unassociated", "supposed")
_ALPHAS = {1: "associated", 2: "unassociated", 999: "unassociated"}  # 999 of Corel Draw
_SAMPLE_KINDS = {1: "u", 2: "i", 3: "f"}
_CHANNELS_IN_PAGES = re.compile(
    r'^ImageJ=.*?^channels=(\d+)|<OME.*?\bSizeC="(\d+)"', re.DOTALL | re.MULTILINE
)
_SIGNIFICANT_BITS = re.compile(r'SignificantBits="(\d+)"')  # of OME-XML


@dataclass(frozen=True)
class Layout:
    """Layout of the samples of a file's first image, as its tags state it."""

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
        """Kind of the first extra sample; a fourth one without a tag may be alpha."""
        if self.n_samples <= self.n_colors:
            return None
        if self.extras:
            return _ALPHAS.get(self.extras[0])
        is_rgba = self.photometric == RGB and self.n_samples == 4
        return "supposed" if is_rgba else None

    def describe(self):
        kind = {"u": "", "i": "signed ", "f": "float "}[self.kind]
        words = [_PHOTOMETRICS[self.photometric][0]]
        if self.n_samples > self.n_colors:
            words.append(f"with {self.n_samples - self.n_colors} extra samples")
        name = COMPRESSIONS.get(self.compression, f"compression {self.compression}")
        planar = "planar " if self.is_planar else ""
        article = "an" if self.bits in (8, 11) else "a"
        return f"{article} {self.bits}-bit {kind}{planar}TIFF ({' '.join(words)}, {name})"


def read_tags(content, image):
    try:
        tags = image.tag_v2 if image is not None else _parse_tags(content)
        found = {tag: tags[tag] for tag in _TAGS if tag in tags}
        return {**found, _NEXT_PAGE: getattr(tags, "next", 0)}
    except BadFileError:
        raise
    except Exception as error:  # Pillow's parser raises errors of many types
        raise BadFileError(
            f"is a TIFF file with damaged tags ({type(error).__name__}: {error}); copy or"
            " export it again"
        ) from error


def _parse_tags(content):
    if content.startswith(BIG_ENDIAN_BIGTIFF):
        with import_tifffile("a big-endian BigTIFF").TiffFile(io.BytesIO(content)) as file:
            return {tag.code: tag.value for tag in file.pages[0].tags}
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2(content[: 16 if 43 in content[2:4] else 8])
    file = io.BytesIO(content)
    file.seek(tags.next)
    tags.load(file)
    return tags


def get_tag_values(tags, tag, default=()):
    value = tags.get(tag, default)
    return tuple(value) if isinstance(value, (tuple, list, bytes)) else (value,)


def read_layout(tags, is_big_endian):
    try:
        size = (int(tags[256]), int(tags[257]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadFileError("is a TIFF file that states no size; export it again") from error
    if min(size) < 1:
        raise BadFileError(f"has no pixels: {size[0]} x {size[1]}")
    compression = tags.get(259, 1)
    photometric = tags.get(262, WHITE_IS_ZERO if compression in _CCITT else None)
    if compression == 6:  # the old JPEG, whatever the tag says
        photometric = YCBCR
    _refuse_photometric(photometric, tags)
    n_samples = tags.get(277, 3 if compression == 6 else 1)
    if n_samples == 1:
        _refuse_channels_in_pages(str(tags.get(270, "")))
    bits, kinds = set(get_tag_values(tags, 258, (1,))), set(get_tag_values(tags, 339, (1,)))
    if len(bits) != 1 or len(kinds) != 1 or not kinds <= {*_SAMPLE_KINDS}:
        raise BadFileError(
            f"is a TIFF file of samples of {sorted(bits)} bits in the formats {sorted(kinds)},"
            " expected one of unsigned, signed or real numbers; convert it first"
        )
    if tags.get(32997, 1) != 1:
        raise BadFileError(
            "is a TIFF volume, expected one plane; save its planes as separate files"
        )
    n_colors = _PHOTOMETRICS[photometric][1]
    if n_samples < n_colors and compression not in _JPEG:
        raise BadFileError(
            f"is a TIFF file of {n_samples} samples per pixel, expected {n_colors} for"
            f" {_PHOTOMETRICS[photometric][0]}; export it again"
        )
    return Layout(
        size=size,
        bits=bits.pop(),
        kind=_SAMPLE_KINDS[kinds.pop()],
        n_samples=n_samples,
        photometric=photometric,
        compression=compression,
        is_planar=tags.get(284, 1) == 2 and n_samples > 1,
        is_big_endian=is_big_endian,
        fill_order=tags.get(266, 1),
        extras=get_tag_values(tags, 338),
        orientation=tags.get(ORIENTATION, 1),
        subsampling=get_tag_values(tags, 530, (2, 2)),
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
    has_more = 330 in tags or 50706 in tags or tags.get(_NEXT_PAGE)
    if tags.get(254, 0) & 1 and has_more:
        raise BadFileError(
            "is a raw or pyramidal TIFF file whose first image is a reduced preview; export"
            " the full image, for instance with rawpy"
        )
    if photometric == CMYK and tags.get(332, 1) != 1:
        raise BadFileError("is a TIFF file of inks other than CMYK; convert it to RGB")


def _refuse_channels_in_pages(description):
    """Raise if ImageJ or OME-XML states that pages are the channels of one image."""
    found = _CHANNELS_IN_PAGES.search(description)
    n_channels = int(found[1] or found[2]) if found else 1
    if n_channels > 1:
        raise BadFileError(
            f"is a TIFF file that keeps {n_channels} channels of one image in separate pages;"
            " pass them as an array (height, width, channels), for instance"
            " np.moveaxis(tifffile.imread(path), 0, -1)"
        )


def has_empty_segments(tags, layout, n_bytes):
    """Whether a strip or tile is empty; raises if one lies outside of the file."""
    if layout.compression == 6:  # may keep its one stream elsewhere
        return False
    width, height = layout.size
    tile = (tags.get(322), tags.get(323)) if 324 in tags else (width, tags.get(278, height))
    offsets = get_tag_values(tags, 324 if 324 in tags else 273)
    counts = get_tag_values(tags, 325 if 324 in tags else 279, (0,) * len(offsets))
    if not all(tile) or len(offsets) != len(counts):
        raise BadFileError(f"is {layout.describe()} with damaged tags; export it again")
    n_segments = math.ceil(width / tile[0]) * math.ceil(height / min(tile[1], height))
    n_segments *= layout.n_samples if layout.is_planar else 1
    ends = [offset + count for offset, count in zip(offsets, counts, strict=True)]
    if len(offsets) < n_segments or max(ends) > n_bytes:
        raise BadFileError(
            f"is {layout.describe()}, truncated: expected {n_segments} strips or tiles up to"
            f" byte {max(ends, default=0)}, found {len(offsets)} in {n_bytes} bytes; copy or"
            " export it again"
        )
    return any(offset == 0 for offset in offsets)


def find_value_range(tags, layout):
    """Return (black, white) if the file states a smaller range than that of its type.

    MaxSampleValue is used only if it is one less than a power of two. Other values are, as
    the format defines it, the largest value in the image, and would scale each image by a
    different factor.
    """
    if layout.kind == "u" and layout.bits not in (1, 8, 16, 32, 64):
        return (0, 2**layout.bits - 1)
    if layout.kind != "u" or layout.bits != 16:
        return None
    stated = _SIGNIFICANT_BITS.search(str(tags.get(270, "")))
    white = 2 ** int(stated[1]) - 1 if stated else max(get_tag_values(tags, 281, (0,)))
    if isinstance(white, int) and 255 <= white < 65535 and (white + 1).bit_count() == 1:
        return (0, white)
    return None
