"""Dialogue of an extraction with its store, which several threads and processes may share."""

import math
import time
import warnings

from sklearn_transfer._networks.arithmetic import describe_arithmetic
from sklearn_transfer._store.base import Answer
from sklearn_transfer._store.digests import KEY_VERSION, digest

# Number of samples that are claimed at once.
_CLAIMED = 16
# Seconds between two lookups of what others compute.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.1
# Seconds without a result of others after which a warning says what this waits for.
_PATIENCE = 60.0


def compute_contexts(backbone, reader, taps, options):
    """Return for each tap a digest of all that its vectors depend on beside the sample."""
    setting = (KEY_VERSION, backbone.digest, reader.key, options.precision, options.engine)
    arithmetic = describe_arithmetic(options.precision, backbone.device)
    return [digest(*setting, tap.kind, tap.name, tap.pooling, *arithmetic) for tap in taps]


class Dialogue:
    """Lookups and claims of an extraction, and the rows that wait for its own results.

    A sample is known by its digest, the key. Several rows may have the same one: the first
    of them is computed, and the others wait for it.

    Parameters
    ----------
    store : Store
        Where vectors are kept.
    contexts : list of bytes
        One for each tap, as `compute_contexts` returns them.
    """

    def __init__(self, store, contexts):
        self.store, self.contexts, self.waiting = store, contexts, {}

    def lookup(self, keys):
        """Return for each key its vectors, one per tap, or an `Answer`."""
        return self.store.lookup(self.contexts, keys)

    def claim(self, items, busy, take_known):
        """Yield the items (row, key, content) that this extraction has to compute.

        `take_known(row, vectors)` is called for rows whose vectors are stored. Rows that
        others are computing are appended to `busy`, with their keys. Items with the key None,
        which are samples that cannot be read, are yielded too.
        """
        part = []
        for item in items:
            part.append(item)
            if len(part) == _CLAIMED:
                yield from self._claim_part(part, busy, take_known)
                part = []
        yield from self._claim_part(part, busy, take_known)

    def _claim_part(self, items, busy, take_known):
        ours = []
        keys = [key for _, key, _ in items if key is not None and key not in self.waiting]
        found = self.store.lookup(self.contexts, keys, owner=self)
        answers = dict(zip(keys, found, strict=True))
        for row, key, content in items:
            if key in self.waiting:
                self.waiting[key].append(row)
            elif key is None or answers[key] is Answer.OURS:
                if key is not None:
                    self.waiting[key] = [row]
                ours.append((row, key, content))
            elif answers[key] is Answer.BUSY:
                busy.append((row, key))
            else:
                take_known(row, answers[key])
        return ours

    def take_waiting(self, key):
        """Return the rows that waited for a key that is now computed; all but one are hits."""
        rows = self.waiting.pop(key)
        self.store.count(hits=len(rows) - 1)
        return rows

    def keep(self, keys, entries, is_new=True):
        """Store the (key, vectors) pairs of a batch that was computed for `keys`.

        It is not new where it was made of stored vectors alone.
        """
        self.store.count(**{"misses" if is_new else "hits": len(keys)})
        if entries:
            self.store.put(self.contexts, entries)

    def lookup_window(self, digest):
        """Return the vectors of one window of a sample, one per tap, or None."""
        (answer,) = self.lookup([digest])
        return answer if isinstance(answer, list) else None

    def release(self):
        """Release all claims, so that nobody waits for samples that are not computed here."""
        self.store.release(self)

    def wait_for_others(self, busy, take_known):
        """Wait for rows that others compute; returns the rows that are left to compute here.

        It returns as soon as one row is free, since whoever claimed it has given it up.
        """
        pause, news = _FIRST_PAUSE, time.monotonic()
        while busy:
            answers = self.lookup([key for _, key in busy])
            left, is_free = [], False
            for (row, key), answer in zip(busy, answers, strict=True):
                if isinstance(answer, list):
                    take_known(row, answer)
                else:
                    left.append((row, key))
                    is_free |= answer is Answer.FREE
            if is_free:
                return [row for row, _ in left]
            if len(left) < len(busy):
                news = time.monotonic()
            elif time.monotonic() - news > _PATIENCE:
                news = math.inf
                warnings.warn(
                    f"{len(left)} samples are being computed by another thread or process that"
                    f" has returned nothing for {_PATIENCE:.0f} s; this call continues when it"
                    " does, or when it ends. Pass cache=None to compute without waiting.",
                    UserWarning,
                    stacklevel=2,
                )
            busy = left
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return []

    def warn_if_too_small(self, n_samples, n_values, content):
        """Warn if the vectors of all samples do not fit into the store.

        They have `n_values` numbers in all; `content` is what a message calls them.
        """
        n_vectors = n_samples * len(self.contexts)
        if self.store.has_room_for(n_vectors, 4 * n_values // n_vectors):
            return
        bound, variable = self.store.bound
        repair = ", or pool to fewer features" if content == "features" else ""
        warnings.warn(
            f"The {content} of {n_samples} samples, {n_values * 4 / 1e6:.0f} MB,"
            f" do not fit into the cache of {bound / 1e6:.0f} MB and will be computed again in"
            f" the next call. Start Python with a larger value of the environment variable"
            f" {variable}{repair}.",
            UserWarning,
            stacklevel=2,
        )
