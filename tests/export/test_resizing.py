from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._modalities.image.transforms import apply_eval_transform
from sklearn_transfer.export._onnx.resizing import make_resize

SPEC = ImageSpec((24, 24), (28, 28), (0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
SPECS = {
    "center": SPEC,
    "bilinear": replace(SPEC, interpolation="bilinear"),
    "squash": replace(SPEC, crop_mode="squash", size=(24, 20)),
    "border": replace(SPEC, crop_mode="border"),
    "small": replace(SPEC, resize=(16, 16)),
    "gray": replace(SPEC, mean=(0.5,), std=(0.2,)),
    "five": replace(SPEC, mean=(0.5,) * 5, std=(0.2,) * 5),
}


@pytest.mark.parametrize("size", [(24, 24), (28, 28), (50, 70), (90, 31), (200, 30), (7, 9)])
@pytest.mark.parametrize("name", SPECS)
def test_pixels_are_those_of_pillow(name, size):
    spec = SPECS[name]
    resize = make_resize(size, spec)
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (3, *size, spec.channels), dtype=np.uint8)
    found = resize(torch.from_numpy(pictures))["pixels"].numpy()
    as_image = spec.channels in (1, 3)
    expected = [
        apply_eval_transform(Image.fromarray(p.squeeze()) if as_image else p, spec)
        for p in pictures
    ]
    assert resize.levels == 0
    np.testing.assert_array_equal(found, np.stack(expected))


def test_other_filters_are_refused():
    with pytest.raises(ValueError, match="the filter 'lanczos' .* has no conversion"):
        make_resize((50, 50), replace(SPEC, interpolation="lanczos"))
