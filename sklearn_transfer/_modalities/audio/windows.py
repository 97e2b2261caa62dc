"""Windows: the parts of a sound that a network takes one at a time."""

import numpy as np


def cut_windows(blocks, length, hop):
    """Yield the windows (channels, time) of consecutive blocks.

    A window begins every `hop` samples, which are at most `length`, and has `length` of them;
    the last one, with which the sound ends, has 1 to `length`. Sounds of up to `length`
    samples are one window.
    """
    held = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        while held.shape[1] > length:
            yield held[:, :length]
            held = held[:, hop:]
    if held is not None and held.shape[1]:
        yield held
