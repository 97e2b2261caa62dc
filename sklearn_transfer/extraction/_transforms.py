"""RGB images brought to a network's input size."""

import math

import numpy as np
from PIL import Image

# Scaled image over crop, in pixels, beyond which only the crop is resampled.
_LARGEST_RATIO = 64


def eval_transform(image, spec):
    """Scaled centre crop of an RGB image as uint8 (height, width, channels).

    The same pixels as timm's evaluation transform.
    """
    if spec.channels == 1:
        image = image.convert("L")
    height, width = _scaled_size(image.size, spec)
    top, bottom = _kept(height, spec.size[0])
    left, right = _kept(width, spec.size[1])
    crop = _resized_part(image, (width, height), (left, top, right, bottom), spec)
    if crop.size != spec.size[::-1]:
        canvas = Image.new(crop.mode, spec.size[::-1], _fill(spec))
        canvas.paste(
            crop, tuple((a - b) // 2 for a, b in zip(canvas.size, crop.size, strict=True))
        )
        crop = canvas
    return np.asarray(crop).reshape(*spec.size, spec.channels)


def needs_crop_alone(content, spec):
    """Whether content is an RGB array of the size that images are scaled to."""
    if not (isinstance(content, np.ndarray) and content.dtype == np.uint8):
        return False
    if content.ndim != 3 or content.size == 0:
        return False
    height, width = content.shape[:2]
    return (
        content.shape[2:] == (3,) == (spec.channels,)
        and _scaled_size((width, height), spec) == (height, width)
        and height >= spec.size[0]
        and width >= spec.size[1]
    )


def centre(array, spec):
    """What `eval_transform` gives for such an array: the centre of it."""
    top, bottom = _kept(array.shape[0], spec.size[0])
    left, right = _kept(array.shape[1], spec.size[1])
    return array[top:bottom, left:right]


def _kept(scaled, wanted):
    """First and last pixel of one scaled edge that a centre crop keeps."""
    start = max(round((scaled - wanted) / 2), 0)
    return start, min(start + wanted, scaled)


def _resized_part(image, size, box, spec):
    resample = Image.Resampling[spec.interpolation.upper()]
    if math.prod(size) <= _LARGEST_RATIO * math.prod(spec.size):
        return image.resize(size, resample).crop(box)
    # Scaled whole, a 5000 x 1 image would take a gigabyte. Pillow rounds the part a
    # little differently, so this is for extreme shapes alone.
    left, top, right, bottom = box
    x, y = image.size[0] / size[0], image.size[1] / size[1]
    source = (left * x, top * y, right * x, bottom * y)
    source = (*source[:2], min(source[2], image.size[0]), min(source[3], image.size[1]))
    return image.resize((right - left, bottom - top), resample, box=source)


def _fill(spec):
    if spec.crop_mode != "border":
        return 0
    fill = tuple(round(255 * value) for value in spec.mean)
    return fill if len(fill) > 1 else fill[0]


def _scaled_size(size, spec):
    """Height and width that the whole image would be scaled to, as timm computes it."""
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
