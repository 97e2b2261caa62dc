"""Readers: what is done with each sample until the network can take it."""

import numpy as np

from sklearn_transfer._modalities import inputs
from sklearn_transfer._modalities.image import transforms
from sklearn_transfer._modalities.image.decoding import Decoding
from sklearn_transfer._modalities.remarks import Bright, Narrow
from sklearn_transfer._process.threads import lock_user_code
from sklearn_transfer._store.digests import digest, digest_array

# An 8-bit picture whose brightest value is below this uses an eighth of the range.
_DARK = 32


class Reader:
    """One sample at a time: `read`, `prepare` and `finish`.

    `prepare` runs in several threads, and `finish` in one, in the order of the rows.
    """

    scaling = None
    is_ordered = False  # whether `finish` has work to do

    def finish(self, prepared):
        """The network's input from what `prepare` returned."""
        return prepared


class RowReader(Reader):
    """Rows that are the module's input already."""

    unit, key = "row", "rows"
    shape_source = "as the rows of X are"

    def shape(self, samples):
        return samples.shape[1:] if len(samples) else None

    def is_quick(self, sample):
        """Whether a sample is ready sooner than a thread is reached."""
        return True

    def known_digest(self, sample):
        return digest_array(sample) if np.isfinite(sample).all() else None

    def read(self, sample, key=None):
        if key is None and not np.isfinite(sample).all():
            raise inputs.BadSampleError("contains NaN or infinity")
        return key or digest_array(sample), sample

    def prepare(self, content, note=None):
        return content


class _ImageSamples(Reader):
    """Samples that are images, however they are prepared."""

    unit = "image"

    def is_quick(self, sample):
        return False

    def known_digest(self, sample):
        return inputs.known_digest(sample)

    def read(self, sample, key=None):
        return inputs.read_sample(sample, key)


class ImageReader(_ImageSamples):
    """Images brought to a network's input as its specification says."""

    shape_source = "as input_size says, or else the network"

    def __init__(self, spec, background, value_range="auto"):
        self.spec, self.value_range = spec, value_range
        self.decoding = Decoding(background, value_range, spec.channels)
        self.key = digest("spec", repr(spec), background, *_beyond_auto(value_range))
        self.scaling = (spec.mean, spec.std)

    def shape(self, samples):
        return self.spec.shape

    def is_quick(self, sample):
        is_window = isinstance(self.value_range, tuple)
        return not is_window and transforms.needs_crop_alone(sample, self.spec)

    def prepare(self, content, note=None):
        if self.is_quick(content):
            image, is_8_bit = content, True
            payload = transforms.center(content, self.spec)
        else:
            image, is_8_bit = self.decoding.picture(content, note)
            payload = transforms.eval_transform(image, self.spec)
        if is_8_bit:
            self.note_dark(payload, image, note)
        return payload

    def note_dark(self, pixels, image, note):
        """Remark on an 8-bit picture that uses a small part of its range.

        `pixels` is what the network gets of it. The picture itself is looked at only where
        these are dark: they may be so for the part that they show, or for the scaling.
        """
        if note is None or self.value_range != "auto":
            return
        brightest = _brightest(image) if pixels.max() < _DARK else _DARK
        if 0 < brightest < _DARK:
            note(Narrow("uint8", float(brightest), 255.0))
        elif brightest:
            note(Bright())


class CallableReader(_ImageSamples):
    """Images brought to a network's input by the user's own function."""

    shape_source = "as preprocess returns them"

    def __init__(self, function, background, value_range="auto"):
        self.function = function
        self.decoding = Decoding(background, value_range)
        self.key = digest("callable", function, background, *_beyond_auto(value_range))
        self.is_ordered = not getattr(function, "thread_safe", False)

    def shape(self, samples):
        """Shape of the first sample that can be read; None if there is none."""
        for sample in samples:
            try:
                return self.finish(self.prepare(self.read(sample)[1])).shape
            except inputs.BadSampleError:
                continue
        return None

    def prepare(self, content, note=None):
        image = self.decoding.picture(content, note).image
        return image if self.is_ordered else self._call(image)

    def finish(self, prepared):
        if not self.is_ordered:
            return prepared
        with lock_user_code():
            return self._call(prepared)

    def _call(self, image):
        result = self.function(image)
        if hasattr(result, "detach"):
            result = result.detach().cpu().numpy()
        if not hasattr(result, "shape") or len(result.shape) == 0:
            raise ValueError(
                f"preprocess returned {type(result).__name__}, expected an array or tensor"
                " (channels, height, width)"
            )
        output = np.array(result, dtype=np.float32)
        if not np.isfinite(output).all():
            raise inputs.BadSampleError("preprocess gives NaN or infinity")
        return output


def _brightest(image):
    if isinstance(image, np.ndarray):
        return int(image.max())
    return max(np.ravel(image.getextrema())[1::2].tolist())


def _beyond_auto(value_range):
    """What a value range adds to the key of a reader."""
    return () if value_range == "auto" else ("value range", value_range)
