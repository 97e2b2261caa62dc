"""Readers of images, by the spec of a network or by a callable of the user."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.image import contents, transforms
from sklearn_transfer._modalities.image.decoding import Decoding
from sklearn_transfer._modalities.payloads import InputFormat, PayloadFormat
from sklearn_transfer._modalities.readers import Reader
from sklearn_transfer._modalities.remarks import Bright, Narrow
from sklearn_transfer._process.threads import lock_user_code
from sklearn_transfer._store.digests import digest

# An 8-bit picture whose brightest value is below this uses an eighth of the range.
_DARK = 32
# Training views are drawn from a picture that is at most this many times larger than the
# size to which images are scaled: more pixels would not change them visibly.
_LARGEST_RATIO = 2


@dataclass(frozen=True)
class PixelFormat(PayloadFormat):
    """Payloads `{"pixels"}` of uint8 (height, width, channels), scaled by the network's side.

    `mean` and `std` are per channel, for values in [0, 1].
    """

    mean: tuple
    std: tuple

    def to_input(self, batch):
        import torch

        pixels = batch["pixels"]
        options = {"dtype": torch.float32, "device": pixels.device}
        mean, std = (torch.tensor(values, **options) for values in (self.mean, self.std))
        # In this order OpenVINO need not move a value: its convolutions take channels last.
        return pixels.float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)

    def input_shape(self, signature):
        height, width, channels = signature[0][1]
        return (channels, height, width)


class _SamplesAreImages(Reader):
    """Base class of readers of images."""

    unit = "image"

    def known_digest(self, sample):
        return contents.find_known_digest(sample)

    def read(self, sample, key=None):
        return contents.read_sample(sample, key)


class ImageReader(_SamplesAreImages):
    """Reader that converts images to a network's input by its spec."""

    input_source = "as input_size says, or else the network"

    def __init__(self, spec, background, value_range="auto", caller=Reader.caller):
        self.spec, self.value_range, self.caller = spec, value_range, caller
        self.decoding = Decoding(background, value_range, spec.channels, caller)
        # The name of the class of specs when the first cache folders were written is part of
        # their keys, and so it stays there.
        text = repr(spec).replace(type(spec).__name__, "InputSpec", 1)
        self.key = digest("spec", text, background, *_list_key_parts(value_range))
        self.format = PixelFormat(spec.mean, spec.std)

    def find_signature(self, samples):
        """Return the signature of payloads, which follows from the spec alone."""
        return (("pixels", (*self.spec.size, self.spec.channels), "|u1"),)

    def is_quick(self, sample):
        return self._keeps_values and transforms.needs_crop_alone(sample, self.spec)

    @property
    def _keeps_values(self):
        """Whether values of 8 bits stay as they are."""
        return not isinstance(self.value_range, tuple)

    def prepare(self, content, note=None):
        if self.is_quick(content):
            image, is_8_bit = content, True
            pixels = transforms.center(content, self.spec)
        else:
            image, is_8_bit = self._make_picture(content, note)
            pixels = transforms.apply_eval_transform(image, self.spec)
        if is_8_bit:
            self._note_dark(pixels, image, note)
        return {"pixels": pixels}

    def read_pixels(self, content):
        """Return the upright picture of content, not scaled yet, as uint8 (height, width, c).

        It has the channels of the network.
        """
        image = self._make_picture(content, None)[0]
        if self.spec.channels == 1 and not isinstance(image, np.ndarray):
            image = image.convert("L")
        pixels = np.asarray(image)
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def _make_picture(self, content, note):
        if self._keeps_values and transforms.is_prepared(content, self.spec):
            return content, True
        return self.decoding.make_picture(content, note)

    def _note_dark(self, pixels, image, note):
        """Add a remark on an 8-bit picture that uses a small part of its range.

        `pixels` is the network's input. Only if it is dark, the whole picture is examined:
        the crop may be dark, or scaling may have made it so.
        """
        if note is None or self.value_range != "auto":
            return
        brightest = _compute_brightest(image) if pixels.max() < _DARK else _DARK
        if 0 < brightest < _DARK:
            note(Narrow("uint8", float(brightest), 255.0))
        elif brightest:
            note(Bright())

    def make_augmentation(self, augment):
        return partial(_draw_view, transforms.make_augmentation(augment, self.spec))

    def prepare_original(self, content, note=None):
        """Return an upright picture as an array, scaled down if it is much too large."""
        image, is_8_bit = self.decoding.make_picture(content, note)
        array = transforms.shrink(image, _LARGEST_RATIO * max(self.spec.resize))
        if is_8_bit:
            self._note_dark(array, image, note)
        return array


class CallableReader(_SamplesAreImages):
    """Reader that converts images to a network's input by a callable of the user."""

    format = InputFormat()
    input_source = "as preprocess returns them"

    def __init__(self, function, background, value_range="auto", caller=Reader.caller):
        self.function, self.caller = function, caller
        self.decoding = Decoding(background, value_range, caller=caller)
        parts = _list_key_parts(value_range)
        self.key = digest("callable", function, background, *parts)
        self.is_ordered = not getattr(function, "thread_safe", False)

    def prepare(self, content, note=None):
        image = self.decoding.make_picture(content, note).image
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
            raise BadSampleError("preprocess gives NaN or infinity")
        return {"input": output}

    def describe_mismatch(self, first, first_row, other, other_row):
        return (
            f"preprocess gives shape {self.format.input_shape(first)} for {first_row} but"
            f" {self.format.input_shape(other)} for {other_row}; it must end in one size"
        )


def _draw_view(augmentation, array, seed):
    """Draw a view of a picture from a seed, as a payload."""
    # Pillow does not know other numbers of channels.
    picture = Image.fromarray(array) if array.shape[2] == 3 else array
    return {"pixels": augmentation(picture, seed)}


def _compute_brightest(image):
    if isinstance(image, np.ndarray):
        return int(image.max())
    return max(np.ravel(image.getextrema())[1::2].tolist())


def _list_key_parts(value_range):
    """Return what a value range adds to the key of a reader."""
    return () if value_range == "auto" else ("value range", value_range)
