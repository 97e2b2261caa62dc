"""Pillow's resampling of 8-bit pixels to the bit, for the part of the result that is kept.

Pillow first resizes rows, by weighted sums of their pixels that it rounds to 8 bits, and then
columns in the same way. Its weights are integers, and so are the sums, so products with sparse
matrices of the same weights give the same pixels. They take a third to a half of the time of
Pillow's own loops, which compute one value at a time, and leave out what a crop does not show.
"""

import functools
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import sparse

from sklearn_transfer._process.allocator import keep_blocks

BITS = 22  # of the fraction of a weight
ONE = 1 << BITS
# Values that are treated at once: a megabyte, which stays in the cache of a core.
_BLOCK = 1 << 18
_KERNELS_KEPT = 128
# Sizes (width, height) before and after, at which the order of Pillow's steps is checked.
_CHECKED = [
    ((30, 20), (12, 40)),
    ((9, 33), (25, 40)),
    ((40, 31), (20, 21)),
    ((31, 40), (26, 31)),
    ((40, 40), (20, 20)),
]


class Kernel(NamedTuple):
    """Weights that give pixels of a resized line from the pixels `start` to `stop` of a line.

    `weights` is a sparse matrix, or None if the pixels stay as they are.
    """

    start: int
    stop: int
    weights: sparse.csr_array | None


def resize_part(picture, size, box, interpolation):
    """Return a part of a resized picture, with the pixels that Pillow computes.

    Parameters
    ----------
    picture : PIL.Image.Image of mode "RGB" or "L", or uint8 array (height, width, channels)
        What is resized. Channels of an array are resized one by one.
    size : (width, height)
        Size to which the whole picture would be resized.
    box : (left, top, right, bottom)
        Part of the resized picture.
    interpolation : str
        Name of one of Pillow's filters.

    Returns
    -------
    part : uint8 array (height, width, channels), or None
        None where Pillow has to do it: for filters other than "bilinear" and "bicubic", and
        where it may resize columns first, as Pillow 13 does in tall images.
    """
    width, height = _get_size(picture)
    is_tall = height - size[1] > max(2 * (width - size[0]), 0)
    if is_tall or not _has_known_order():
        return None
    return _resize_rows_first(picture, size, box, interpolation)


@functools.cache
def _has_known_order():
    """Whether the installed Pillow resizes rows first where `resize_part` supposes it."""
    for size, resized in _CHECKED:
        lines = _draw_noise(*size)
        found = _resize_rows_first(lines[..., None], resized, (0, 0, *resized), "bicubic")
        if found is None or not np.array_equal(
            found[..., 0], _resize_by_pillow(lines, resized, "bicubic")
        ):
            return False
    return True


