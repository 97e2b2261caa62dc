"""Samples drawn on axes: pictures, and texts."""

from textwrap import fill, shorten

import numpy as np

_LETTERS, _WIDTH = 160, 24


def read_picture(sample):
    """Return an image, in any form that `PretrainedFeatures` takes, as an RGB array."""
    # Here, because this loads Pillow.
    from sklearn_transfer._modalities.contents import BadSampleError, describe_sample
    from sklearn_transfer._modalities.image.contents import read_sample
    from sklearn_transfer._modalities.image.decoding import Decoding

    try:
        return np.asarray(Decoding().make_picture(read_sample(sample)[1]).image)
    except BadSampleError as error:
        raise ValueError(
            f"{describe_sample(sample)} {error}: give an image that can be read"
        ) from error


def draw_sample(ax, sample):
    """Draw an image, or a text of several words, without ticks."""
    ax.set_xticks([])
    ax.set_yticks([])
    if isinstance(sample, str) and " " in sample.strip() and not sample.startswith("data:"):
        text = fill(shorten(sample, _LETTERS), _WIDTH)
        ax.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, transform=ax.transAxes)
    else:
        ax.imshow(read_picture(sample))
