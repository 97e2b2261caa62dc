"""Small real data sets that need no network."""

import io
import math
import os
import warnings
from importlib.resources import files
from itertools import product
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_transfer._sampling import draw_seed
from sklearn_transfer._validation import import_optional, shorten, suggest_near

__all__ = ["load_photo_crops"]

_PHOTOS = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "flower": "flower.jpg",
    "galaxies": "hubble_deep_field.jpg",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "moon": "moon.png",
    "pagoda": "china.jpg",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "tissue": "ihc.png",
}
_FROM_SKLEARN = {"flower", "pagoda"}

_DESCR = """\
Photo crops
-----------

Random windows of fifteen photographs, each photograph one class. A window has 0.4 to
0.69 times the short side of its photo, lies anywhere in it, is turned by any angle and
filled to the corners; then contrast (0.65 to 1.35 times), brightness (2**-0.8 to 2**0.4
times) and the balance of the color channels (2**-0.2 to 2**0.2 times each) change.

Windows of one class overlap. A good score therefore shows robustness to position,
rotation and lighting; it says nothing about other photos of the same subject.

=========  =====================  =====================================================
class      file                   source and license, as stated by the package
=========  =====================  =====================================================
astronaut  astronaut.png          NASA, public domain
brick      brick.png              CC0Textures, CC0
camera     camera.png             Lav Varshney, CC0
cat        chelsea.png            Stefan van der Walt, CC0
coffee     coffee.png             Rachel Michetti, Pikolo Espresso Bar, CC0
coins      coins.png              Brooklyn Museum, no known copyright restrictions
flower     flower.jpg             danielbuechele, CC BY 2.0 (scikit-learn)
galaxies   hubble_deep_field.jpg  NASA, public domain
grass      grass.png              linolafett, CC0
gravel     gravel.png             CC0Textures, CC0
moon       moon.png               not stated
pagoda     china.jpg              danielbuechele, CC BY 2.0 (scikit-learn)
retina     retina.jpg             Mikael Haggstrom, CC0
rocket     rocket.jpg             SpaceX, public domain
tissue     ihc.png                CMMI, no known copyright restrictions
=========  =====================  =====================================================

Files come with scikit-image except the two marked. Nothing is downloaded.
"""

_LUMINANCE = [0.299, 0.587, 0.114]  # ITU-R BT.601


