"""Corruptions of samples by name and severity."""

import io
import math
import unicodedata

import numpy as np

from sklearn_transfer._modalities.contents import BadSampleError, describe_sample
from sklearn_transfer._modalities.samples import label_row
from sklearn_transfer.selection._sample_kinds import check_text, find_kind

SEVERITIES = (1, 2, 3)
_JOINER = "\u200d"
# What belongs to the character before it beside marks: joiners, and the skin tones of emoji.
_JOINING = {_JOINER, "\u200c", *map(chr, range(0x1F3FB, 0x1F400))}
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
    """Swap, drop, double or replace a share of the letters, each with its marks."""
    share, typed, place = (0.03, 0.08, 0.16)[severity], [], 0
    letters = _split_letters(text)
    others = sorted({letter for letter in letters if letter.isalpha()})
    while place < len(letters):
        letter, following = letters[place], letters[place + 1 : place + 2]
        place += 1
        if not letter[0].isalpha() or rng.random() >= share:
            typed.append(letter)
            continue
        kind = rng.integers(4)
        if kind == 0 and following and following[0][0].isalpha():
            typed.extend([following[0], letter])
            place += 1
        elif kind == 1:
            continue
        elif kind == 2:
            typed.append(letter * 2)
        else:
            typed.append(_draw_other(letter, others, rng))
    return "".join(typed)


def _split_letters(text):
    """Characters of a text, each with the marks and joined characters that follow it."""
    letters = []
    for character in text:
        is_mark = unicodedata.category(character)[0] == "M" or character in _JOINING
        if letters and (is_mark or letters[-1].endswith(_JOINER)):
            letters[-1] += character
        else:
            letters.append(character)
    return letters


def _draw_other(letter, others, rng):
    """Another letter: a Latin one for a Latin one, else one of the same text."""
    if letter.isascii():
        others = [other for other in _LETTERS if other != letter.lower()]
    else:
        others = [other for other in others if other != letter and not other.isascii()]
    if not others:
        return letter * 2
    other = others[rng.integers(len(others))]
    return other.upper() if letter.isupper() else other.lower()


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


def corrupt(samples, kind, name, severity, seed, rows=None):
    """Some rows of samples, or all, with a corruption; each row has draws of its own."""
    function, corrupted = CORRUPTIONS[kind][name], []
    for row in range(len(samples)) if rows is None else rows:
        rng = np.random.default_rng([seed, row, severity])
        made = function(samples[row], severity - 1, rng)
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
    from sklearn_transfer._modalities.audio.samples import as_sounds

    return as_sounds(X, None)


def _read_one(row, sample, kind):
    try:
        return _READERS[kind](sample)
    except BadSampleError as error:
        raise ValueError(
            f"{label_row(row)} of X ({describe_sample(sample)}) {error}: drop or replace it"
        ) from error


def _read_image(sample):
    from sklearn_transfer._modalities.image.contents import read_sample
    from sklearn_transfer._modalities.image.decoding import Decoding

    return np.asarray(Decoding().make_picture(read_sample(sample)[1]).image)


def _read_sound(sample):
    """Return a sound as a pair (waveform, sampling_rate) of floats."""
    from sklearn_transfer._modalities.audio.contents import read_sample
    from sklearn_transfer._modalities.audio.tracks import read_blocks

    rate, blocks = read_blocks(read_sample(sample, None)[1])
    waveform = np.concatenate(list(blocks), axis=1)
    return (waveform[0] if len(waveform) == 1 else waveform), rate


_READERS = {"image": _read_image, "text": check_text, "audio": _read_sound}
