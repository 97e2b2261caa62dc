"""Batches of payloads: in the order of the rows, or of similar length."""

from bisect import insort
from typing import NamedTuple

import numpy as np

from sklearn_transfer._modalities.payloads import Windows
from sklearn_transfer._process.locks import Lock

# Payloads of different lengths that wait are as many as this number of batches hold.
_N_WAITING = 32


class Part(NamedTuple):
    """A payload of a sample with the digest `key`: window `index` of `count`.

    The count is None while it is not known, of a `Stream`, whose windows have digests of their
    own and may show one of several channels.
    """

    key: bytes
    payload: dict
    index: int = 0
    count: int | None = 1
    weight: float = 1.0
    digest: bytes | None = None
    channel: int = 0


def list_parts(key, payload):
    """Return the parts of what a reader made of a sample."""
    if not isinstance(payload, Windows):
        return [Part(key, payload)]
    count = len(payload.payloads)
    pairs = zip(payload.payloads, payload.weights, strict=True)
    return [Part(key, made, i, count, weight) for i, (made, weight) in enumerate(pairs)]


class Waiting:
    """Parts that wait to be passed through a network together, in the order of the rows."""

    def __init__(self, format, batch_size):
        self.batch_size, self.parts = batch_size, []

    def add(self, part):
        """Add a part; returns whether a batch is full."""
        self.parts.append(part)
        return len(self.parts) >= self.batch_size

    def take(self):
        """Return the parts of the next batch, none if nothing waits."""
        parts, self.parts = self.parts, []
        return parts


class SortedWaiting:
    """Parts of different lengths, of which those of similar length make a batch.

    Where the format needs that, those of equal length do.

    Batches are taken from the longest parts on. As many parts wait as make many batches, so
    that little is padded.

    Parameters
    ----------
    format : PayloadFormat
        Tells the length of a payload.
    batch_size : int
        Most parts of a batch.
    most_positions : int or None
        Most positions of a batch, padded ones included, where it has more than one part.
    """

    def __init__(self, format, batch_size, most_positions):
        self.format, self.batch_size = format, batch_size
        self.most_positions, self.parts, self.n_added = most_positions, [], 0
        self.n_waiting = _N_WAITING * batch_size
        # Parts of equal length that wait are large, such as sounds, so few long ones may.
        self.n_positions, self.longest = 0, self.n_waiting * format.example_length

    def add(self, part):
        """Add a part; returns whether enough wait for a batch."""
        self.n_added += 1  # no two entries are equal, so parts are never compared
        length = self.format.get_length(part.payload)
        insort(self.parts, (length, -self.n_added, part))
        self.n_positions += length
        if self.format.needs_equal_lengths and self.n_positions >= self.longest:
            return True
        return len(self.parts) >= self.n_waiting

    def take(self):
        """Return the longest parts as a batch, none if nothing waits."""
        if not self.parts:
            return []
        count = self.batch_size
        if self.most_positions is not None:
            count = max(self.most_positions // self.parts[-1][0], 1)
        if self.format.needs_equal_lengths:
            longest = self.parts[-1][0]
            count = min(count, sum(length == longest for length, _, _ in self.parts[-count:]))
        taken = self.parts[-count:]
        del self.parts[-count:]
        self.n_positions -= sum(length for length, _, _ in taken)
        return [part for _, _, part in reversed(taken)]


class WindowMeans:
    """Weighted means of the features of samples that are passed in several windows.

    Windows of one sample may be in batches of several threads. Where they show several
    channels, there is a mean for each, and these follow each other.
    """

    def __init__(self):
        self.found, self.counts, self.lock = {}, {}, Lock()

    def add(self, part, vectors):
        """Take the vectors of one window, one per tap; `join` calls this for computed ones."""
        with self.lock:
            self._add(part, vectors)

    def _add(self, part, vectors):
        windows = self.found.setdefault(part.key, {})
        windows[part.index] = (part.weight, part.channel, vectors)
        if part.count is not None:
            self.counts[part.key] = part.count

    def close(self, key, count):
        """Set the number of windows of a sample.

        Returns its vectors, one per tap, if all windows are there, else None.
        """
        with self.lock:
            self.counts[key] = count
            return self._take(key)

    def drop(self, key):
        """Forget the windows of a sample that cannot be read to its end."""
        with self.lock:
            self.counts[key] = 0
            self.found.pop(key, None)

    def _take(self, key):
        """Return the vectors of a sample that is complete, and forget it; else None."""
        if self.counts.get(key) != len(self.found.get(key, ())) or key not in self.found:
            return None
        del self.counts[key]
        return _average(self.found.pop(key))

    def join(self, parts, features):
        """Return the keys of samples that are complete now, and a matrix per tap.

        `features` has a row for each part.
        """
        if all(part.count == 1 for part in parts):
            return [part.key for part in parts], features
        keys, rows = [], []
        with self.lock:
            for i, part in enumerate(parts):
                if self.counts.get(part.key) == 0:  # dropped
                    continue
                self._add(part, [matrix[i] for matrix in features])
                complete = self._take(part.key)
                if complete is not None:
                    keys.append(part.key)
                    rows.append(complete)
        if not rows:
            return [], [matrix[:0] for matrix in features]
        return keys, [np.stack(column) for column in zip(*rows, strict=True)]


def _average(windows):
    """Return the weighted mean of the vectors of windows, one per tap, channel by channel."""
    channels = {}
    for i in range(len(windows)):
        weight, channel, vectors = windows[i]
        channels.setdefault(channel, []).append((weight, vectors))
    means = [_average_channel(*zip(*pairs, strict=True)) for pairs in channels.values()]
    return [np.concatenate(tap) for tap in zip(*means, strict=True)]


def _average_channel(weights, vectors):
    return [
        np.average(np.stack(tap), axis=0, weights=weights).astype(np.float32)
        for tap in zip(*vectors, strict=True)
    ]
