"""Rows at length one."""

import math

import numpy as np


def at_length_one(rows, center=None):
    """Rows at length one, in place; 0 where they differ from `center` by rounding alone."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    least = 0.0
    if center is not None:
        least = 4 * np.finfo(rows.dtype).eps * math.sqrt(float(center @ center))
    zero = lengths <= least
    rows[zero], lengths[zero] = 0, 1
    rows /= lengths[:, None]
    return rows
