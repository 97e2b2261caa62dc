"""Samples drawn on axes: pictures, texts, waveforms and rows of tables."""

import os
import unicodedata
from collections.abc import Mapping
from textwrap import fill

import numpy as np

from sklearn_transfer._modalities.samples import as_samples

_LETTERS, _WIDTH = 160, 24
_COLUMNS = 7  # of a row of a table
_BINS = 300  # of a waveform, each drawn from its lowest to its highest value
_LABEL = 22  # letters


def take_samples(X, rows):
    """Samples of any container as a list; those of a table are mappings of names to values."""
    names = list(getattr(X, "columns", getattr(X, "column_names", ())))
    if len(names) > 1:
        table = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
        return [dict(zip(names, table[row], strict=True)) for row in rows]
    if hasattr(X, "tocsr"):
        return [X.tocsr()[[row]].toarray().ravel() for row in rows]
    samples = as_samples(X, "an image, a text, a sound or a row of numbers")
    return [samples[row] for row in rows]


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


def draw_sample(ax, sample, kind):
    """Draw a sample of a kind, "image", "text", "audio" or "table", without ticks."""
    ax.set_xticks([])
    ax.set_yticks([])
    if kind == "audio":
        _draw_waveform(ax, _read_waveform(sample))
    elif kind == "table":
        _draw_row(ax, sample)
    elif kind == "text" and not (isinstance(sample, str) and os.path.isfile(sample)):
        _write(ax, _fill(str(sample)))
    elif isinstance(sample, np.ndarray) and sample.ndim == 2 and sample.dtype.kind == "f":
        ax.imshow(sample, cmap="gray", aspect="auto" if _is_long(sample) else "equal")
    else:
        ax.imshow(read_picture(sample))


def format_label(label):
    """A label or a predicted number, short enough for the title of a sample."""
    text = f"{label:.4g}" if isinstance(label, float | np.floating) else str(label)
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}\N{HORIZONTAL ELLIPSIS}"


def _is_long(array):
    """Whether an array has the shape of a series rather than of a picture."""
    return max(array.shape) > 4 * min(array.shape)


def _read_waveform(sample):
    """Return a sound as an array (time,)."""
    from sklearn_transfer._modalities.audio.contents import read_sample
    from sklearn_transfer._modalities.audio.tracks import read_blocks
    from sklearn_transfer._modalities.contents import BadSampleError, describe_sample

    try:
        blocks = read_blocks(read_sample(sample, None)[1])[1]
        return np.concatenate([block.mean(axis=0) for block in blocks])
    except BadSampleError as error:
        raise ValueError(
            f"{describe_sample(sample)} {error}: give a sound that can be read"
        ) from error


def _draw_waveform(ax, waveform):
    parts = np.array_split(waveform, min(_BINS, len(waveform)))
    low, high = ([function(part) for part in parts] for function in (np.min, np.max))
    ax.fill_between(range(len(parts)), low, high, linewidth=0.5)


def _draw_row(ax, row):
    """Numbers as a line; named entries as text."""
    if isinstance(row, Mapping):
        entries = list(row.items())
        lines = [f"{name}: {format_label(value)}" for name, value in entries[:_COLUMNS]]
        if len(entries) > _COLUMNS:
            lines.append(f"and {len(entries) - _COLUMNS} more")
        _write(ax, "\n".join(lines))
    elif np.ndim(row) == 0:
        _write(ax, format_label(row))
    else:
        ax.plot(np.ravel(row))


def _write(ax, text):
    options = {"ha": "center", "va": "center", "fontsize": 7, "parse_math": False}
    ax.text(0.5, 0.5, text, transform=ax.transAxes, **options)


def _fill(text):
    """The beginning of a text in lines of equal width."""
    text = " ".join(text.split())
    if len(text) > _LETTERS:
        text = f"{text[:_LETTERS]}\N{HORIZONTAL ELLIPSIS}"
    is_wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return fill(text, _WIDTH // 2 if is_wide else _WIDTH)
