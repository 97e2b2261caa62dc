"""Normalization of rows to length one."""

import math

import numpy as np


def normalize_rows(rows, center=None):
    """Rows at length one, in place; 0 where they differ from `center` by rounding alone."""
    least = 0.0
    if center is not None:
        least = 4 * np.finfo(rows.dtype).eps * math.hypot(*center)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    limits = np.finfo(rows.dtype)
    safe = (lengths > math.sqrt(limits.tiny / limits.eps)) & (lengths < np.inf)
    zero = safe & (lengths <= least)
    for row in np.flatnonzero(~safe):  # whose squares overflow or vanish
        unit = np.abs(rows[row]).max() or 1
        rows[row] /= unit
        lengths[row] = math.sqrt(rows[row] @ rows[row])
        zero[row] = float(lengths[row]) * float(unit) <= least
    rows[zero], lengths[zero] = 0, 1
    rows /= lengths[:, None]
    return rows
