"""Display of the parts of an image that a prediction rests on."""

from numbers import Real

import numpy as np

from sklearn_transfer._validation import shorten, suggest_near
from sklearn_transfer.plotting._axes import prepare_axes
from sklearn_transfer.plotting._samples import read_picture

_STEPS = 2  # places of the patch within its own side
_LEAST_RANGE = 0.05  # of probability, so that rounding is not shown in full color
_BYTES = 1 << 26  # of covered pictures at once


class OcclusionDisplay:
    """Parts of an image without which a classifier is less sure, as a map over the image.

    It shows whether a prediction rests on the thing or on what lies beside it, such as a
    ruler or a watermark. It works for any classifier of images. Create it with
    `from_estimator`.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
        The image.
    drop : ndarray of shape (height, width)
        How much the probability falls where a pixel is covered, as the mean over patches that
        cover it.
    label : object
        The class whose probability it is.
    probability : float
        That of the image as it is.

    Attributes
    ----------
    picture_ : AxesImage
        The image.
    map_ : AxesImage
        The map over it: red where covering lowers the probability, blue where it raises it,
        and the more opaque the more. Colors span changes of 0.05 or more.
    colorbar_ : Colorbar
        Scale of the map.
    ax_ : Axes
        Axes drawn on.
    figure_ : Figure
        Figure of the axes.

    See Also
    --------
    NeighborsDisplay : Training samples that are nearest to others.

    Notes
    -----
    A square patch of the image's mean color is moved over the image in steps of half its
    side, also over its edges, and the classifier is asked about each picture [1]_, some 120
    to 150 of them for a patch of a fifth of the side: make large photos smaller before. A
    part that is one of several reasons shows little, since the others remain; and a patch is a
    thing that the network did not see in training.

    References
    ----------
    .. [1] M. Zeiler, R. Fergus. "Visualizing and Understanding Convolutional Networks".
       ECCV, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from sklearn_transfer.plotting import OcclusionDisplay
    >>> dark, bright = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 200, np.uint8)
    >>> pixels = FunctionTransformer(lambda X: np.reshape(X, (len(X), -1)) / 255)
    >>> model = make_pipeline(pixels, LogisticRegression()).fit([dark, bright], [0, 1])
    >>> OcclusionDisplay.from_estimator(model, bright).label
    1
    """

    def __init__(self, *, image, drop, label, probability):
        self.image = image
        self.drop = drop
        self.label = label
        self.probability = probability

    @classmethod
    def from_estimator(cls, estimator, image, *, label=None, patch=0.2, ax=None):
        """The map of one image.

        Parameters
        ----------
        estimator : classifier
            Fitted, with `predict_proba` for arrays of images (height, width, 3) of uint8.
        image : path, bytes, PIL.Image or array
            The image, in any form that `PretrainedFeatures` takes. An array of other than 1,
            3 or 4 channels is passed to the classifier in its own type.
        label : object, default=None
            Class whose probability is shown; None is the predicted one.
        patch : float, default=0.2
            Side of the patch as a share of that of the image, above 0 and at most 1.
        ax : Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        display : OcclusionDisplay
        """
        if not hasattr(estimator, "predict_proba"):
            raise ValueError(
                f"{type(estimator).__name__} has no predict_proba, whose changes are shown:"
                " give a classifier with probabilities, such as one in CalibratedClassifierCV"
            )
        if not isinstance(patch, Real) or not 0 < patch <= 1:
            raise ValueError(f"patch={shorten(patch)}, expected a number above 0, at most 1")
        image = _read_image(image)
        windows = _list_windows(image.shape[:2], patch)
        probabilities = _predict_covered(estimator, image, windows)
        classes = np.asarray(estimator.classes_).tolist()
        place = _find_class(classes, label, probabilities[0])
        sure = probabilities[:, place]
        drop, count = np.zeros(image.shape[:2]), np.zeros(image.shape[:2])
        for window, value in zip(windows, sure[0] - sure[1:], strict=True):
            drop[window] += value
            count[window] += 1
        return cls(
            image=image,
            drop=drop / count,
            label=classes[place],
            probability=float(sure[0]),
        ).plot(ax)

    def plot(self, ax=None):
        """Draw the image and the map.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        display : OcclusionDisplay
        """
        if ax is not None and getattr(self, "ax_", None) is ax:
            self.colorbar_.remove()
        self.ax_, self.figure_ = prepare_axes(ax, "OcclusionDisplay.plot")
        is_rgb = self.image.dtype == np.uint8
        limits = {"vmin": 0, "vmax": 255} if is_rgb else {}
        self.picture_ = self.ax_.imshow(self.image.mean(axis=2), cmap="gray", **limits)
        largest = max(float(np.abs(self.drop).max()), _LEAST_RANGE)
        # What hardly matters stays visible as it is.
        alpha = 0.75 * np.sqrt(np.abs(self.drop) / largest)
        options = {"cmap": "RdBu_r", "alpha": alpha, "vmin": -largest, "vmax": largest}
        self.map_ = self.ax_.imshow(self.drop, **options)
        self.colorbar_ = self.figure_.colorbar(self.map_, ax=self.ax_)
        self.colorbar_.set_label("Fall in probability where covered")
        self.ax_.set_xticks([])
        self.ax_.set_yticks([])
        title = f"{self.label} (probability {self.probability:.2f})"
        self.ax_.set_title(title, fontsize=10, parse_math=False)
        return self


def _list_windows(shape, patch):
    """Slices of rows and columns of all places of the patch, which cover each pixel."""
    spans = []
    for length in shape:
        side = max(round(patch * length), 1)
        step = max(side // _STEPS, 1)
        starts = range(step - side, length, step)
        spans.append([slice(max(start, 0), start + side) for start in starts])
    return [(rows, columns) for rows in spans[0] for columns in spans[1]]


def _find_class(classes, label, probabilities):
    if label is None:
        return int(np.argmax(probabilities))
    if label not in classes:
        raise ValueError(
            f"label={shorten(label)} is none of the classes that estimator knows."
            + suggest_near(label, classes)
        )
    return classes.index(label)


def _read_image(image):
    """An image as an RGB array, or an array of other channels as it is."""
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] not in (1, 3, 4):
        return image
    return read_picture(image)


def _predict_covered(estimator, image, windows):
    """Probabilities for the image, and then with each window covered by its mean color."""
    color = image.mean(axis=(0, 1))
    if image.dtype.kind in "iu":
        color = np.rint(color)
    n_at_once, found = max(_BYTES // image.nbytes, 1), []
    for start in range(0, len(windows) + 1, n_at_once):
        part = [None, *windows][start : start + n_at_once]
        covered = np.repeat(image[None], len(part), axis=0)
        for number, window in enumerate(part):
            if window is not None:
                covered[number][window] = color
        found.append(np.asarray(estimator.predict_proba(covered)))
    return np.concatenate(found)
