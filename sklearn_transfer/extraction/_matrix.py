"""Matrix of features that an extraction fills row by row."""

from itertools import chain

import numpy as np


class Matrix:
    """Features (n_rows, n_features), allocated when the first vectors are known.

    Parameters
    ----------
    n_rows : int
        Number of samples.
    collect : bool
        Whether rows are written. If not, `array` has no rows.
    allocate : callable
        `allocate(shape, dtype)` makes the array.

    Attributes
    ----------
    array : ndarray of shape (n_rows, n_features), float32, or None
        None until widths are known.
    widths : list of int or None
        Number of features of each tap.
    """

    def __init__(self, n_rows, collect, allocate):
        self.n_rows, self.collect, self.make_array = n_rows, collect, allocate
        self.array, self.widths = None, None

    def allocate(self, widths):
        """Make the array for vectors of the given widths, one per tap."""
        self.widths = widths
        n_rows = self.n_rows if self.collect else 0
        self.array = self.make_array((n_rows, sum(widths)), dtype=np.float32)

    def write(self, rows, vectors):
        """Write the vectors of one sample, one per tap, into rows."""
        if self.collect:
            for row in rows:
                np.concatenate(vectors, out=self.array[row])

    def write_run(self, first, vectors):
        """Write the vectors of many samples into consecutive rows, from `first` on."""
        if self.collect:
            piece = self.array[first : first + len(vectors)].reshape(-1)
            np.concatenate(list(chain.from_iterable(vectors)), out=piece)

    def write_nan(self, rows):
        """Fill rows that have no features with NaN."""
        if self.collect:
            self.array[rows] = np.nan


class RaggedMatrix(Matrix):
    """Features of samples that differ in length: a vector of its own length per sample.

    `allocate((n_rows, None), dtype)` makes what vectors are assigned to, by the number of the
    row. `n_values` is how many numbers were written.
    """

    n_values = 0

    def allocate(self, widths):
        self.widths = widths
        n_rows = self.n_rows if self.collect else 0
        self.array = self.make_array((n_rows, None), dtype=np.float32)

    def write(self, rows, vectors):
        self.n_values += len(rows) * sum(map(len, vectors))
        if self.collect:
            for row in rows:
                self.array[row] = np.concatenate(vectors)

    def write_run(self, first, vectors):
        for i, found in enumerate(vectors):
            self.write([first + i], found)
