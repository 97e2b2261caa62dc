"""Image files written byte by byte from arrays, for what no library at hand writes."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import tifffile


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def pack_bits(array, bits):
    """Rows of samples as streams of bits, the highest first, each row padded to bytes."""
    ones = (array.astype(np.uint32)[..., None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(ones.astype(np.uint8).reshape(len(array), -1), axis=1).tobytes()


def packed_tiff(array, bits, byteorder="<", photometric="minisblack"):
    """TIFF of one strip of samples of any number of bits, without compression."""
    height, width = array.shape[:2]
    n_samples = 1 if array.ndim == 2 else array.shape[2]
    data = pack_bits(array.reshape(height, -1), bits)
    data += bytes(len(data) % 2)
    kinds = {"miniswhite": 0, "minisblack": 1, "rgb": 2}
    bits_at = 8 + len(data)  # three values do not fit into their tag
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: kinds[photometric], 273: 8}
    tags |= {277: n_samples, 278: height, 279: len(data)}
    entries = b""
    for tag, value in tags.items():
        if tag == 258 and n_samples > 1:
            entries += struct.pack(byteorder + "2H2I", tag, 3, n_samples, bits_at)
        else:
            entries += struct.pack(byteorder + "2H2I", tag, 4, 1, value)
    bits_of_all = struct.pack(f"{byteorder}{n_samples}H", *[bits] * n_samples)
    directory = bits_at + len(bits_of_all)
    order = b"II" if byteorder == "<" else b"MM"
    header = order + struct.pack(byteorder + "HI", 42, directory)
    table = struct.pack(byteorder + "H", len(tags)) + entries + bytes(4)
    return header + data + bits_of_all + table


def with_tag(content, tag, value):
    """A little-endian TIFF whose tag of one value (SHORT or LONG) has another one."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        found = file.pages[0].tags[tag]
    code = {3: "<H", 4: "<I"}[found.dtype.value]
    changed = bytearray(content)
    struct.pack_into(code, changed, found.valueoffset, value)
    return bytes(changed)


def rename_tag(content, tag, name):
    """A little-endian TIFF whose tag has another number."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        offset = file.pages[0].tags[tag].offset
    return content[:offset] + struct.pack("<H", name) + content[offset + 2 :]


def shorten_first_strip(content):
    """A little-endian TIFF of which the first strip is said to have half of its bytes."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        counts = file.pages[0].tags[279]
    changed = bytearray(content)
    code = {3: "<H", 4: "<I"}[counts.dtype.value]
    struct.pack_into(code, changed, counts.valueoffset, counts.value[0] // 2)
    return bytes(changed)


def fits(array, *cards, bits=None, extension=False):
    """FITS file of an array whose type the format has, or of `bits` as they are.

    The last row of the image comes first. `extension` puts it behind an empty unit.
    """
    planes = array if array.ndim == 2 else np.moveaxis(array, -1, 0)
    planes = np.ascontiguousarray(planes[..., ::-1, :])
    bits = bits or planes.dtype.itemsize * (-8 if planes.dtype.kind == "f" else 8)
    axes = planes.shape[::-1]
    first = "XTENSION= 'IMAGE   '" if extension else f"SIMPLE  = {'T':>20}"
    header = [first, f"BITPIX  = {bits:>20}", f"NAXIS   = {len(axes):>20}"]
    header += [f"NAXIS{i:<3}= {n:>20}" for i, n in enumerate(axes, 1)]
    unit = _fits_header([*header, *cards])
    data = planes.astype(planes.dtype.newbyteorder(">")).tobytes()
    data += bytes(-len(data) % 2880)
    if extension:
        empty = [f"SIMPLE  = {'T':>20}", f"BITPIX  = {8:>20}", f"NAXIS   = {0:>20}"]
        unit = _fits_header(empty) + unit
    return unit + data


def _fits_header(cards):
    text = "".join(card.ljust(80) for card in [*cards, "END"])
    return text.ljust(-(-len(text) // 2880) * 2880).encode()


def card(keyword, value):
    return f"{keyword:<8}= {value!s:>20} / a comment"


# First row and column of each pass of an interlaced PNG, and the steps.
_PASSES = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)),
    *((0, 1, 2, 2), (1, 0, 2, 1)),
)


def png(array, transparent=None, interlaced=False, **chunks):
    """PNG of 8 or 16 bits from (H, W) or (H, W, 2|3|4)."""
    array = np.atleast_3d(array)
    height, width, n_channels = array.shape
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[n_channels]
    bits = array.dtype.itemsize * 8
    array = array.astype(array.dtype.newbyteorder(">"))
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    parts = [array[top::down, left::right] for top, left, down, right in passes]
    lines = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">2I5B", width, height, bits, color_type, 0, 0, interlaced)
    parts = [(b"IHDR", header)]
    parts += [(name.encode(), data) for name, data in chunks.items()]
    if transparent is not None:
        parts.append((b"tRNS", np.asarray(transparent, ">u2").tobytes()))
    parts += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def tga(array, alpha_bits=8, attribute_type=None):
    """Uncompressed TGA from bytes (H, W, 4) or (H, W, 2), or 16-bit pixels (H, W)."""
    height, width = array.shape[:2]
    if array.ndim == 3 and array.shape[2] == 4:
        kind, depth, data = 2, 32, array[..., [2, 1, 0, 3]]
    elif array.ndim == 3:
        kind, depth, data = 3, 16, array
    else:
        kind, depth, data = 2, 16, array.astype("<u2")
    header = struct.pack("<3B5x4H2B", 0, 0, kind, 0, 0, width, height, depth, 32 | alpha_bits)
    content = header + data.tobytes()
    if attribute_type is None:
        return content
    extension = struct.pack("<H", 495) + bytes(492) + bytes([attribute_type])
    footer = struct.pack("<2I", len(content), 0) + b"TRUEVISION-XFILE.\0"
    return content + extension + footer


