"""Containers of samples: whatever people hold them in, as a list or a numeric array."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sklearn_transfer._modalities.inputs import (
    SAMPLE_KINDS,
    BadSampleError,
    is_tensor,
    tensor_array,
)
from sklearn_transfer._validation import listed


def as_samples(X):
    """Sequence of samples (a list, or a numeric array of images) from any container.

    Raises ValueError when X is a single sample, has several columns, or has a shape
    that fits no set of images.
    """
    if isinstance(X, (str, bytes, os.PathLike, Image.Image)):
        raise ValueError(
            f"X must be a sequence of samples, got one {type(X).__name__}; "
            "put it into a list: [X]"
        )
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):  # of polars
        raise ValueError(
            f"X is a lazy {type(X).__name__}, of which scikit-learn cannot take rows; pass"
            " X.collect()"
        )
    names = _column_names(X)
    if names is not None:
        X = _only_column(X, names)
    samples = _as_list_or_array(X)
    if isinstance(samples, np.ndarray):
        samples = _array_samples(samples)
    if len(samples) == 0:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required")
    return samples


def _as_list_or_array(X):
    """A list or NumPy's array of any container, in its order."""
    if isinstance(X, np.ndarray):
        return X
    if hasattr(X, "compute") and not hasattr(X, "__array__"):
        raise ValueError(
            f"X is a lazy {type(X).__name__}, of which scikit-learn cannot take rows; pass"
            " X.compute()"
        )
    if hasattr(X, "to_pylist"):  # pyarrow
        return X.to_pylist()
    if hasattr(X, "to_list"):  # pandas and polars
        return X.to_list()
    if is_tensor(X):
        return _array_of_tensor(X)
    if hasattr(X, "shape") and hasattr(X, "__array__"):
        return np.asarray(X)
    if isinstance(X, Sequence) or (hasattr(X, "__getitem__") and _is_dataset(X)):
        return [X[row] for row in range(len(X))]
    raise ValueError(
        f"X must be a list, tuple, array, Series or one-column DataFrame of samples,"
        f" got {type(X).__name__}; a sample is {SAMPLE_KINDS}{_advice_on(X)}"
    )


def _array_of_tensor(X):
    try:
        return tensor_array(X)
    except BadSampleError as error:
        raise ValueError(f"X {error}") from error


def _is_dataset(X):
    """Whether X is a map-style dataset, which has a length and takes the number of a row."""
    return hasattr(X, "__len__") and not hasattr(X, "keys")


def _advice_on(X):
    if hasattr(X, "keys"):
        return f". Select the column with the samples, one of {listed(X.keys(), 5)}"
    if hasattr(X, "__iter__"):
        return ". scikit-learn takes rows by their number: pass list(X)"
    return ""


def taken(samples, rows):
    """Some of the samples that `as_samples` gave."""
    if isinstance(samples, np.ndarray):
        return samples[rows]
    return [samples[i] for i in rows]


def _column_names(X):
    """Names of the columns of a table of pandas, polars, pyarrow or a hub, else None."""
    if hasattr(X, "column_names"):
        return list(X.column_names)
    return list(X.columns) if hasattr(X, "columns") and hasattr(X, "shape") else None


def _only_column(X, names):
    if len(names) != 1:
        raise ValueError(
            f"X has {len(names)} columns {listed(names, 5)}, expected the one with the"
            " samples;"
            " select it, for instance with ColumnTransformer"
        )
    return X[names[0]]


def _array_samples(X):
    if X.dtype.kind in "OUT":
        if X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        if X.ndim != 1:
            raise ValueError(
                f"X is an array of {X.dtype} with shape {X.shape}, expected (n_samples,)"
                " or (n_samples, 1)"
            )
        return X.tolist()
    if X.dtype.kind not in "buif":
        raise ValueError(
            f"X has dtype {X.dtype}, expected images as numbers, or paths, bytes or"
            " images in a list or an array of dtype object"
        )
    if X.ndim == 3 and X.shape[2] in (1, 3, 4):
        raise ValueError(
            f"X of shape {X.shape} looks like one image; pass X[None] for one image, or"
            f" X[..., None] for {X.shape[0]} gray images"
        )
    if X.ndim == 3 or (X.ndim == 4 and not _channels_first(X.shape)):
        return X
    raise ValueError(
        f"X is a numeric array of shape {X.shape}, expected images (n_samples, height,"
        f" width) or (n_samples, height, width, channels).{_shape_hint(X.shape)}"
    )


def _channels_first(shape):
    return shape[3] not in (1, 3, 4) and shape[1] in (1, 3, 4)


def _shape_hint(shape):
    if len(shape) == 4:
        return " Put the channels last: X.transpose(0, 2, 3, 1)"
    if len(shape) == 2:
        return (
            " Reshape the rows to images, or pass preprocess=None if each row is the"
            " module's own input"
        )
    return ""
