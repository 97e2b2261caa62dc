"""Last use of the vectors of a disk store, and eviction of the oldest when it is full."""

import time
from itertools import count

from sklearn_transfer._store import tables

KEPT = 0.9  # what eviction leaves, as a share of the bound
_WRITE_EVERY = 60.0  # seconds


class Usage:
    """Moments of last use, noted in memory and written to the file now and then.

    So reading vectors writes nothing. If a process is killed, what it has noted is lost, and
    at worst a vector is evicted too early.
    """

    def __init__(self):
        self._moments, self._written = {}, time.monotonic()

    def note(self, contexts, samples, moment=None):
        """Note that samples were used just now, in this order, in all contexts at once."""
        if not samples:
            return
        moment = moment or time.time_ns()
        for context in contexts:
            self._moments.setdefault(context, {}).update(zip(samples, count(moment)))

    @property
    def is_pending(self):
        return bool(self._moments)

    @property
    def is_due(self):
        return self.is_pending and time.monotonic() - self._written > _WRITE_EVERY

    def write(self, connection):
        # Other threads continue to note; what they add to the old mapping now may be lost.
        moments, self._moments = self._moments, {}
        tables.write_moments(
            connection,
            (
                (moment, context + sample)
                for context, by_sample in list(moments.items())
                for sample, moment in list(by_sample.items())
            ),
        )
        self._written = time.monotonic()

    def clear(self):
        self._moments.clear()


def evict(connection, max_bytes, usage):
    """Delete the least recently used entries if more than the bound is held.

    A tenth of the bound is freed at once, so that not every batch has to sort all entries.
    """
    total = tables.read_total(connection)
    if total <= max_bytes:
        return
    usage.write(connection)
    excess, numbers = total - KEPT * max_bytes, []
    for number, size in tables.read_oldest(connection):
        if excess <= 0:
            break
        numbers.append(number)
        excess -= size
    tables.delete_entries(connection, numbers)