@validate_params(
    {
        "n_per_class": [Interval(Integral, 1, None, closed="left")],
        "size": [Interval(Integral, 8, None, closed="left")],
        "classes": ["array-like", None],
        "shift": [str, None],
        "severity": [Interval(Real, 0, 1, closed="right")],
        "folder": [str, os.PathLike, None],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_photo_crops(
    n_per_class=20,
    *,
    size=160,
    classes=None,
    shift=None,
    severity=1.0,
    folder=None,
    random_state=0,
    return_X_y=False,
):
    """Load random crops of fifteen real photos, one photo per class (classification).

    A quick, honest check that a network's features recognize something when a few
    images per class are known: position, rotation and lighting differ between crops.
    With `shift`, the same crops as another camera would have taken them: a target
    domain of known severity. No network access; needs scikit-image for all classes
    but "flower" and "pagoda".

    =================  ================
    Classes                          15
    Samples per class       any, random
    Sample              uint8 RGB image
    =================  ================

    Parameters
    ----------
    n_per_class : int, default=20
        Number of crops of each photo.

    size : int, default=160
        Height and width of a crop in pixels, at least 8.

    classes : array-like of str, default=None
        The photos to use; None uses all: astronaut, brick, camera, cat, coffee, coins,
        flower, galaxies, grass, gravel, moon, pagoda, retina, rocket and tissue.

    shift : {"dark", "blurred", "noisy", "gray", "recolored"} or None, default=None
        How the domain differs from the plain crops, which None returns.

        - "dark": gray levels times ``1 - 0.9 * severity``;
        - "blurred": Gaussian blur, standard deviation ``size / 40 * severity`` pixels;
        - "noisy": Gaussian noise, independent in each pixel and channel, standard
          deviation ``60 * severity`` gray levels, then clipped to 0..255;
        - "gray": each channel moved by the fraction `severity` of its distance to the
          luminance (ITU-R BT.601), so that 1 leaves no color;
        - "recolored": red moved by the fraction `severity` of its distance to green,
          green to blue, blue to red, so that 1 turns every hue by 120 degrees; photos
          without color hardly change.

        .. deprecated:: 0.1
           "grey" and "recoloured", which warn and are removed in version 0.2.

    severity : float, default=1.0
        Strength of `shift`, above 0 (almost none) up to 1. Ignored without `shift`.

    folder : str or path-like, default=None
        Write the crops as JPEG files (quality 92) to this folder, created if missing,
        and return their paths instead of the pixels. Names tell class, number, size,
        seed and shift, as in ``coffee_003_160px_seed0_dark0.5.jpg``, so that calls with
        other arguments never overwrite each other. Files already there that are the
        same stay untouched.

    random_state : int, RandomState instance or None, default=0
        Determines the crops, the lighting and the noise. Crop number `i` of a class
        depends on an int only, not on `n_per_class`, `classes` or `shift`. Pass None
        for different crops at each call.

    return_X_y : bool, default=False
        If True, return ``(images, target)``, or ``(filenames, target)`` with `folder`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        images : ndarray of shape (n_samples, size, size, 3), dtype uint8
            The crops. Only without `folder`.
        filenames : ndarray of shape (n_samples,), dtype str
            Paths of the crops. Only with `folder`.
        target : ndarray of shape (n_samples,), dtype str
            Class of each crop, as its name: scikit-learn's classifiers take strings,
            and predictions need no translation. Classes alternate, so the first
            ``k * n_classes`` samples hold `k` of each.
        target_names : list of str
            The classes, sorted.
        DESCR : str
            Description, with source and license of each photo.

    (images, target) or (filenames, target) : tuple if `return_X_y` is True
        The samples and their classes.

    See Also
    --------
    shift_report : How the plain and the shifted crops differ.
    sklearn.datasets.load_sample_images : Two of the photos, whole.

    Notes
    -----
    The photos are those shipped inside the wheels of scikit-learn (Creative Commons
    Attribution 2.0) and scikit-image (public domain or CC0 where its documentation
    states a license); `DESCR` lists them.

    Crops of a class come from the same photo and overlap: the scores measure robustness
    to position, rotation and lighting, not recognition of other objects of that kind.

    Pixels are reproducible for one version of Pillow; another one may differ by a gray
    level. Without `folder`, all crops are held in memory, ``3 * size**2`` bytes each; with
    it, one at a time.

    Examples
    --------
    >>> from sklearn_transfer.datasets import load_photo_crops
    >>> data = load_photo_crops(2, size=32, classes=["flower", "pagoda"])
    >>> data.images.shape, data.images.dtype
    ((4, 32, 32, 3), dtype('uint8'))
    >>> print(*data.target)
    flower pagoda flower pagoda
    >>> dark = load_photo_crops(
    ...     2, size=32, classes=["flower", "pagoda"], shift="dark", severity=0.5
    ... )
    >>> print(f"{dark.images.mean() / data.images.mean():.2f}")
    0.55
    """
    labels = _check_classes(classes)
    shift = _resolve_shift(shift)
    seed = random_state
    if not isinstance(seed, Integral):
        seed = draw_seed(check_random_state(seed))

    crops = _generate(labels, n_per_class, size, shift, severity, seed)
    if folder is None:
        samples = np.empty((len(labels) * n_per_class, size, size, 3), np.uint8)
        for row, (_, _, pixels) in enumerate(crops):
            samples[row] = pixels
    else:
        folder = Path(folder).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        domain = "" if shift is None else f"_{shift}{float(severity)}"
        samples = []
        for label, number, pixels in crops:
            name = f"{label}_{number:03d}_{size}px_seed{seed}{domain}.jpg"
            _write_jpeg(folder / name, pixels)
            samples.append(str(folder / name))
        samples = np.array(samples)

    target = np.tile(labels, n_per_class)
    if return_X_y:
        return samples, target
    kind = "images" if folder is None else "filenames"
    return Bunch(**{kind: samples}, target=target, target_names=labels, DESCR=_DESCR)


def _check_classes(classes):
    if classes is None:
        return sorted(_PHOTOS)
    for label in classes:
        if label not in _PHOTOS:
            raise ValueError(
                f"classes holds {shorten(label)}; expected names among {sorted(_PHOTOS)}."
                + suggest_near(label, _PHOTOS)
            )
    if len(set(classes)) != len(classes) or len(classes) == 0:
        raise ValueError(
            f"classes={shorten(classes)} is empty or names a class twice: give each class once"
        )
    return sorted(map(str, classes))


def _resolve_shift(shift):
    """Return the name of a shift in its current spelling."""
    if shift in _OLD_SHIFTS:
        warnings.warn(
            f"shift={shift!r} is now called {_OLD_SHIFTS[shift]!r}, and the old name will be "
            "removed in version 0.2. Give the new one.",
            FutureWarning,
            stacklevel=4,
        )
        return _OLD_SHIFTS[shift]
    if shift is not None and shift not in _SHIFTS:
        raise ValueError(
            f"shift={shorten(shift)} is unknown; expected one of {sorted(_SHIFTS)} or None."
            + suggest_near(shift, _SHIFTS)
        )
    return shift


def _generate(labels, n_per_class, size, shift, severity, seed):
    """Yield class, number and pixels of each crop; classes alternate."""
    photos = {label: _open_photo(label) for label in labels}
    for number, label in product(range(n_per_class), labels):
        rng = np.random.default_rng([seed, number, *label.encode()])
        pixels = _relight(_crop(photos[label], size, rng), rng)
        if shift is not None:
            pixels = _convert_to_uint8(_SHIFTS[shift](pixels, severity, rng))
        yield label, number, pixels


def _open_photo(label):
    from PIL import Image

    if label in _FROM_SKLEARN:
        photos = files("sklearn.datasets.images")
    else:
        import_optional("skimage", "examples", f"load_photo_crops for {shorten(label)}")
        # Not skimage.data.coffee() and the like, which may start a download.
        photos = files("skimage") / "data"
    with Image.open(photos / _PHOTOS[label]) as photo:
        return photo.convert("RGB")


def _crop(photo, size, rng):
    """A square window of `photo`, turned and scaled to `size`, filled to the corners."""
    from PIL.Image import Resampling, Transform

    angle = rng.uniform(0, 360)
    side = rng.uniform(0.4, 0.69) * min(photo.size)
    radians = math.radians(angle)
    # Half the upright box around the turned window, and two pixels to interpolate.
    reach = side * (abs(math.cos(radians)) + abs(math.sin(radians))) / 2 + 2
    x, y = (rng.uniform(reach, length - reach) for length in photo.size)
    left, upper = math.floor(x - reach), math.floor(y - reach)
    box = photo.crop((left, upper, math.ceil(x + reach), math.ceil(y + reach)))
    x, y = x - left, y - upper
    start_x, start_y = round(x - side / 2), round(y - side / 2)
    width, height = round(x + side / 2) - start_x, round(y + side / 2) - start_y
    # The pixels are those of `rotate` and `crop`, but only the ones kept are computed.
    cos, sin = math.cos(radians), math.sin(radians)
    dx, dy = start_x - x, start_y - y
    turn = (cos, -sin, x + cos * dx - sin * dy, sin, cos, y + sin * dx + cos * dy)
    window = box.transform((width, height), Transform.AFFINE, turn, Resampling.BICUBIC)
    # Cut out before scaling, since `resize(box=)` averages over pixels outside of the box.
    return np.asarray(window.resize((size, size), Resampling.BICUBIC))


def _relight(pixels, rng):
    """Random contrast, brightness and color cast."""
    mean = pixels.mean()
    pixels = mean + rng.uniform(0.65, 1.35) * (pixels - mean)
    return _convert_to_uint8(
        pixels * 2 ** (rng.uniform(-0.8, 0.4) + rng.uniform(-0.2, 0.2, 3))
    )


def _convert_to_uint8(pixels):
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _darken(pixels, severity, rng):
    return pixels * (1 - 0.9 * severity)


def _blur(pixels, severity, rng):
    from PIL import Image, ImageFilter

    blur = ImageFilter.GaussianBlur(len(pixels) / 40 * severity)
    return np.asarray(Image.fromarray(pixels).filter(blur))


def _add_noise(pixels, severity, rng):
    return pixels + rng.normal(0, 60 * severity, pixels.shape)


def _remove_color(pixels, severity, rng):
    luminance = (pixels @ _LUMINANCE)[..., None]
    return pixels + severity * (luminance - pixels)


def _rotate_channels(pixels, severity, rng):
    return pixels + severity * (np.roll(pixels, -1, axis=-1) - 1.0 * pixels)


_SHIFTS = {
    "blurred": _blur,
    "dark": _darken,
    "gray": _remove_color,
    "noisy": _add_noise,
    "recolored": _rotate_channels,
}
_OLD_SHIFTS = {"grey": "gray", "recoloured": "recolored"}


def _write_jpeg(path, pixels):
    """Write unless the file is there already: its time stamp is a cache key."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=92)
    if not path.is_file() or path.read_bytes() != buffer.getvalue():
        path.write_bytes(buffer.getvalue())
