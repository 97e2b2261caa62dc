"""Resampling of waveforms, a part at a time, to the numbers that the whole would give."""

import functools
from fractions import Fraction

import numpy as np

# Zero crossings of the filter on each side, as in SciPy's default.
_HALF_WIDTH = 10
# Largest factor of a ratio of rates; the filter is 20 times as long.
_LARGEST_FACTOR = 100_000


def resample(blocks, rate, new_rate, block_length):
    """Yield blocks (channels, time) of another sampling rate.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (channels, time), float32
        Consecutive parts of the waveforms.
    rate, new_rate : float
        Samples per second of the blocks, and of what is yielded.
    block_length : int
        Samples of the input that are filtered at once, roughly.

    Notes
    -----
    Polyphase filtering as in `scipy.signal.resample_poly`, which gives the same numbers for
    the whole: a part is filtered with the samples around it that the filter reaches, and
    begins where the grids of both rates meet.
    """
    up, down = find_ratio(rate, new_rate)
    if up == down:
        yield from blocks
        return
    from scipy.signal import resample_poly  # whose import takes half a second

    filter_ = _design_filter(up, down)
    reach = down * -(-_HALF_WIDTH * max(up, down) // (up * down))
    step = down * max(block_length // down, 1)
    held, n_before = None, 0  # of `held`, the first `n_before` samples are filtered already
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        while held.shape[1] >= n_before + step + reach:
            part = held[:, : n_before + step + reach]
            found = resample_poly(part, up, down, axis=1, window=filter_)
            first = n_before * up // down
            yield found[:, first : first + step * up // down]
            drop = n_before + step - reach
            if drop >= 0:
                held, n_before = held[:, drop:], reach
            else:
                n_before += step
    if held is not None and held.shape[1] > n_before:
        found = resample_poly(held, up, down, axis=1, window=filter_)
        yield found[:, n_before * up // down :]


def find_ratio(rate, new_rate):
    """Return the factors (up, down) that bring one sampling rate to another.

    They are exact for rates of few digits, or of few digits per sample ("once an hour"). Of
    others, such as measured ones, the ratio is met to about 1e-8.
    """
    ratio = _make_fraction(new_rate) / _make_fraction(rate)
    is_up = ratio > 1
    larger = ratio if is_up else 1 / ratio
    larger = larger.limit_denominator(max(int(_LARGEST_FACTOR / larger), 1))
    factors = larger.numerator, larger.denominator
    return factors if is_up else factors[::-1]


def _make_fraction(rate):
    """Return a rate as a fraction, without the error of its binary form."""
    if rate < 1:
        return 1 / Fraction(1 / rate).limit_denominator(_LARGEST_FACTOR)
    return Fraction(rate).limit_denominator(_LARGEST_FACTOR)


@functools.lru_cache(maxsize=16)
def _design_filter(up, down):
    """Return the low-pass filter of SciPy's default for a ratio of rates."""
    from scipy.signal import firwin

    highest = max(up, down)
    length = 2 * _HALF_WIDTH * highest + 1
    return firwin(length, 1 / highest, window=("kaiser", 5.0)).astype(np.float32)