def bmp(pixels, header_size=40, masks=None):
    """Uncompressed BMP, top row first: bytes (H, W, 4) from blue to the rest, or uint16."""
    height, width = pixels.shape[:2]
    bits = 32 if pixels.ndim == 3 else 16
    compression = 0 if masks is None else 3
    info = struct.pack("<IiiHHI20x", header_size, width, -height, 1, bits, compression)
    info += struct.pack(f"<{len(masks or ())}I", *(masks or ()))
    info = info.ljust(header_size, b"\0")
    if pixels.ndim == 2 and width % 2:
        pixels = np.pad(pixels.astype("<u2"), ((0, 0), (0, 1)))
    data = pixels.tobytes()
    offset = 14 + len(info)
    return b"BM" + struct.pack("<I4xI", offset + len(data), offset) + info + data


def icon(bgra, mask):
    """ICO of one image of 32 bits and its mask of one bit (True hides)."""
    height, width = mask.shape
    info = struct.pack("<IiiHHI20x", 40, width, 2 * height, 1, 32, 0)
    packed = np.packbits(np.pad(mask[::-1], ((0, 0), (0, -width % 32))), axis=1)
    data = info + bgra[::-1].tobytes() + packed.tobytes()
    entry = struct.pack("<4B2H2I", width, height, 0, 0, 1, 32, len(data), 22)
    return struct.pack("<3H", 0, 1, 1) + entry + data


def sun(array, kind):
    """Sun raster of 32 bits from RGB: the unused byte first; `kind` 3 is RGB, else BGR."""
    height, width = array.shape[:2]
    pad = np.full((height, width, 1), 99, np.uint8)
    color = array if kind == 3 else array[..., ::-1]
    data = np.concatenate([pad, color], axis=-1).tobytes()
    return struct.pack(">8I", 0x59A66A95, width, height, 32, len(data), kind, 0, 0) + data


def psd(array, n_layers):
    """Merged image of a Photoshop file of (H, W, 4); a negative count says alpha."""
    height, width = array.shape[:2]
    layers = b"" if n_layers is None else struct.pack(">IIhH", 8, 4, n_layers, 0)
    layers = layers or struct.pack(">I", 0)
    header = b"8BPS" + struct.pack(">H6xH2I2H", 1, 4, height, width, 8, 3)
    planes = np.moveaxis(array, -1, 0).tobytes()
    return header + struct.pack(">2I", 0, 0) + layers + struct.pack(">H", 0) + planes


def sgi(array):
    """SGI file of 16 bits, planes from the bottom row up."""
    array = np.atleast_3d(array)
    height, width, n_channels = array.shape
    dimension = 2 if n_channels == 1 else 3
    header = struct.pack(">H2B4H2I", 474, 0, 2, dimension, width, height, n_channels, 0, 65535)
    planes = np.moveaxis(array[::-1], -1, 0).astype(">u2")
    return header.ljust(512, b"\0") + planes.tobytes()


def pnm(array, max_value, plain=False):
    """PGM or PPM; of more than one byte per sample where `max_value` asks for it."""
    height, width = array.shape[:2]
    kind = {(2, False): 5, (3, False): 6, (2, True): 2, (3, True): 3}[array.ndim, plain]
    header = f"P{kind}\n# a comment\n{width} {height}\n{max_value}\n".encode()
    if plain:
        lines = [" ".join(map(str, row)) for row in array.reshape(height, -1)]
        return header + "\n# between\n".join(lines).encode()
    return header + array.astype(">u2" if max_value > 255 else np.uint8).tobytes()


def jpeg2000(array, bits):
    """JPEG 2000 without loss, of samples of so many bits."""
    return imagecodecs.jpeg2k_encode(array, level=0, reversible=True, bitspersample=bits)


def dds(array):
    """DDS of X8R8G8B8 from (H, W, 4), whose fourth byte no flag declares."""
    height, width = array.shape[:2]
    flags = struct.pack("<8I", 32, 0x40, 0, 32, 0xFF0000, 0xFF00, 0xFF, 0)
    header = struct.pack("<7I44x", 124, 0x1007, height, width, 4 * width, 0, 0) + flags
    return b"DDS " + header + struct.pack("<I16x", 0x1000) + array[..., [2, 1, 0, 3]].tobytes()
