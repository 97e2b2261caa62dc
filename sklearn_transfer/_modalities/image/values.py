"""Conversion of pixel values of any type to gray levels from 0 to 255."""

import math
from numbers import Real

import numpy as np

from sklearn_transfer._modalities.callers import OF_IMAGES
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.remarks import Narrow
from sklearn_transfer._validation import shorten

# Values below this share of the range of their type have fewer bits, such as 14 in uint16.
_NARROW_SHARE = {"uint16": 0.25}
_OTHER_NARROW_SHARE = 0.125
_UINT16_MAX = 65535
_EXPECTED = "expected uint8, uint16 or float in [0, 1], or numbers with a value_range"


def parse_value_range(value_range):
    """Return the parameter as "auto", "dtype", None, or a pair of floats (black, white)."""
    if value_range is None or (
        isinstance(value_range, str) and value_range in ("auto", "dtype")
    ):
        return value_range
    try:
        pair = tuple(value_range)
    except TypeError:
        pair = ()
    if (
        isinstance(value_range, str)
        or len(pair) != 2
        or not all(isinstance(v, Real) and math.isfinite(v) for v in pair)
        or not pair[0] < pair[1]
        or math.isinf(float(pair[1]) - float(pair[0]))
    ):
        raise ValueError(
            f"value_range={shorten(value_range)}: expected 'auto', 'dtype', None, or a pair"
            " (low, high) of finite numbers with low < high, such as (0, 4095)"
        )
    return (float(pair[0]), float(pair[1]))


def to_gray_levels(array, value_range, stated=None, note=None, caller=OF_IMAGES):
    """Convert the values of an array to uint8.

    `value_range` is what `parse_value_range` returned, and `stated` the pair that a file
    states, which "auto" uses. `note` is called with a remark about values that use a small
    part of the range of their type. Raises BadSampleError if it is unknown how to scale them;
    `caller` has the options that it recommends.
    """
    if isinstance(value_range, tuple):
        return _apply_window(array, *value_range)
    if value_range == "auto" and stated is not None:
        return _apply_window(array, *stated)
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return array
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "f":
        return _from_unit_interval(array, value_range, note, caller)
    if kind not in "ui":
        raise BadSampleError(f"has dtype {array.dtype}, {_EXPECTED}")
    if kind == "u" and array.dtype.itemsize == 2:  # of either byte order
        if value_range == "auto":
            note_narrow(array, _UINT16_MAX, note)
        return _from_uint16(array)
    if value_range == "dtype":
        limits = np.iinfo(array.dtype)
        return _apply_window(array, float(limits.min), float(limits.max))
    return _from_integers(array, caller)


def note_narrow(array, full, note):
    """Add a remark on values that are small compared to `full`, which becomes white."""
    largest = array.max()
    name = array.dtype.newbyteorder("=").name
    share = _NARROW_SHARE.get(name, _OTHER_NARROW_SHARE)
    if note is not None and 0 < largest < share * full:
        note(Narrow(name, float(largest), full))


def _from_uint16(array):
    return ((array.astype(np.uint32) * 255 + 32767) // _UINT16_MAX).astype(np.uint8)


def _from_unit_interval(array, value_range, note, caller):
    low, high = float(array.min()), float(array.max())
    if math.isnan(low) or math.isnan(high):
        raise BadSampleError("contains NaN")
    if low < -1e-6 or high > 1 + 1e-6:
        raise BadSampleError(
            f"has float values in [{low:g}, {high:g}], expected [0, 1]; divide by the"
            " largest value that its source can hold, or pass"
            f" {caller.write('value_range=(low, high)')}, {_suggest_range(low, high)}"
        )
    if value_range == "auto":
        note_narrow(array, 1.0, note)
    return np.rint(np.clip(array, 0, 1) * np.float32(255)).astype(np.uint8)


def _from_integers(array, caller):
    """Convert integers whose type does not state white, if they clearly have 16 bits."""
    low, high = int(array.min()), int(array.max())
    if low >= 0 and (high == 0 or _holds_16_bits(array.dtype, high)):
        return _from_uint16(array)
    has_8_bits = low >= 0 and high <= 255
    other = ", or image.astype('uint8') if they are 0 to 255" if has_8_bits else ""
    raise BadSampleError(
        f"has dtype {array.dtype} with values in [{low}, {high}], and nothing says which of"
        f" them are black and white; pass {caller.write('value_range=(low, high)')},"
        f" {_suggest_range(low, high)}{other}"
    )


def _holds_16_bits(dtype, high):
    return dtype.itemsize > 2 and _NARROW_SHARE["uint16"] <= high / _UINT16_MAX <= 1


def _suggest_range(low, high):
    """Return a suggestion of a pair: whole bits from 0 on, else the values of the image."""
    if math.isinf(low) or math.isinf(high):
        return "which clips infinity"
    if low >= 0 and float(high).is_integer() and high < 2**32:
        return f"for instance (0, {2 ** int(high).bit_length() - 1})"
    return f"for instance ({low:g}, {high:g}) for what this image holds"


def _apply_window(array, low, high):
    """Scale values from `low` to `high` to 0 to 255; values outside are clipped."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in "ui" and size <= 2:
        first, last = (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
        table = _scale_values(np.arange(first, last + 1, dtype=np.float64), low, high)
        return table[array.astype(np.int32) - first]
    if kind not in "buif":
        raise BadSampleError(f"has dtype {array.dtype}, {_EXPECTED}")
    if kind == "f" and np.isnan(array).any():
        raise BadSampleError("contains NaN")
    return _scale_values(array.astype(np.float64), low, high)


def _scale_values(values, low, high):
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