def _resize_rows_first(picture, size, box, interpolation):
    keep_blocks()
    left, top, right, bottom = box
    width, height = _get_size(picture)
    across = find_kernel(width, size[0], left, right, interpolation)
    down = find_kernel(height, size[1], top, bottom, interpolation)
    if across is None or down is None:
        return None
    lines = _resize_rows(picture, across, down)
    part = np.empty((bottom - top, *lines.shape[1:]), np.uint8)
    if down.weights is None:
        part[:] = lines
        return part
    columns, lines = part.reshape(len(part), -1), lines.reshape(len(lines), -1)
    step = max(_BLOCK // len(lines), 1)
    for start in range(0, columns.shape[1], step):
        block = slice(start, start + step)
        columns[:, block] = _multiply(down, lines[:, block])
    return part


def _resize_rows(picture, across, down):
    """Resize those rows that the kernel `down` takes; returns 8-bit values as int32."""
    left, right = across.start, across.stop
    width = right - left if across.weights is None else across.weights.shape[0]
    step, parts = max(_BLOCK // (4 * (right - left)), 1), []
    for top in range(down.start, down.stop, step):
        rows = _read_part(picture, left, top, right, min(top + step, down.stop))
        parts.append(np.empty((len(rows), width, rows.shape[2]), np.int32))
        if across.weights is None:
            parts[-1][:] = rows
            continue
        # Along contiguous memory, a product treats several values at once.
        columns = rows.transpose(1, 2, 0).astype(np.int32, order="C")
        sums = _multiply(across, columns.reshape(right - left, -1))
        sums = sums.reshape(width, rows.shape[2], len(rows))
        for channel in range(rows.shape[2]):  # faster than one assignment
            parts[-1][..., channel] = sums[:, channel].T
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _get_size(picture):
    return picture.shape[1::-1] if isinstance(picture, np.ndarray) else picture.size


def _read_part(picture, left, top, right, bottom):
    """Return a part of a picture as an array (height, width, channels)."""
    if isinstance(picture, np.ndarray):
        return picture[top:bottom, left:right]
    part = np.asarray(picture.crop((left, top, right, bottom)))
    return part if part.ndim == 3 else part[..., None]


def _multiply(kernel, values):
    """Return weighted sums of 8-bit values, rounded to 8 bits; all are int32."""
    sums = kernel.weights @ values
    sums += ONE // 2
    sums >>= BITS
    return np.clip(sums, 0, 255, out=sums)


@functools.lru_cache(maxsize=_KERNELS_KEPT)
def find_kernel(n_pixels, n_resized, start, stop, interpolation):
    """Return the kernel for pixels `start` to `stop` of a line of n_pixels that is resized.

    Returns None for filters that are not known, and if Pillow gives other pixels.
    """
    if interpolation not in _FILTERS:
        return None
    if n_pixels == n_resized:
        return Kernel(start, stop, None)
    kernel = _make_kernel(n_pixels, n_resized, start, stop, interpolation)
    lines = _draw_noise(n_pixels, 4)
    expected = _resize_by_pillow(lines, (n_resized, 4), interpolation)[:, start:stop]
    found = _multiply(kernel, lines[:, kernel.start : kernel.stop].T.astype(np.int32))
    return kernel if np.array_equal(found.T, expected) else None


def _make_kernel(n_pixels, n_resized, start, stop, interpolation):
    """Compute weights by the same floating-point operations as Pillow, in the same order."""
    function, reach = _FILTERS[interpolation]
    scale = n_pixels / n_resized
    stretch = max(scale, 1.0)
    centers = (np.arange(start, stop) + 0.5) * scale
    first = np.maximum((centers - reach * stretch + 0.5).astype(int), 0)
    last = np.minimum((centers + reach * stretch + 0.5).astype(int), n_pixels)
    pixels = first[:, None] + np.arange((last - first).max())
    distances = np.abs((pixels - centers[:, None] + 0.5) * (1 / stretch))
    weights = np.where(pixels < last[:, None], function(distances), 0)
    total = functools.reduce(np.add, weights.T)  # np.sum adds in another order
    weights /= np.where(total == 0, 1, total)[:, None]
    weights = np.trunc(weights * ONE + np.copysign(0.5, weights)).astype(np.int32)
    is_used = weights != 0
    used = pixels[is_used]
    begin, end = int(used.min()), int(used.max()) + 1
    ends = np.concatenate([[0], np.cumsum(is_used.sum(axis=1))])
    parts = (weights[is_used], (used - begin).astype(np.int32), ends.astype(np.int32))
    return Kernel(begin, end, sparse.csr_array(parts, shape=(stop - start, end - begin)))


def _draw_noise(width, height):
    """Draw rows of noise, every second one of black and white, whose sums leave 8 bits."""
    lines = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    lines[::2] = 255 * (lines[::2] >> 7)
    return lines


def _resize_by_pillow(lines, size, interpolation):
    resample = Image.Resampling[interpolation.upper()]
    return np.asarray(Image.fromarray(lines).resize(size, resample))


def _weigh_bilinear(x):
    return np.maximum(1.0 - x, 0.0)


def _weigh_bicubic(x):
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


# The function of a filter, and how many pixels away it is not zero.
_FILTERS = {"bilinear": (_weigh_bilinear, 1.0), "bicubic": (_weigh_bicubic, 2.0)}
