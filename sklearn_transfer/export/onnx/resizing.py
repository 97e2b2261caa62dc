"""Resizing of pictures as a module: Pillow's integer weights as two products of matrices."""

import math

import numpy as np
import torch

from sklearn_transfer._modalities.image import transforms
from sklearn_transfer._modalities.image.resampling import ONE, find_kernel

# Levels by which pixels may differ from Pillow's.
_MOST_LEVELS = 1


class Resize(torch.nn.Module):
    """Scaled and cropped pixels (n, height, width, channels) of pictures of one size, uint8.

    Sums are of whole numbers below 2^53, so they are exact in double precision.

    Parameters
    ----------
    size : (height, width)
        Size of the pictures.
    across, down : Kernel
        Weights of columns and rows.
    is_rows_first : bool
        Whether rows are resized before columns, as Pillow does unless a picture is tall.
    spec : ImageSpec
        What the network takes.

    Attributes
    ----------
    levels : int
        Levels by which pixels were found to differ from Pillow's, at most.
    """

    levels = 0

    def __init__(self, size, across, down, is_rows_first, spec):
        super().__init__()
        self.size, self.is_rows_first, self.spec = size, is_rows_first, spec
        for name, kernel in (("across", across), ("down", down)):
            setattr(self, f"{name}_part", slice(kernel.start, kernel.stop))
            weights = None if kernel.weights is None else _to_double(kernel.weights)
            self.register_buffer(f"{name}_weights", weights)
        edges = [
            kernel.stop - kernel.start if kernel.weights is None else kernel.weights.shape[0]
            for kernel in (down, across)
        ]
        self.padding, canvas = _find_canvas(edges, spec)
        self.register_buffer("canvas", canvas)

    def forward(self, pixels):
        """Return the payload: what `apply_eval_transform` gives for each picture."""
        part = pixels[:, self.down_part, self.across_part].permute(0, 3, 1, 2).double()
        steps = [self._resize_rows, self._resize_columns]
        for step in steps if self.is_rows_first else reversed(steps):
            part = step(part)
        if self.canvas is not None:
            part = torch.nn.functional.pad(part, self.padding) + self.canvas
        return {"pixels": part.permute(0, 2, 3, 1).float()}

    def draw_input(self, n):
        """Return n pictures of noise."""
        shape = (n, *self.size, self.spec.channels)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def _resize_rows(self, values):
        if self.across_weights is None:
            return values
        return _round(values @ self.across_weights.T)

    def _resize_columns(self, values):
        return values if self.down_weights is None else _round(self.down_weights @ values)


def make_resize(size, spec):
    """Return the `Resize` of pictures of one size (height, width), compared with Pillow.

    Raises ValueError where a network's pictures cannot be resized in this way.
    """
    scaled = transforms.compute_scaled_size(size[::-1], spec)
    if math.prod(scaled) > transforms.LARGEST_RATIO * math.prod(spec.size):
        raise ValueError(
            f"input_size={size} is too far from square: pictures would be scaled to {scaled},"
            f" of which the network sees {spec.size}; crop them first"
        )
    kernels = [
        find_kernel(own, edge, *transforms.find_kept_pixels(edge, wanted), spec.interpolation)
        for own, edge, wanted in zip(size, scaled, spec.size, strict=True)
    ]
    if None in kernels:
        raise ValueError(
            f"input_size={size}: the filter {spec.interpolation!r} of this network has no"
            " conversion, only 'bilinear' and 'bicubic' have one; leave input_size=None, and"
            " resize pictures outside of the file"
        )
    down, across = kernels
    found = []
    for is_rows_first in (True, False):
        resize = Resize(size, across, down, is_rows_first, spec)
        pictures = resize.draw_input(2)
        pictures[1] = 255 * (pictures[1] >> 7)  # of black and white alone
        expected = [transforms.apply_eval_transform(picture, spec) for picture in pictures]
        pixels = resize(torch.from_numpy(pictures))["pixels"].numpy()
        found.append((np.abs(pixels - np.stack(expected)).max(), not is_rows_first, resize))
    levels, _, resize = min(found, key=lambda entry: entry[:2])
    if levels > _MOST_LEVELS:
        raise ValueError(
            f"input_size={size}: pixels would be up to {levels:g} levels from those of Pillow;"
            " leave input_size=None, and resize pictures outside of the file"
        )
    resize.levels = int(levels)
    return resize


def _to_double(weights):
    return torch.from_numpy(weights.toarray().astype(np.float64))


def _round(sums):
    """Return weighted sums of 8-bit values, rounded to 8 bits."""
    return ((sums + ONE // 2) / ONE).floor().clamp(0, 255)


def _find_canvas(edges, spec):
    """Return the padding of a crop and the color around it, or None where there is none."""
    if tuple(edges) == tuple(spec.size):
        return None, None
    padding = []
    for edge, wanted in zip(reversed(edges), reversed(spec.size), strict=True):
        start = (wanted - edge) // 2
        padding += [start, wanted - edge - start]
    canvas = np.empty((*spec.size, spec.channels))
    canvas[:] = transforms.find_fill_color(spec)
    left, right, top, bottom = padding
    canvas[top : spec.size[0] - bottom, left : spec.size[1] - right] = 0
    return padding, torch.from_numpy(canvas).permute(2, 0, 1).contiguous()
