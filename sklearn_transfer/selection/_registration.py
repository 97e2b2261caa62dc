"""Registration of pairs of small gray pictures over shifts and scales, and their agreement."""

import numpy as np
from PIL import Image
from PIL.Image import Resampling
from scipy.ndimage import gaussian_filter

from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.image.decoding import Decoding

SIDE = 64  # pixels of a thumbnail
_LEVELS = ((16, 8), (32, 8), (64, 6))  # side, and steps of the search there
_KEPT = 0.5  # correlation at the smallest side from which a pair is examined further
_STARTS = (1.0, 0.9, 1.1)  # scales at which the search begins
_MOST_SCALE, _MOST_SHIFT = 0.18, 0.12  # of the side
_LEAST_OVERLAP = 0.6  # while searching
# Share of both pictures that must be common: a crop to nine tenths of each side leaves 0.81.
# Where the light differs, only a smaller crop counts, or else any two photos of one thing.
_COMMON, _COMMON_IN_OTHER_LIGHT = 0.77, 0.95
_SAME_CONTRAST, _SAME_LEVEL = 1.25, 8.0  # most ratio of deviations, difference of means
_PAIRS_AT_ONCE = 256
_FLAT = 1.0  # gray levels of standard deviation below which a picture shows nothing


def make_thumbnail(content):
    """Return an image that `read_sample` returned as gray levels of one size."""
    gray = _make_gray(content)
    # Of a small picture, squares of one gray would count as detail.
    way = Resampling.BICUBIC if min(gray.size) < SIDE else Resampling.BOX
    return np.asarray(gray.resize((SIDE, SIDE), way))


def _make_gray(content):
    try:
        return Decoding().make_picture(content).image.convert("L")
    except BadSampleError:
        is_array = isinstance(content, np.ndarray)
        if not is_array or content.dtype.kind not in "iuf" or not np.isfinite(content).all():
            raise
    # Of other channels than colors, or of another range: what matters is their pattern.
    gray = content.mean(axis=2) if content.ndim == 3 else content.astype(np.float64)
    gray -= gray.min()
    return Image.fromarray((gray * (255 / max(gray.max(), 1e-300))).astype(np.uint8))


def compare_pairs(thumbnails, pairs):
    """Correlation of each pair of pictures after one is shifted and scaled onto the other.

    Parameters
    ----------
    thumbnails : ndarray of shape (n_samples, SIDE, SIDE), uint8
        Gray pictures.
    pairs : ndarray of shape (n_pairs, 2)
        Rows of pictures to compare.

    Returns
    -------
    similarity : ndarray of shape (n_pairs,)
        The smaller of the correlation of gray levels and that of their fine detail, between
        -1 and 1; 0 for pictures of one gray.
    """
    similarity = np.zeros(len(pairs))
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        similarity[part] = _compare_batch(thumbnails, pairs[part])
    return similarity


def _compare_batch(thumbnails, pairs):
    first, second = (thumbnails[rows].astype(np.float32) for rows in pairs.T)
    similarity = np.zeros(len(pairs))
    shown = np.minimum(first.std(axis=(1, 2)), second.std(axis=(1, 2))) >= _FLAT
    alive = np.flatnonzero(shown)
    warp = np.tile(np.float32([1, 1, 0, 0]), (len(pairs), 1))
    for side, n_steps in _LEVELS:
        if not len(alive):
            break
        a, b = shrink(first[alive], side), shrink(second[alive], side)
        starts = _STARTS if side == _LEVELS[0][0] else _STARTS[:1]
        warp[alive], agreement = _register_from(starts, a, b, warp[alive], n_steps)
        similarity[alive] = agreement
        alive = alive[agreement >= _KEPT]
    if len(alive):
        similarity[alive] = _compare_registered(first[alive], second[alive], warp[alive])
    return similarity


def shrink(pictures, side):
    """Means over squares of pictures (n_samples, side, side)."""
    n, factor = len(pictures), pictures.shape[1] // side
    return pictures.reshape(n, side, factor, side, factor).mean(axis=(2, 4))


def _register_from(starts, a, b, warp, n_steps):
    """The best of several registrations, each of which starts at another scale."""
    tried = [
        _register(a, b, warp * np.float32([start, start, 1, 1]), n_steps) for start in starts
    ]
    best = np.argmax([agreement for _, agreement in tried], axis=0)
    rows = np.arange(len(a))
    return tuple(np.array(results)[best, rows] for results in zip(*tried, strict=True))


