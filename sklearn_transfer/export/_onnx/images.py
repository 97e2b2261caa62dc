"""Front of networks of images."""

import json
from numbers import Integral

import numpy as np

from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._validation import shorten
from sklearn_transfer.export._onnx.fronts import N_EXAMPLES, Front, InputSpec


class ImageFront(Front):
    """Pixels of images, at the size of the network or at one that is resized in the file."""

    def __init__(self, reader, signature, input_size=None):
        super().__init__(reader, signature)
        self.size = None if input_size is None else _check_size(input_size)
        if self.size is not None:
            from sklearn_transfer.export._onnx.resizing import make_resize

            self.prepare = make_resize(self.size, reader.spec)

    @property
    def inputs(self):
        spec = self.reader.spec
        colors = {1: "gray levels", 3: "RGB"}.get(spec.channels, f"{spec.channels} channels")
        kept = self.size or spec.size
        how = (
            "upright pictures of this size, which are scaled and cropped inside"
            if self.size
            else f"pictures that are scaled to {_list_edges(spec.resize)} and cropped around"
            f" their center (Pillow, {spec.interpolation}, crop_mode={spec.crop_mode!r})"
        )
        shape = (None, *kept, spec.channels)
        return [InputSpec("pixels", "uint8", shape, f"{colors}, channels last: {how}")]

    def make_examples(self):
        """Return pictures of noise, and of smooth colors, in turn."""
        spec = self.reader.spec
        size = self.size or tuple(map(max, spec.resize, spec.size))
        rng = np.random.default_rng(0)
        shape = (*size, spec.channels)
        pictures = []
        for row in range(N_EXAMPLES):
            picture = rng.integers(0, 256, shape, dtype=np.uint8)
            if row % 2:
                steps = [-(-edge // 4) for edge in size]
                corner = picture[:4, :4].repeat(steps[0], 0).repeat(steps[1], 1)
                picture = np.ascontiguousarray(corner[: size[0], : size[1]])
            pictures.append(picture)
        return pictures

    def _read(self, content):
        if self.size is None:
            return super()._read(content)
        pixels = self.reader.read_pixels(content)
        if pixels.shape[:2] != self.size:
            raise BadSampleError(
                f"has {_list_edges(pixels.shape[:2])} pixels, and input_size is"
                f" {_list_edges(self.size)} (height x width)"
            )
        return {"pixels": pixels}

    def describe(self):
        if self.prepare is not None:
            return {"levels_from_pillow": str(self.prepare.levels)}
        spec = self.reader.spec
        scaling = {"interpolation": spec.interpolation, "crop_mode": spec.crop_mode}
        return {"resize": json.dumps({"size": spec.resize, **scaling})}


def _check_size(input_size):
    pair = (input_size, input_size) if isinstance(input_size, Integral) else input_size
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or not all(isinstance(edge, Integral) and edge > 0 for edge in pair)
    ):
        raise ValueError(
            f"input_size={shorten(input_size)}: expected a number of pixels, or a pair"
            " (height, width) of numbers above 0"
        )
    return tuple(int(edge) for edge in pair)


def _list_edges(size):
    return " x ".join(map(str, size))
