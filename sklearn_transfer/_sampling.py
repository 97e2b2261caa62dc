"""Random rows without replacement, and seeds for what takes no random state."""

import numpy as np


def draw_rows(n, most, random_state):
    """Indices of at most `most` random rows among n, sorted; all of them if it is None.

    If all rows are kept, nothing is drawn from `random_state`.
    """
    if most is None or n <= most:
        return np.arange(n)
    return np.sort(random_state.choice(n, most, replace=False))


def draw_seed(random_state):
    """A seed for another library, or for several draws that must be the same."""
    return random_state.randint(2**31 - 1)
