"""Remarks on single samples while they are read, given as one warning per kind and call."""

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np

from sklearn_transfer._process.locks import Lock

_N_LEVELS = 256
_told = ContextVar("told", default=None)


class Remark:
    """Base class of remarks: `kind` groups them, and `describe` says what a warning says.

    `describe` recommends only what the `Caller` that it is given takes.
    """

    share = 0.0

    def merge(self, other):
        """Return the remark that stands for two of one kind: that of the larger share."""
        return max(self, other, key=lambda known: known.share)


@dataclass(frozen=True)
class Narrow(Remark):
    """Remark that values use a small part of the range by which they are scaled.

    `largest` is the largest value, and `full` is the value that becomes white.
    """

    dtype: str
    largest: float
    full: float

    @property
    def kind(self):
        return self.dtype

    @property
    def share(self):
        return self.largest / self.full

    def describe(self, caller):
        suggested = caller.write(f"value_range={_suggest_range(self)}")
        levels = int(_N_LEVELS * self.share) + 1
        return (
            f"{self.dtype} values reach at most {self.largest:g}. Scaled by"
            f" {self.full:g} they use {levels} of {_N_LEVELS} gray levels, and the network"
            f" sees nearly black images. Pass {suggested} if that is the range of the"
            " source, or value_range='dtype' if the images are as dark as that"
        )


@dataclass(frozen=True)
class Bright(Remark):
    """Remark that an 8-bit picture uses most of its range.

    It is never shown. It shows that the dark pictures of the same call are truly dark.
    """

    kind = "bright"


@dataclass(frozen=True)
class Invisible(Remark):
    """Remark that an alpha channel is 0 everywhere."""

    kind = "invisible"

    def describe(self, caller):
        return (
            "the alpha channel is 0 everywhere, so nothing of the image is visible on the"
            " background, and all such images have equal features. If that channel has no"
            " meaning, drop it: image.convert('RGB'), or image[..., :3] of an array"
        )


@dataclass(frozen=True)
class Blended(Remark):
    """Remark that a fourth channel was taken for alpha though its values make that unlikely.

    Neither the file nor the array says what the channel is.
    """

    kind = "blended"

    def describe(self, caller):
        network = ""
        if caller.takes("n_channels"):
            network = f", take a network of four, {caller.write('n_channels=4')},"
        return (
            "the fourth channel of an array (H, W, 4), or of a file that does not say what it"
            " is, was taken for alpha and blended the image with the background. If it holds"
            f" something else, such as near infrared, pass image[..., :3]{network} or with a"
            f" callable preprocess {caller.write('value_range=None')}, which hands it the"
            " array. If it is alpha, PIL.Image.fromarray(image) says so"
        )


class Remarks:
    """Remarks on the samples of one call, to which several threads may add.

    `noticed` has for each kind the number of remarks, the first row, and the remark that
    stands for all of them.
    """

    def __init__(self):
        self.noticed, self.lock = {}, Lock()

    def add(self, row, remark):
        with self.lock:
            if remark.kind not in self.noticed:
                self.noticed[remark.kind] = (1, row, remark)
                return
            count, first, told = self.noticed[remark.kind]
            self.noticed[remark.kind] = (count + 1, min(first, row), told.merge(remark))

    def warn(self, n_samples, row_label, reader):
        """Give one warning for each kind of remark.

        `row_label` names a row in messages; the reader says what a sample is called, and
        whose options can be recommended.

        There is no warning where dark 8-bit pictures are fewer than bright ones: then the
        range is right, and the dark ones are photos taken at night, for instance.
        """
        n_bright = self.noticed.pop(Bright.kind, (0,))[0]
        if self.noticed.get("uint8", (0,))[0] < n_bright:
            self.noticed.pop("uint8", None)
        known = _told.get()
        for kind, (count, first, told) in self.noticed.items():
            if known is not None and kind in known:
                continue
            if known is not None:
                known.add(kind)
            warnings.warn(
                f"In {count} of {n_samples} {reader.unit}s, first in {row_label(first)},"
                f" {told.describe(reader.caller)}",
                UserWarning,
                stacklevel=3,
            )
        self.noticed = {}


@contextmanager
def telling_once():
    """Context in which several passes over the same samples show each kind of remark once."""
    token = _told.set(set())
    try:
        yield
    finally:
        _told.reset(token)


def _suggest_range(remark):
    """Return (0, largest value of the fewest bits that hold the values) as text."""
    if np.dtype(remark.dtype).kind == "f":
        return f"(0, {remark.largest:g})"
    return f"(0, {2 ** int(remark.largest).bit_length() - 1})"
