"""What samples are, as the first of them look."""

from collections.abc import Mapping

import numpy as np

from sklearn_transfer._modalities.audio.contents import identify_sound, is_rate
from sklearn_transfer._modalities.contents import BadSampleError, is_missing
from sklearn_transfer._tables import find_extractor

_EXTRACTORS = {
    "PretrainedFeatures": "image",
    "PretrainedTextFeatures": "text",
    "PretrainedAudioFeatures": "audio",
}


def find_kind(X, sampling_rate=None):
    """Return "image", "text", "audio" or "table".

    Where there is a sampling rate, samples are sounds.
    """
    if sampling_rate is not None:
        return "audio"
    X = list_objects(X)
    if isinstance(X, list):
        present = (sample for sample in X if not is_missing(sample))
        if _is_sound(next(present, None)):
            return "audio"
    name = find_extractor(X)
    return "table" if name is None else _EXTRACTORS[name]


def list_objects(X):
    """Samples of a tuple, a Series or an array of objects as a list; others as they are."""
    if hasattr(X, "columns") or hasattr(X, "column_names"):
        return X
    if isinstance(X, tuple):
        return list(X)
    if hasattr(X, "to_pylist"):
        return X.to_pylist()
    dtype = getattr(X, "dtype", None)
    if isinstance(X, np.ndarray) and dtype.hasobject and X.ndim <= 2:
        if X.ndim == 2 and X.shape[1] == 2 and len(X) and np.ndim(X[0, 0]) > 0:
            return [tuple(pair) for pair in X]  # of which NumPy made two columns
        return X.tolist() if X.ndim == 1 else X
    return X.to_list() if hasattr(X, "to_list") and str(dtype) in ("object", "Object") else X


def check_text(text):
    """Return a text; raises BadSampleError for anything else."""
    if is_missing(text):
        raise BadSampleError(f"missing value ({text})")
    if not isinstance(text, str):
        raise BadSampleError("expected a string")
    return text


def _is_sound(sample):
    """Whether a sample is a waveform with its rate, or the bytes of a file of sound."""
    if isinstance(sample, Mapping):
        return {"array", "sampling_rate"} <= sample.keys()
    if isinstance(sample, bytes | bytearray | memoryview):
        return identify_sound(bytes(sample[:12])) is not None
    is_pair = isinstance(sample, tuple) and len(sample) == 2
    return (
        is_pair
        and not isinstance(sample[0], str)
        and np.ndim(sample[0]) > 0
        and is_rate(sample[1])
    )
