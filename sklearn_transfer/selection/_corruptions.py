"""Corruptions of samples by name and severity."""

import io
import math

import numpy as np

from sklearn_transfer._modalities.contents import BadSampleError, describe_sample
from sklearn_transfer._modalities.samples import label_row
from sklearn_transfer.selection._sample_kinds import find_kind

SEVERITIES = (1, 2, 3)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _add_noise(pixels, severity, rng):
    return pixels + rng.normal(0, (10, 25, 50)[severity], pixels.shape)


def _blur(pixels, severity, rng):
    from PIL import Image, ImageFilter

    radius = min(pixels.shape[:2]) * (0.005, 0.012, 0.025)[severity]
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def _apply_jpeg(pixels, severity, rng):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=(40, 15, 5)[severity])
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def _darken(pixels, severity, rng):
    return pixels * (0.7, 0.45, 0.2)[severity]


def _add_cover(pixels, severity, rng):
    side = math.sqrt((0.05, 0.15, 0.3)[severity])
    height, width = (max(round(side * length), 1) for length in pixels.shape[:2])
    row = rng.integers(pixels.shape[0] - height + 1)
    column = rng.integers(pixels.shape[1] - width + 1)
    covered = pixels.copy()
    covered[row : row + height, column : column + width] = 128
    return covered


def _add_typos(text, severity, rng):
    """Swap, drop, double or replace a share of the letters."""
    share, typed, skip = (0.03, 0.08, 0.16)[severity], [], False
    for place, letter in enumerate(text):
        if skip or not letter.isalpha() or rng.random() >= share:
            typed.append("" if skip else letter)
            skip = False
            continue
        kind = rng.integers(4)
        skip = kind == 0 and place + 1 < len(text)
        other = _LETTERS[rng.integers(len(_LETTERS))]
        options = (text[place : place + 2][::-1], "", letter * 2, other)
        typed.append(options[kind])
    return "".join(typed)


def _add_sound_noise(pair, severity, rng):
    """A waveform with white noise at 20, 10 or 0 dB below its own power."""
    wave, rate = np.asarray(pair[0], dtype=np.float32), pair[1]
    power = np.sqrt(np.mean(wave**2)) * 10 ** (-(20, 10, 0)[severity] / 20)
    return (wave + rng.normal(0, 1, wave.shape) * power).astype(np.float32), rate


CORRUPTIONS = {
    "image": {
        "noise": _add_noise,
        "blur": _blur,
        "jpeg": _apply_jpeg,
        "dark": _darken,
        "occlusion": _add_cover,
    },
    "text": {"typos": _add_typos},
    "audio": {"noise": _add_sound_noise},
}


def read_plain(X, kind):
    """Samples of a kind in the form in which they are corrupted, with errors by row."""
    return [_read_one(row, sample, kind) for row, sample in enumerate(_list_samples(X, kind))]


def find_corruptible_kind(X):
    """Return the kind of samples in X; raises ValueError where nothing corrupts it."""
    kind = find_kind(X)
    if kind not in CORRUPTIONS:
        raise ValueError(
            "X is a table of numbers, for which no corruption is known: give images, texts, or"
            " pairs (waveform, sampling_rate), with a Pipeline that makes features of them"
        )
    return kind


def corrupt(samples, kind, name, severity, seed):
    """Samples with a corruption; each row has draws of its own."""
    function, corrupted = CORRUPTIONS[kind][name], []
    for row, sample in enumerate(samples):
        made = function(sample, severity - 1, np.random.default_rng([seed, row, severity]))
        if kind == "image":
            made = np.clip(np.rint(made), 0, 255).astype(np.uint8)
        corrupted.append(made)
    return corrupted


def _list_samples(X, kind):
    # Here, because reading images loads Pillow.
    if kind == "image":
        from sklearn_transfer._modalities.image.samples import as_images

        return as_images(X)
    if kind == "text":
        from sklearn_transfer._modalities.text.samples import as_texts

        return as_texts(X)
    return list(X)


def _read_one(row, sample, kind):
    if kind == "image":
        from sklearn_transfer._modalities.image.contents import read_sample
        from sklearn_transfer._modalities.image.decoding import Decoding

        try:
            return np.asarray(Decoding().make_picture(read_sample(sample)[1]).image)
        except BadSampleError as error:
            raise ValueError(
                f"{label_row(row)} of X ({describe_sample(sample)}) {error}: drop or replace"
                " it"
            ) from error
    is_pair = isinstance(sample, tuple) and len(sample) == 2
    if not (isinstance(sample, str) if kind == "text" else is_pair):
        expected = "a string" if kind == "text" else "a pair (waveform, sampling_rate)"
        raise ValueError(
            f"{label_row(row)} of X is of type {type(sample).__name__}, expected {expected}:"
            " drop or convert it"
        )
    return sample
