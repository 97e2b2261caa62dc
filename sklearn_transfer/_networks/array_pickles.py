"""Pickles of arrays, as packages keep weights of Keras, read without executing anything."""

import io
import pickle

import numpy as np
import torch

# What a pickle of arrays names, under the modules of NumPy 1 and 2.
_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and plain containers, and refuses every other name."""

    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return _ALLOWED[module, name]


def read_array_pickle(content):
    """Return what a pickle of arrays and plain containers holds, of protocol 3 or 4.

    Raises UnpicklingError where it names anything else.
    """
    return _ArrayUnpickler(io.BytesIO(content)).load()


def convert_layers(layers, names, arrays):
    """Return a state dict of torch for the layers of a network of Keras.

    Parameters
    ----------
    layers : dict of str to (kernel, bias)
        Convolutions; a kernel has shape (height, width, n_inputs, n_outputs).
    names : dict of str to str
        Names of the layers in torch.
    arrays : dict
        What is known of the network's input: the name of the `first` layer in torch, the
        `order` of the channels, "RGB" or "BGR", and the `mean` (R, G, B) that is taken from
        values between 0 and 255. The network is to take values between 0 and 1 in the order
        RGB instead, less `new_mean` and divided by `new_std`.

    Notes
    -----
    The first layer takes over the difference. With x' = (x / 255 - m) / s, a weight w for the
    input x - u becomes 255 s w, and the bias gains the sum of all w (255 m - u). That is exact
    where the layer pads nothing.
    """
    state = {}
    for name, (kernel, bias) in layers.items():
        kernel = np.ascontiguousarray(np.transpose(kernel, (3, 2, 0, 1)))
        state[f"{names[name]}.weight"] = torch.from_numpy(kernel)
        state[f"{names[name]}.bias"] = torch.from_numpy(np.array(bias))
    first = arrays["first"]
    weight = state[f"{first}.weight"].double()
    if arrays["order"] == "BGR":
        weight = weight.flip(1)
    taken, mean, std = (
        torch.tensor(arrays[name], dtype=torch.float64)
        for name in ("mean", "new_mean", "new_std")
    )
    shift = weight.sum((2, 3)) @ (255 * mean - taken)
    state[f"{first}.weight"] = (255 * std[:, None, None] * weight).float()
    state[f"{first}.bias"] = (state[f"{first}.bias"].double() + shift).float()
    return state
