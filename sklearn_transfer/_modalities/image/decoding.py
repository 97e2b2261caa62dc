"""Decoding of samples to pictures with the channels that a network takes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageOps

from sklearn_transfer._modalities.callers import OF_IMAGES, Caller
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.image.contents import check_array_sample
from sklearn_transfer._modalities.image.decoded import describe_error
from sklearn_transfer._modalities.image.files import BadFileError, decode_file
from sklearn_transfer._modalities.image.values import to_gray_levels
from sklearn_transfer._modalities.remarks import Blended, Invisible
from sklearn_transfer._validation import shorten

_WIDE_MODES = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
# Formats of at most 16 bits that Pillow decodes to its mode of 32 bits.
_SIXTEEN_BIT_FORMATS = {"PNG", "PPM", "JPEG2000"}
_OPAQUE = 255


class Picture(NamedTuple):
    """An upright picture, and whether its values had 8 bits from the start.

    `image` is an RGB image of Pillow where the network takes 1 or 3 channels, else a uint8
    array (height, width, channels).
    """

    image: Image.Image | np.ndarray
    is_8_bit: bool


class _Values(NamedTuple):
    """Values of an array or of a file, before they are scaled."""

    array: np.ndarray
    stated: tuple | None = None
    n_color_channels: int | None = None
    alpha: str | None = None
    is_file: bool = False


@dataclass(frozen=True)
class Decoding:
    """Options by which samples are decoded to pictures.

    Parameters
    ----------
    background : tuple
        RGB triple of the background under transparent pixels.
    value_range : str, tuple or None
        As `parse_value_range` returns it. None, for a callable `preprocess`, leaves values as
        they are: a picture is then an array (height, width[, channels]).
    n_channels : int
        Channels that the network takes. With 1 or 3, gray, color and alpha are converted;
        with any other number a sample must have exactly that many, which are taken as they
        are.
    caller : Caller
        Whose options messages recommend.
    """

    background: tuple = (255, 255, 255)
    value_range: str | tuple | None = "auto"
    n_channels: int = 3
    caller: Caller = OF_IMAGES

    def make_picture(self, content, note=None):
        """Return the `Picture` of the content that `read_sample` returned.

        EXIF orientation is applied, and an animation gives its first frame. `note` is called
        with remarks. Raises BadSampleError.
        """
        try:
            opened = _open_content(content)
            if self.value_range is None:
                return Picture(_copy_values(opened), False)
            if isinstance(opened, Image.Image):
                return self._from_image(opened, note)
            return self._from_values(opened, note)
        except BadSampleError:
            raise
        except Exception as error:  # Pillow's decoders raise errors of many types
            raise BadSampleError(describe_error(error)) from error

    @property
    def _converts(self):
        return self.n_channels in (1, 3)

    def _from_image(self, image, note):
        """Return the picture of an image of Pillow with 8 bits per channel."""
        if self._converts:
            return Picture(self._to_rgb(image, note), True)
        bands = image.getbands()
        if len(bands) != self.n_channels or image.mode not in ("LA", "RGBA"):
            raise BadSampleError(
                f"is an image of mode {image.mode}, but the network takes {self.n_channels}"
                f" channels; pass an array (height, width, {self.n_channels})"
            )
        array = np.asarray(image)
        return Picture(self._to_gray(array), True)

    def _to_rgb(self, image, note):
        if not image.has_transparency_data:
            return self._apply_window(_to_rgb_mode(image))
        return self._apply_background(self._apply_window(image.convert("RGBA")), note)

    def _apply_window(self, image):
        """Scale the colors of an RGB or RGBA image if the user gave a value range."""
        if not isinstance(self.value_range, tuple):
            return image
        levels = np.arange(256, dtype=np.uint8)
        table = self._to_gray(levels).tolist()
        return image.point(table * 3 + list(range(256)) * (image.mode == "RGBA"))

    def _apply_background(self, image, note):
        """Blend an RGBA image with the background."""
        if note is not None and image.getextrema()[3] == (0, 0):
            note(Invisible())
        canvas = Image.new("RGBA", image.size, (*self.background, 255))
        return Image.alpha_composite(canvas, image).convert("RGB")

    def _from_values(self, values, note):
        array = values.array
        is_8_bit = array.dtype == np.uint8
        n = 1 if array.ndim == 2 else array.shape[2]
        if not self._converts:
            self._require_channels(array, n)
            scaled = self._scale(values, array, note)
            return Picture(scaled.reshape(*array.shape[:2], n), is_8_bit)
        n_color, has_alpha = self._split_channels(values, n)
        color = self._scale(values, array if n == 1 else array[..., :n_color], note)
        if n_color == 1:
            color = color.reshape(array.shape[:2])
        image = _to_rgb_mode(Image.fromarray(np.ascontiguousarray(color)))
        if not has_alpha:
            return Picture(image, is_8_bit)
        alpha = self._convert_alpha(values, array[..., n_color])
        if values.alpha == "associated":
            return Picture(self._add_background(image, alpha, note), is_8_bit)
        is_doubtful = not values.is_file or values.alpha == "supposed"
        if is_doubtful and note is not None and _is_unlikely_alpha(alpha):
            note(Blended())
        image.putalpha(Image.fromarray(alpha))
        return Picture(self._apply_background(image, note), is_8_bit)

    def _split_channels(self, values, n):
        """Return the number of color channels among n, and whether the next one is alpha."""
        if values.n_color_channels in (1, 3):
            return values.n_color_channels, values.alpha is not None
        if values.n_color_channels is None:
            if n in (1, 3):
                return n, False
            if n == 4:
                return 3, True
        takes = "1 channel" if self.n_channels == 1 else f"{self.n_channels} channels"
        if values.is_file:
            raise BadSampleError(
                f"has {n} bands, none of which is said to be color or alpha, expected gray or"
                f" RGB for a network of {takes}{_suggest_network(n, self.caller)}"
            )
        raise BadSampleError(
            f"array of shape {values.array.shape}, expected (H, W) or (H, W, 1|3|4) for a"
            f" network of {takes}{_suggest_shape(values.array.shape, (1, 3, 4), self.caller)}"
        )

    def _require_channels(self, array, n):
        if n != self.n_channels:
            raise BadSampleError(
                f"array of shape {array.shape}, expected (H, W, {self.n_channels}) for a"
                f" network of {self.n_channels} channels"
                f"{_suggest_shape(array.shape, (self.n_channels,), self.caller)}"
            )

    def _scale(self, values, array, note):
        return self._to_gray(array, values.stated, note)

    def _to_gray(self, array, stated=None, note=None):
        return to_gray_levels(array, self.value_range, stated, note, self.caller)

    def _convert_alpha(self, values, alpha):
        """Return alpha as uint8, where 255 is opaque."""
        if alpha.dtype == np.uint8:
            return np.ascontiguousarray(alpha)
        if isinstance(self.value_range, tuple):
            raise BadSampleError(
                f"has an alpha channel of {alpha.dtype}, whose range"
                f" value_range={self.value_range} does not tell; drop it: image[..., :3]"
            )
        return np.ascontiguousarray(self._to_gray(alpha, values.stated))

    def _add_background(self, image, alpha, note):
        """Blend colors that were multiplied by alpha already with the background."""
        if note is not None and not alpha.any():
            note(Invisible())
        rest = 255 - alpha[..., None].astype(np.float64)
        color = np.asarray(image) + rest / 255 * np.array(self.background)
        return Image.fromarray(np.rint(color.clip(0, 255)).astype(np.uint8))


def parse_background(background):
    """Return the RGB triple of a color name, a hex string or a triple of 0 to 255."""
    if isinstance(background, str):
        try:
            return ImageColor.getrgb(background)[:3]
        except ValueError as error:
            raise ValueError(
                f"background={shorten(background)} is no color that Pillow knows; use a name"
                " such as 'white', a string such as '#ffffff', or a triple"
            ) from error
    triple = tuple(background)
    if len(triple) != 3 or not all(
        isinstance(v, (int, np.integer)) and 0 <= v <= 255 for v in triple
    ):
        shown = shorten(background)
        raise ValueError(f"background={shown}: expected three integers 0 to 255")
    return tuple(int(value) for value in triple)


def _open_content(content):
    """Return an upright 8-bit image of Pillow, or `_Values`."""
    if isinstance(content, np.ndarray):
        return _Values(check_array_sample(content))
    if isinstance(content, Image.Image):
        return _apply_orientation(content)
    try:
        decoded = decode_file(content)
    except BadFileError as error:
        raise BadSampleError(str(error)) from error
    if isinstance(decoded.pixels, Image.Image):
        return _apply_orientation(decoded.pixels, decoded.value_range)
    return _Values(
        decoded.pixels,
        stated=decoded.value_range,
        n_color_channels=decoded.n_color_channels,
        alpha=decoded.alpha,
        is_file=True,
    )


def _apply_orientation(image, stated=None):
    is_16_bit_file = image.mode == "I" and image.format in _SIXTEEN_BIT_FORMATS
    image = ImageOps.exif_transpose(image)
    if 0 in image.size:
        raise BadSampleError(f"has no pixels: {image.size[0]} x {image.size[1]}")
    if image.mode not in _WIDE_MODES:
        return image
    array = np.asarray(image)
    return _Values(array.astype(np.uint16) if is_16_bit_file else array, stated)


def _copy_values(opened):
    """Return a copy of the values of a sample; a palette is replaced by its colors."""
    if isinstance(opened, _Values):
        return opened.array.copy()
    if opened.mode == "P":
        opened = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    return np.array(opened)


def _to_rgb_mode(image):
    return image if image.mode == "RGB" else image.convert("RGB")


def _suggest_shape(shape, fitting, caller):
    """Return a suggestion for an array whose number of channels does not fit."""
    if len(shape) == 3 and shape[0] in fitting:
        return "; it has its channels first, put them last: image.transpose(1, 2, 0)"
    if len(shape) == 3 and fitting == (1, 3, 4):
        return _suggest_network(shape[2], caller)
    return ""


def _suggest_network(n, caller):
    network = ""
    if caller.takes("n_channels"):
        network = f", take a network of {n}: {caller.write(f'n_channels={n}')},"
    return (
        f"; choose one or three of its channels{network} or with a callable preprocess"
        f" {caller.write('value_range=None')}, which hands it the array"
    )


def _is_unlikely_alpha(alpha):
    """Whether fewer than half of the pixels are fully opaque or fully transparent."""
    return np.isin(alpha, (0, _OPAQUE)).mean() < 0.5
