"""Containers of images: a list of them, or a numeric array."""

import os

import numpy as np
from PIL import Image
from sklearn.utils.validation import validate_data

from sklearn_transfer._modalities.image.contents import SAMPLE_KINDS
from sklearn_transfer._modalities.samples import as_samples
from sklearn_transfer._validation import shorten

_N_PROBED = 20


def check_images(estimator, X, reset):
    """Return the sequence of samples for an estimator with the parameter `preprocess`.

    With `preprocess=None` these are rows of numbers, whose number of columns the estimator
    keeps; `reset` is as in scikit-learn's `validate_data`.
    """
    if estimator.preprocess is not None:
        return as_images(X)
    finite = estimator.on_error == "raise"
    options = {"dtype": np.float32, "allow_nd": True, "ensure_all_finite": finite}
    X = validate_data(estimator, X, reset=reset, **options)
    estimator._n_inputs = X.shape[1]
    return X


def as_images(X):
    """Return the images of any container as a list or a numeric array.

    Raises ValueError if X is a single image, or if its shape is not that of several images.
    """
    if isinstance(X, Image.Image):
        raise ValueError(
            f"X must be a sequence of samples, got one {type(X).__name__}; "
            "put it into a list: [X]"
        )
    samples = as_samples(X, SAMPLE_KINDS)
    return _check_array(samples) if isinstance(samples, np.ndarray) else samples


def refuse_texts(samples, name):
    """Raise a ValueError if samples are texts, which the estimator of this name cannot take.

    Strings are paths where one of them is a file or ends like one, or where none has a space.
    """
    probed = list(samples[:_N_PROBED])
    if not probed or not all(isinstance(sample, str) for sample in probed):
        return
    if any(map(_is_like_path, probed)) or not any(" " in text.strip() for text in probed):
        return
    raise ValueError(
        f"{name} takes images or tables of numbers, and X holds texts, such as"
        f" {shorten(probed[0])}: take PretrainedTextFeatures for texts"
    )


def _is_like_path(text):
    suffix = os.path.splitext(text)[1]
    return text.startswith("data:") or len(suffix) > 1 or os.path.exists(text)


def _check_array(X):
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
    if X.ndim == 3 or (X.ndim == 4 and not _has_channels_first(X.shape)):
        return X
    raise ValueError(
        f"X is a numeric array of shape {X.shape}, expected images (n_samples, height,"
        f" width) or (n_samples, height, width, channels).{_suggest_shape(X.shape)}"
    )


def _has_channels_first(shape):
    return shape[3] not in (1, 3, 4) and shape[1] in (1, 3, 4)


def _suggest_shape(shape):
    if len(shape) == 4:
        return " Put the channels last: X.transpose(0, 2, 3, 1)"
    if len(shape) == 2:
        return (
            " Reshape the rows to images, or pass preprocess=None if each row is the"
            " module's own input"
        )
    return ""
