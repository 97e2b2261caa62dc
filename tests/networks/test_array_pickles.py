import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_transfer._networks.array_pickles import convert_layers, read_array_pickle

NAMES = {"conv": "first", "late": "last"}
ARRAYS = {
    "first": "first",
    "order": "BGR",
    "mean": [120.0, 115.0, 105.0],
    "new_mean": [0.5, 0.4, 0.3],
    "new_std": [0.2, 0.25, 0.3],
}


@pytest.fixture
def layers():
    rng = np.random.default_rng(0)
    shapes = {"conv": (3, 2, 3, 5), "late": (1, 1, 5, 4)}
    return {
        name: [rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[-1:])]
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_read(layers, protocol):
    found = read_array_pickle(pickle.dumps(layers, protocol))
    for name, arrays in layers.items():
        for array, expected in zip(found[name], arrays, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_arrays_of_the_other_version_of_numpy_are_read():
    core = np.zeros(0).__reduce__()[0].__module__.encode()
    other = {b"numpy.core.multiarray": b"numpy._core.multiarray"}
    other |= {new: old for old, new in other.items()}
    content = pickle.dumps(np.arange(3), 3).replace(core, other[core])
    np.testing.assert_array_equal(read_array_pickle(content), np.arange(3))


def test_nothing_but_arrays_is_built(tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    with pytest.raises(pickle.UnpicklingError, match=r"io.open is no part of an array"):
        read_array_pickle(pickle.dumps({"conv": Harm()}))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_first_layer_takes_over_another_scale_of_pixels(layers, order):
    pixels = np.random.default_rng(1).integers(0, 256, size=(2, 4, 4, 3)).astype(float)
    kernel, bias = (array.astype(float) for array in layers["conv"])
    channels = [0, 1, 2] if order == "RGB" else [2, 1, 0]
    centered = (pixels - ARRAYS["mean"])[..., channels]
    expected = np.einsum("nijc,ijco->no", centered[:, :3, :2], kernel) + bias

    state = convert_layers(layers, NAMES, {**ARRAYS, "order": order})
    first = nn.Conv2d(3, 5, (3, 2))
    first.load_state_dict({"weight": state["first.weight"], "bias": state["first.bias"]})
    scaled = (pixels / 255 - ARRAYS["new_mean"]) / ARRAYS["new_std"]
    with torch.no_grad():
        found = first(torch.from_numpy(scaled).float().permute(0, 3, 1, 2))
    np.testing.assert_allclose(found[:, :, 0, 0], expected, rtol=1e-4, atol=1e-2)


def test_other_layers_change_their_axes_alone(layers):
    state = convert_layers(layers, NAMES, ARRAYS)
    np.testing.assert_array_equal(
        state["last.weight"].numpy()[:, :, 0, 0], layers["late"][0][0, 0].T
    )
    np.testing.assert_array_equal(state["last.bias"].numpy(), layers["late"][1])
