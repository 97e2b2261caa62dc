"""Samples prepared while the libraries of networks are imported.

In the first process that uses a network, importing these libraries takes seconds on one core
while the others have nothing to do. Pillow needs none of them. The libraries are imported in
the thread of the caller as ever, so that errors, locks of imports and forks are as they would
be without this; only the decoding of samples goes to threads. For 500 JPEG files on two cores
the whole takes a fifth less time (`benchmarks/startup.py`).

What does not help: to import in a thread while files are digested, since 500 digests take
0.1 s; and to switch the garbage collector off while importing, since what it saves there (0.5
of 2.7 s) is due at the first collection thereafter.
"""

from contextlib import contextmanager
from contextvars import ContextVar

from sklearn_transfer._modalities.image.reader import ImageReader
from sklearn_transfer._process.threads import Threads

# Bytes of payloads that wait for the network.
_WAITING = 1 << 27
_current = ContextVar("current", default=None)


@contextmanager
def share_early(owner):
    """Context of a call of an estimator that has `EarlyPayloads`.

    Calls inside it, as of `transform` in `fit_transform`, have the same ones.
    """
    if get_early(owner) is not None:
        yield
        return
    early = EarlyPayloads(owner)
    token = _current.set(early)
    try:
        yield
    finally:
        _current.reset(token)
        early.stop()


def get_early(owner):
    """Return the `EarlyPayloads` of the call of an estimator that is running, or None."""
    known = _current.get()
    return known if known is not None and known.owner is owner else None


class EarlyPayloads:
    """Payloads of the first samples, prepared before the network is at hand.

    Parameters
    ----------
    owner : estimator
        The extractor whose samples these are.
    """

    def __init__(self, owner):
        self.owner, self.reader, self.pool, self.futures = owner, None, None, {}

    def begin(self, samples, spec, n_threads):
        """Begin to prepare samples in threads as a spec says, once in the life of this object.

        With one thread there is no core to spare.
        """
        if self.pool is not None or n_threads < 2:
            return
        self.reader = spec.reader(self.owner)
        if not isinstance(self.reader, ImageReader):  # a user's own code is not called early
            return
        n_values = self.reader.format.count_elements(self.reader.find_signature(()))
        self.pool = Threads(n_threads)
        for row, sample in enumerate(samples[: _WAITING // n_values]):
            if not self.reader.is_quick(sample):
                self.futures[row] = self.pool.submit(self._prepare, sample)

    def _prepare(self, sample):
        """Return digest, payload and remarks of a sample."""
        remarks = []
        key, content = self.reader.read(sample)
        return key, self.reader.prepare(content, remarks.append), remarks

    def take(self, row, key, reader):
        """Return payload and remarks of a row, or None if it has to be prepared.

        It is None for a sample that has changed since, that another reader would read in
        another way, and that cannot be read, of which the caller will say so.
        """
        future = self.futures.pop(row, None)
        if future is None or reader.key != self.reader.key or future.cancel():
            return None
        try:
            known, payload, remarks = future.result()
        except Exception:
            return None
        return (payload, remarks) if known == key else None

    def stop(self):
        """Stop preparing, and forget what nobody has taken."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
        self.futures.clear()