def _register(a, b, warp, n_steps):
    """Warps by Gauss-Newton steps that raise the correlation, and the correlations."""
    best, best_warp = np.full(len(a), -1.0), warp.copy()
    gradients = np.gradient(b, axis=(1, 2))
    for step in range(n_steps + 1):
        warped, inside, grid = _sample([b, *gradients], warp)
        agreement, residual, scale = _compute_correlation(a, warped[0], inside)
        better = agreement > best
        best[better], best_warp[better] = agreement[better], warp[better]
        if step == n_steps:
            break
        moved = _step(residual, warped[1:], inside, grid, scale)
        warp = np.clip(
            warp + moved,
            np.float32([1 - _MOST_SCALE] * 2 + [-_MOST_SHIFT] * 2),
            np.float32([1 + _MOST_SCALE] * 2 + [_MOST_SHIFT] * 2),
        )
    return best_warp, best


def _sample(stacks, warp):
    """Bilinear values of pictures where the warp takes each pixel, and what lies inside.

    A warp is (scale of rows, scale of columns, shift of rows, shift of columns), the scales
    about the center, the shifts in sides.
    """
    side = stacks[0].shape[1]
    places = np.arange(side, dtype=np.float32)
    grid = (places + 0.5) / side - 0.5
    inside, weights = [], []
    for axis in (0, 1):
        at = (grid * warp[:, axis, None] + warp[:, axis + 2, None] + 0.5) * side - 0.5
        inside.append((at >= -0.5) & (at <= side - 0.5))
        at = np.clip(at, 0, side - 1)
        # Rows and columns move apart, so that two products of matrices interpolate.
        weights.append(np.maximum(1 - np.abs(at[:, :, None] - places), 0))
    down, right = weights[0], weights[1].transpose(0, 2, 1)
    sampled = [down @ stack @ right for stack in stacks]
    return sampled, inside[0][:, :, None] & inside[1][:, None, :], grid


def _compute_correlation(a, b, inside):
    """Correlation inside, the difference of standardized values, and the scale of b."""
    count = np.maximum(inside.sum(axis=(1, 2)), 1)

    def standardize(values):
        mean = (values * inside).sum(axis=(1, 2)) / count
        centered = (values - mean[:, None, None]) * inside
        deviation = np.sqrt((centered**2).sum(axis=(1, 2)) / count)
        return centered / np.maximum(deviation, 1e-3)[:, None, None], deviation

    (a, _), (b, scale) = standardize(a), standardize(b)
    agreement = (a * b).sum(axis=(1, 2)) / count
    agreement[count < _LEAST_OVERLAP * inside[0].size] = -1
    return agreement, a - b, np.maximum(scale, 1e-3)


def _step(residual, gradients, inside, grid, scale):
    side = len(grid)
    down, right = (g * inside * (side / scale[:, None, None]) for g in gradients)
    jacobian = np.stack(
        [down * grid[:, None], right * grid[None, :], down, right], axis=1
    ).reshape(len(residual), 4, -1)
    normal = jacobian @ jacobian.transpose(0, 2, 1)
    damping = 1e-3 * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-6
    normal += damping * np.eye(4, dtype=normal.dtype)
    target = jacobian @ residual.reshape(len(residual), -1, 1)
    return np.linalg.solve(normal, target)[..., 0]


def _compare_registered(a, b, warp):
    """The smaller of two correlations: of gray levels, and of what a blur takes away."""
    (moved,), inside, _ = _sample([b], warp)
    agreement = _compute_correlation(a, moved, inside)[0]
    detail = _compute_correlation(_compute_detail(a), _compute_detail(moved), inside)[0]
    share = inside.mean(axis=(1, 2))
    common = np.minimum(share, share * warp[:, 0] * warp[:, 1])
    needed = np.where(_is_same_light(a, moved, inside), _COMMON, _COMMON_IN_OTHER_LIGHT)
    return np.where(common >= needed, np.minimum(agreement, detail), 0)


def _is_same_light(a, b, inside):
    """Whether means and deviations of gray levels are nearly equal."""
    means, deviations = [], []
    for values in (a, b):
        means.append(values.mean(axis=(1, 2), where=inside))
        deviations.append(values.std(axis=(1, 2), where=inside))
    ratio = deviations[0] / np.maximum(deviations[1], 1e-3)
    is_like = (ratio <= _SAME_CONTRAST) & (ratio >= 1 / _SAME_CONTRAST)
    return is_like & (np.abs(means[0] - means[1]) <= _SAME_LEVEL)


def _compute_detail(pictures):
    return gaussian_filter(pictures, (0, 1, 1)) - gaussian_filter(pictures, (0, 4, 4))
