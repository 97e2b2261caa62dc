"""Resampling of waveforms, a part at a time, to the numbers that the whole would give."""

import functools
from fractions import Fraction

import numpy as np

# Zero crossings of the filter on each side, as in SciPy's default.
_HALF_WIDTH = 10
_LARGEST_DENOMINATOR = 100_000


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
    ratio = Fraction(new_rate).limit_denominator(_LARGEST_DENOMINATOR) / Fraction(
        rate
    ).limit_denominator(_LARGEST_DENOMINATOR)
    up, down = ratio.numerator, ratio.denominator
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


@functools.lru_cache(maxsize=16)
def _design_filter(up, down):
    """Return the low-pass filter of SciPy's default for a ratio of rates."""
    from scipy.signal import firwin

    highest = max(up, down)
    length = 2 * _HALF_WIDTH * highest + 1
    return firwin(length, 1 / highest, window=("kaiser", 5.0)).astype(np.float32)
