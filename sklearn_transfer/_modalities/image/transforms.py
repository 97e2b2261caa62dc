"""Pictures brought to a network's input size, for evaluation and for training.

A picture is an RGB or L image of Pillow, or for a network of another number of channels than 1
or 3 a uint8 array (height, width, channels), whose channels are treated one by one.
"""

import functools
import math

import numpy as np
from PIL import Image

from sklearn_transfer._modalities.image.resampling import resize_part
from sklearn_transfer._validation import shorten, suggest_near

# Ratio of the pixels of the scaled image to those of the crop above which only the crop is
# resampled.
LARGEST_RATIO = 64

# Random crops: share of the image's area, and width over height.
_AREA = (0.35, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_LOG_ASPECT = tuple(map(math.log, _ASPECT))
_TRIES = 10
_JITTER = 0.2
_LUMA = np.array([0.299, 0.587, 0.114])


def apply_eval_transform(image, spec):
    """Return the scaled center crop of a picture as uint8 (height, width, channels).

    The pixels are those of timm's evaluation transform. The picture may be a uint8 array
    (height, width, channels) for any network of as many channels.
    """
    is_array = isinstance(image, np.ndarray)
    if spec.channels == 1 and not is_array:
        image = image.convert("L")
    size = image.shape[1::-1] if is_array else image.size
    height, width = compute_scaled_size(size, spec)
    top, bottom = find_kept_pixels(height, spec.size[0])
    left, right = find_kept_pixels(width, spec.size[1])
    crop = _resize_part(image, (width, height), (left, top, right, bottom), spec)
    if crop.shape[:2] == spec.size:
        return crop
    canvas = np.empty((*spec.size, spec.channels), np.uint8)
    canvas[:] = find_fill_color(spec)
    top, left = ((a - b) // 2 for a, b in zip(spec.size, crop.shape, strict=False))
    canvas[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return canvas


def shrink(picture, least):
    """Return a picture as an array, its shorter edge scaled down to at most `least` pixels."""
    if isinstance(picture, np.ndarray):
        bands = [shrink(band, least) for band in _split_bands(picture)]
        return np.stack(bands, axis=2)
    if min(picture.size) > least:
        ratio = least / min(picture.size)
        size = tuple(max(round(edge * ratio), 1) for edge in picture.size)
        picture = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(picture)


def _split_bands(array):
    """Return the channels of an array (height, width, channels) as gray images."""
    return [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(array, 2, 0)]


def is_prepared(content, spec):
    """Whether content is an array of 8 bits with the network's channels."""
    return (
        isinstance(content, np.ndarray)
        and content.dtype == np.uint8
        and content.ndim == 3
        and content.size > 0
        and content.shape[2] == spec.channels
    )


def needs_crop_alone(content, spec):
    """Whether content is an array that has the network's channels and needs no scaling."""
    if not is_prepared(content, spec):
        return False
    height, width = content.shape[:2]
    return (
        compute_scaled_size((width, height), spec) == (height, width)
        and height >= spec.size[0]
        and width >= spec.size[1]
    )


def center(array, spec):
    """Return the center of such an array, which is what `apply_eval_transform` returns."""
    top, bottom = find_kept_pixels(array.shape[0], spec.size[0])
    left, right = find_kept_pixels(array.shape[1], spec.size[1])
    return array[top:bottom, left:right]


def find_kept_pixels(scaled, wanted):
    """Return where a center crop of one scaled edge starts and ends."""
    start = max(round((scaled - wanted) / 2), 0)
    return start, min(start + wanted, scaled)


def _resize_part(image, size, box, spec):
    """Return a part of a resized picture as an array (height, width, channels)."""
    if math.prod(size) <= LARGEST_RATIO * math.prod(spec.size):
        part = resize_part(image, size, box, spec.interpolation)
        if part is not None:
            return part
    if isinstance(image, np.ndarray):
        parts = [_resize_band(band, size, box, spec) for band in _split_bands(image)]
        return np.stack(parts, axis=2)
    part = _resize_band(image, size, box, spec)
    return part.reshape(*part.shape[:2], -1)


def _resize_band(image, size, box, spec):
    """Return a part of a resized image as an array, computed by Pillow."""
    resample = Image.Resampling[spec.interpolation.upper()]
    if math.prod(size) <= LARGEST_RATIO * math.prod(spec.size):
        return np.asarray(image.resize(size, resample).crop(box))
    # Scaled as a whole, an image of 5000 x 1 pixels would take a gigabyte. Pillow rounds
    # the coordinates of a part a little differently, so this is only for extreme shapes.
    left, top, right, bottom = box
    x, y = image.size[0] / size[0], image.size[1] / size[1]
    source = (left * x, top * y, right * x, bottom * y)
    source = (*source[:2], min(source[2], image.size[0]), min(source[3], image.size[1]))
    return np.asarray(image.resize((right - left, bottom - top), resample, box=source))


def find_fill_color(spec):
    if spec.crop_mode != "border":
        return 0
    fill = tuple(round(255 * value) for value in spec.mean)
    return fill if len(fill) > 1 else fill[0]


def compute_scaled_size(size, spec):
    """Return height and width to which timm would scale the whole image."""
    width, height = size
    if spec.crop_mode == "squash":
        return spec.resize
    ratios = (height / spec.resize[0], width / spec.resize[1])
    if spec.crop_mode == "border":
        return tuple(max(round(edge / max(ratios)), 1) for edge in (height, width))
    if spec.resize[0] != spec.resize[1]:
        return tuple(max(round(edge / min(ratios)), 1) for edge in (height, width))
    short = spec.resize[0]
    longer = int(short * max(size) / min(size))
    return (short, longer) if height <= width else (longer, short)


def make_augmentation(augment, spec):
    """Return a training transform `(image, seed) -> uint8 array (height, width, channels)`.

    `image` is an upright RGB image, `seed` an int or a tuple of ints from 0. The pixels depend
    on these two alone, in any thread and order, and no global random state is changed.

    - "none" is `apply_eval_transform`, and "flip" mirrors it with probability 1/2.
    - "standard" resizes a random part (35 to 100 % of the area, aspect 3/4 to 4/3), mirrors it
      with probability 1/2, and multiplies brightness, contrast and saturation by factors in
      [0.8, 1.2].
    - "randaugment" [1]_ and "trivial" [2]_ take such a part, mirrored or not, and then
      torchvision's policy with its defaults.
    - A callable gets a copy of the image and returns a `PIL.Image` (RGB or L) or a uint8
      array (height, width, 1|3), which then goes through `apply_eval_transform`. Callables
      run one at a time. What they draw from `random`, numpy's global generator or torch on
      the CPU follows from the seed; a generator of their own does not.

    For a network of another number of channels than 1 or 3, a callable gets and returns a
    uint8 array of that many channels, "standard" leaves saturation as it is, and torchvision's
    policies, which are defined for gray and color alone, are refused.

    The result can be pickled if the callable can. Raises ValueError for another `augment`.

    References
    ----------
    .. [1] Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced
       search space", NeurIPS 2020.
    .. [2] Mueller and Hutter, "TrivialAugment: Tuning-free yet state-of-the-art data
       augmentation", ICCV 2021.
    """
    if isinstance(augment, str) and augment in _POLICIES:
        if augment in _FOR_COLOR and not spec.converts:
            raise ValueError(
                f"augment={shorten(augment)} is defined for images of 1 or 3 channels, but"
                f" the network takes {spec.channels}; use 'flip', 'standard' or a callable"
                " that takes and returns an array (height, width, channels)"
            )
        return functools.partial(_POLICIES[augment], spec=spec)
    if callable(augment):
        return functools.partial(_apply_callable, function=augment, spec=spec)
    raise ValueError(
        f"augment={shorten(augment)} is unknown; expected one of {AUGMENTATIONS}, or a"
        f" callable that takes and returns a PIL image.{suggest_near(augment, AUGMENTATIONS)}"
    )


def _apply_none(image, seed, *, spec):
    return apply_eval_transform(image, spec)


def _apply_flip(image, seed, *, spec):
    if np.random.default_rng(seed).random() < 0.5:
        return np.ascontiguousarray(apply_eval_transform(image, spec)[:, ::-1])
    return apply_eval_transform(image, spec)


def _apply_standard(image, seed, *, spec):
    rng = np.random.default_rng(seed)
    image = _draw_part(image, spec, rng)
    factors = rng.uniform(1 - _JITTER, 1 + _JITTER, 3)
    return _to_pixels(_apply_jitter(image, *factors), spec)


def _apply_policy(image, seed, *, policy, spec):
    from sklearn_transfer._process.draws import SeededTorch

    rng = np.random.default_rng(seed)
    image = _draw_part(image, spec, rng)
    with SeededTorch(int(rng.integers(2**63))):
        image = _make_policy(policy)(image)
    return _to_pixels(image, spec)


def _apply_callable(image, seed, *, function, spec):
    from sklearn_transfer._process.draws import seed_draws

    with seed_draws(seed):
        result = function(image.copy())
    if spec.converts:
        return apply_eval_transform(_check_returned_picture(result), spec)
    return apply_eval_transform(_check_returned_array(result, spec), spec)


_POLICIES = {
    "none": _apply_none,
    "flip": _apply_flip,
    "standard": _apply_standard,
    "randaugment": functools.partial(_apply_policy, policy="RandAugment"),
    "trivial": functools.partial(_apply_policy, policy="TrivialAugmentWide"),
}
AUGMENTATIONS = tuple(_POLICIES)
_FOR_COLOR = ("randaugment", "trivial")


@functools.cache
def _make_policy(name):
    from torchvision.transforms import v2

    return getattr(v2, name)()


def _check_returned_array(result, spec):
    is_fitting = isinstance(result, np.ndarray) and result.dtype == np.uint8
    if not is_fitting or result.ndim != 3 or result.shape[2] != spec.channels:
        got = type(result).__name__
        if isinstance(result, np.ndarray):
            got = f"an array of {result.dtype} with shape {result.shape}"
        raise ValueError(
            f"augment returned {got}, expected a uint8 array (height, width, {spec.channels})"
        )
    if 0 in result.shape:
        raise ValueError(f"augment returned an array without pixels: shape {result.shape}")
    return result


def _check_returned_picture(result):
    if isinstance(result, Image.Image):
        if result.mode not in ("RGB", "L"):
            raise ValueError(
                f"augment returned an image of mode {result.mode!r}, expected 'RGB' or 'L';"
                " end it with image.convert('RGB')"
            )
        image = result
    elif not isinstance(result, np.ndarray):
        raise ValueError(
            f"augment returned {type(result).__name__}, expected a PIL image or a uint8 array"
            " (height, width, channels); scaling and normalization come later"
        )
    else:
        image = _to_image(result)
    if 0 in image.size:
        raise ValueError(
            f"augment returned an image of {image.size[0]} x {image.size[1]} pixels"
        )
    return image.convert("RGB")


def _to_image(array):
    is_gray = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if array.dtype != np.uint8 or not (is_gray or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(
            f"augment returned an array of {array.dtype} with shape {array.shape}, expected"
            " uint8 (height, width, 3), or 1 for gray, with channels last and values 0 to 255"
        )
    if is_gray:
        array = array.reshape(array.shape[:2])
    return Image.fromarray(np.ascontiguousarray(array))


def _to_pixels(image, spec):
    return np.asarray(image).reshape(*spec.size, spec.channels)


def _draw_part(image, spec, rng):
    """Draw a random part of a picture, resampled in one step and mirrored or not."""
    size = image.shape[1::-1] if isinstance(image, np.ndarray) else image.size
    box = _draw_box(size, rng)
    is_mirrored = rng.random() < 0.5
    if isinstance(image, np.ndarray):
        parts = [
            _resize_and_mirror(band, spec, box, is_mirrored) for band in _split_bands(image)
        ]
        return np.stack(list(map(np.asarray, parts)), axis=2)
    if spec.channels == 1:
        image = image.convert("L")
    return _resize_and_mirror(image, spec, box, is_mirrored)


def _resize_and_mirror(image, spec, box, is_mirrored):
    resample = Image.Resampling[spec.interpolation.upper()]
    image = image.resize(spec.size[::-1], resample, box=box)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if is_mirrored else image


def _draw_box(size, rng):
    """Draw left, top, right and bottom of a random part, which need not be whole pixels."""
    width, height = size
    for _ in range(_TRIES):
        area = width * height * rng.uniform(*_AREA)
        aspect = math.exp(rng.uniform(*_LOG_ASPECT))
        part = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if part[0] <= width and part[1] <= height:
            left, top = rng.uniform(0, width - part[0]), rng.uniform(0, height - part[1])
            break
    else:  # no part fits a long image: take its middle, as long as the aspect allows
        part = min(width, height * _ASPECT[1]), min(height, width / _ASPECT[0])
        left, top = (width - part[0]) / 2, (height - part[1]) / 2
    return left, top, min(left + part[0], width), min(top + part[1], height)


def _apply_jitter(image, brightness, contrast, saturation):
    """Return b * (c * (s * x + (1 - s) * gray(x)) + (1 - c) * mean(gray)), clipped once.

    Brightness, contrast and saturation as linear maps commute, so their order does not matter.
    An array, whose channels are no colors, has s = 1 and the mean over all of its channels.
    """
    if isinstance(image, np.ndarray):
        values = brightness * (contrast * image + (1 - contrast) * image.mean())
        return np.rint(values.clip(0, 255)).astype(np.uint8)
    counts = np.reshape(image.histogram(), (-1, 256))
    levels = counts @ np.arange(256) / counts[0].sum()
    weights = _LUMA if len(levels) == 3 else np.ones(1)
    offset = brightness * (1 - contrast) * (levels @ weights)
    if len(levels) == 1:
        values = brightness * contrast * np.arange(256) + offset
        return image.point(np.rint(values.clip(0, 255)).astype(int).tolist())
    mixing = saturation * np.eye(3) + (1 - saturation) * weights
    matrix = np.column_stack([brightness * contrast * mixing, np.full(3, offset)])
    return image.convert("RGB", tuple(matrix.ravel().tolist()))
