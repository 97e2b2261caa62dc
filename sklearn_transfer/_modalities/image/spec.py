"""Specs of networks of images, and of networks without a stated input."""

from abc import abstractmethod
from dataclasses import dataclass, replace

from sklearn_transfer._modalities.callers import find_caller
from sklearn_transfer._modalities.image.decoding import parse_background
from sklearn_transfer._modalities.image.reader import CallableReader, ImageReader
from sklearn_transfer._modalities.image.values import parse_value_range
from sklearn_transfer._modalities.readers import RowReader
from sklearn_transfer._modalities.spec import Spec


class _ReadsImages(Spec):
    """Base class of specs of networks of images."""

    def reader(self, estimator):
        value_range = parse_value_range(estimator.value_range)
        if estimator.preprocess is None:
            return RowReader()
        caller = find_caller(estimator)
        background = parse_background(estimator.background)
        if estimator.preprocess != "auto":
            return CallableReader(estimator.preprocess, background, value_range, caller)
        if value_range is None:
            raise ValueError(
                "value_range=None hands the samples' own values to a callable preprocess, but"
                " preprocess='auto'; use 'auto', 'dtype' or a pair (low, high)"
            )
        return self._make_image_reader(background, value_range, caller)

    @abstractmethod
    def _make_image_reader(self, background, value_range, caller):
        """Return the reader for `preprocess="auto"`."""


@dataclass(frozen=True)
class ImageSpec(_ReadsImages):
    """Input of a network of images.

    Parameters
    ----------
    size : (height, width)
        Pixels of the network's input.
    resize : (height, width)
        Size to which an image is scaled before it is cropped to `size` around its center.
    mean, std : tuple of float
        Per channel, for values in [0, 1].
    interpolation : str, default="bicubic"
        Name of one of Pillow's filters.
    crop_mode : {"center", "squash", "border"}, default="center"
        "center" keeps the aspect ratio and covers `resize`, "squash" fills it, "border" keeps
        the ratio and pads.
    """

    size: tuple
    resize: tuple
    mean: tuple
    std: tuple
    interpolation: str = "bicubic"
    crop_mode: str = "center"

    @property
    def channels(self):
        """Number of channels of the network's input."""
        return len(self.mean)

    @property
    def shape(self):
        """Shape of the network's input for one image, channels first."""
        return (self.channels, *self.size)

    @property
    def converts(self):
        """Whether gray, color and alpha are converted to the channels of the network."""
        return self.channels in (1, 3)

    def split_channels(self):
        """Return a spec for each single channel."""
        pairs = zip(self.mean, self.std, strict=True)
        return [replace(self, mean=(mean,), std=(std,)) for mean, std in pairs]

    def _make_image_reader(self, background, value_range, caller):
        return ImageReader(self, background, value_range, caller)


@dataclass(frozen=True)
class UnknownSpec(_ReadsImages):
    """Spec of a module that does not state its input; the user has to pass `preprocess`."""

    label: str

    @property
    def channels(self):
        """None, since any number of channels may be right."""
        return None

    def _make_image_reader(self, background, value_range, caller):
        raise ValueError(
            f"preprocess='auto': {self.label} does not say what input it was trained on;"
            " pass a callable that makes its input from a PIL image, preprocess=None if X"
            " holds its input already, or give the module timm's attribute pretrained_cfg"
        )
