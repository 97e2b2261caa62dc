"""Detection of rows that lie far from all others and would sway an estimate."""

import warnings

import numpy as np

from sklearn_transfer._kernels import BLOCK_BYTES

_GAP, _WIDEST_GAP = 4.5, 7.0  # times as far out as all others: light and heavy tails
_FAR = 6.0  # least distance, in units within which most rows lie
_TAIL, _RARE = 20, 7.0  # rows that tell the tail, and the gap in its mean logarithmic step
_LEAST = 10  # fewest rows from which a spread is estimated
_SAMPLED = 2000  # rows, evenly spaced, from which center and unit are estimated
_NAMED = 5  # rows that a message names
# With so many of both, distances over all features show what single features do not.
_MANY_FEATURES, _MANY_ROWS = 10, 50


def find_strays(X, T, gap=_GAP, far=_FAR):
    """Masks of the strays among rows of source and target.

    A stray is one of a few rows, at most 3 and 1 % of its domain, that in some feature lie
    4.5 to 7 times as far from the median as all others do, more where the others' distances
    have a heavy tail; or 2.75 to 7 times as far over all features together, where single
    ones may tell nothing; and that lies outside of the other domain as well. The unit of a
    feature is what nine tenths of its values lie within. Comparing
    with the rest tells strays from heavy tails, rare values and groups of rows. Domains of
    fewer than ten rows have none. Smaller `gap` and `far` find more.
    """
    found = [_Spread(X, gap, far), _Spread(T, gap, far)]
    masks = [np.zeros(len(rows), dtype=bool) for rows in (X, T)]
    for i, (rows, spread) in enumerate(zip((X, T), found, strict=True)):
        if len(spread.far):
            other = np.delete((T, X)[i], found[1 - i].far, axis=0)
            masks[i][spread.far[spread.is_outside(rows[spread.far], other)]] = True
    return masks


class _Spread:
    """Center and unit of each feature, and the rows that are far in it: `far`."""

    def __init__(self, X, gap, far):
        n, d = X.shape
        self.far, self.bound, self.reach = np.empty(0, dtype=int), np.inf, np.inf
        if n < _LEAST:
            return
        n_strays = min(3 + n // 100, n // 5)
        self.center, self.unit = np.empty(d), np.empty(d)
        sizes, squares = np.zeros(n), np.zeros(n)
        looked_at = np.linspace(0, n - 1, min(n, _SAMPLED)).round().astype(int)
        n_seen = len(looked_at)
        place = min(n_seen - 1 - min(3 + n_seen // 100, n_seen // 5), int(0.9 * n_seen))
        step = max(1, BLOCK_BYTES // (8 * n))
        for start in range(0, d, step):
            block = slice(start, start + step)
            columns = X[:, block].T.copy()
            seen = columns[:, looked_at]
            self.center[block] = center = np.median(seen, axis=1)
            self.unit[block] = unit = _compute_units(np.abs(seen - center[:, None]), place)
            columns -= center[:, None]
            np.abs(columns, out=columns)
            columns /= unit[:, None]
            np.maximum(sizes, columns.max(axis=0), out=sizes)
            with np.errstate(over="ignore"):  # rows so far are found by `sizes`
                squares += np.einsum("ij,ij->j", columns, columns)
        self.far, self.bound = _find_beyond_all(sizes, n_strays, gap, far, _RARE * gap / _GAP)
        if d >= _MANY_FEATURES and n >= _MANY_ROWS:
            sizes = np.sqrt(squares)
            rows, self.reach = _find_beyond_all(sizes, n_strays, (1 + gap) / 2, 0.0, 2 * _RARE)
            self.far = np.union1d(self.far, rows)

    def is_outside(self, rows, other):
        """Mask of rows beyond those of the other domain in features in which they are far."""
        with np.errstate(over="ignore"):  # of numbers whose squares are infinite
            away = np.abs(rows - self.center) / self.unit
            margin = 3 * self.unit
            low, high = other.min(axis=0) - margin, other.max(axis=0) + margin
            outside = ((away > self.bound) & ((rows < low) | (rows > high))).any(axis=1)
            for i in np.flatnonzero(np.linalg.norm(away, axis=1) > self.reach):
                nearest = np.linalg.norm((other - rows[i]) / self.unit, axis=1).min()
                outside[i] |= nearest > self.reach / 2
        return outside


def _find_beyond_all(sizes, n_strays, gap, far, steepness):
    """At most `n_strays` rows of sizes far beyond all others, and the bound they exceed."""
    order = np.argsort(sizes)
    n_tail = int(np.clip(len(sizes) // 8, 2, _TAIL))
    tail = sizes[order[-1 - n_strays - n_tail :]]
    for k in range(n_strays, 0, -1):
        last, first = tail[-1 - k], tail[-k]
        # The mean of these logarithms grows with the heaviness of the tail.
        below = tail[-1 - k - n_tail : -k]
        heaviness = np.mean(np.log(below[1:] / below[0])) if below[0] > 0 else 0.0
        bound = max(far, last * np.clip(np.exp(steepness * heaviness), gap, _WIDEST_GAP))
        if first > bound:
            return np.sort(order[-k:]), bound
    return np.empty(0, dtype=int), np.inf


def _compute_units(away, place):
    """Distance within which most of each row of a matrix lies, zeros aside if most are 0."""
    places = [away.shape[1] // 2, place]
    middle, units = np.partition(away, places, axis=1)[:, places].T
    units = units.copy()
    for i in np.flatnonzero(middle == 0):
        values = np.sort(away[i][away[i] > 0])
        if len(values):
            units[i] = values[int(0.9 * len(values)) if len(values) >= _LEAST else -1]
        else:
            units[i] = 1.0
    return units


def warn_of_strays(user, found, stacklevel):
    """Warn of the rows that `user` leaves out: pairs of a domain's name and a mask."""
    named = [_name_rows(mask, name) for name, mask in found if mask.any()]
    one = sum(mask.sum() for _, mask in found) == 1
    warnings.warn(
        f"{user} leaves out {' and '.join(named)}, far from all other rows, which would "
        "sway the result. Look at what is wrong there, and mend or remove "
        f"{'it' if one else 'them'}.",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def _name_rows(mask, domain):
    rows = np.flatnonzero(mask).tolist()
    if len(rows) == 1:
        return f"row {rows[0]} of {domain}"
    shown, more = rows[:_NAMED], len(rows) - _NAMED
    last = f"{more} more" if more > 0 else f"{shown.pop()}"
    return f"rows {', '.join(map(str, shown))} and {last} of {domain}"
