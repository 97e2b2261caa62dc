"""Containers of texts."""

import os
import warnings

import numpy as np

from sklearn_transfer._modalities.samples import as_samples
from sklearn_transfer._validation import shorten

_N_PROBED = 20
_LONGEST_PATH = 500


def as_texts(X):
    """Return the texts of any container as a list; entries are not checked.

    Raises ValueError if X is a single text or has several columns.
    """
    samples = as_samples(X, "a string")
    if not isinstance(samples, np.ndarray):
        return samples
    if samples.ndim == 2 and samples.shape[1] == 1:
        samples = samples[:, 0]
    if samples.ndim != 1:
        raise ValueError(
            f"X is a numeric array of shape {samples.shape}, expected texts as strings in a"
            " list, a Series or an array of dtype object"
        )
    return samples.tolist()  # numbers, each of which is refused by its row


def warn_of_paths(samples):
    """Warn if texts are paths of files that exist; their names would be read as texts."""
    probed = [text for text in samples[:_N_PROBED] if isinstance(text, str)]
    if probed and all(map(_is_file, probed)):
        warnings.warn(
            f"X looks like a column of file paths, such as {shorten(probed[0])}: the paths"
            " themselves are taken for texts, and no file is opened; pass what is in them,"
            " [pathlib.Path(path).read_text() for path in X], or take PretrainedFeatures for"
            " files of images and PretrainedAudioFeatures for those of sounds",
            UserWarning,
            stacklevel=2,
        )


def _is_file(text):
    # Asking for a file on another computer would connect to it.
    is_remote = text.startswith(("\\\\", "//"))
    if is_remote or not 0 < len(text) < _LONGEST_PATH or "\0" in text or "\n" in text:
        return False
    try:
        return os.path.isfile(text)
    except (OSError, ValueError):  # a lone surrogate, for instance
        return False
