"""Random rows, drawn without replacement and kept in their order."""

import numpy as np


def draw_rows(n, most, random_state):
    """Numbers of at most `most` random rows among n, in order; all of them where it is None.

    Nothing is drawn, so `random_state` does not move on, where all rows are kept.
    """
    if most is None or n <= most:
        return np.arange(n)
    return np.sort(random_state.choice(n, most, replace=False))
