"""Containers of sounds and time series: a list of them, or a numeric array."""

import os

import numpy as np

from sklearn_transfer._modalities.audio import contents
from sklearn_transfer._modalities.audio.tracks import count_file_channels
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.samples import as_samples
from sklearn_transfer._validation import shorten

_N_PROBED = 20


def as_sounds(X, sampling_rate):
    """Return the sounds of any container as a list or a numeric array.

    Raises ValueError if X is a single sound, or a numeric array that is not one of several
    waveforms or comes without a sampling rate.
    """
    if isinstance(X, tuple) and len(X) == 2 and contents.is_rate(X[1]):
        raise ValueError(
            "X must be a sequence of samples, got one pair (waveform, sampling_rate); put it"
            " into a list: [X]"
        )
    if isinstance(X, np.ndarray) and X.dtype.hasobject and X.ndim == 2 and X.shape[1] == 2:
        X = [tuple(pair) for pair in X]  # of pairs, of which NumPy made two columns
    if sampling_rate is not None and _is_numeric_table(X):
        X = X.to_numpy()
    samples = as_samples(X, contents.SAMPLE_KINDS)
    return _check_array(samples, sampling_rate) if isinstance(samples, np.ndarray) else samples


def _is_numeric_table(X):
    """Whether X is a table of several columns of numbers, a waveform in each row."""
    if not hasattr(X, "columns") or not hasattr(X, "to_numpy") or len(X.columns) < 2:
        return False
    return X.to_numpy().dtype.kind in "iuf"


def _check_array(X, sampling_rate):
    if X.dtype.kind not in "iuf":
        raise ValueError(
            f"X has dtype {X.dtype}, expected waveforms as numbers, or paths, bytes or pairs"
            " (waveform, sampling_rate) in a list or an array of dtype object"
        )
    if X.ndim == 1:
        raise ValueError(f"X of shape {X.shape} looks like one waveform; pass X[None]")
    if X.ndim > 3:
        raise ValueError(
            f"X is a numeric array of shape {X.shape}, expected waveforms (n_samples, time) or"
            " (n_samples, channels, time)"
        )
    if sampling_rate is None:
        raise ValueError(
            f"X is an array {X.shape} of waveforms without a sampling rate; pass"
            " sampling_rate=, in Hz, or pairs (waveform, sampling_rate)"
        )
    return X


def count_channels(samples, sampling_rate):
    """Return the number of channels of the first sample that can be used, 1 if none can."""
    for sample in samples:
        try:
            content = contents.read_sample(sample, sampling_rate)[1]
            if isinstance(content, contents.Waveforms):
                return len(content.array) if content.array.ndim == 2 else 1
            return count_file_channels(content)
        except BadSampleError:
            continue
    return 1


def refuse_other_samples(samples):
    """Raise ValueError if texts are no paths, as in a column of sentences."""
    probed = [text for text in samples[:_N_PROBED] if isinstance(text, str)]
    if not probed or len(probed) < len(samples[:_N_PROBED]):
        return
    if any(map(_is_like_path, probed)) or not any(" " in text.strip() for text in probed):
        return
    raise ValueError(
        f"X holds texts, such as {shorten(probed[0])}, expected sounds:"
        f" {contents.SAMPLE_KINDS}; take PretrainedTextFeatures for texts"
    )


def _is_like_path(text):
    suffix = os.path.splitext(text)[1]
    return text.startswith("data:") or 1 < len(suffix) < 8 or os.path.exists(text)
