"""Display of the parts of an image that a prediction rests on."""

from numbers import Real

import numpy as np

from sklearn_transfer._validation import shorten, suggest_near
from sklearn_transfer.plotting._axes import prepare_axes
from sklearn_transfer.plotting._samples import read_picture

_STEPS = 2  # places of the patch within its own side


class OcclusionDisplay:
    """Parts of an image without which a classifier is less sure, as a map over the image.

    It shows whether a prediction rests on the thing or on what lies beside it, such as a
    ruler or a watermark. It works for any classifier of images. Create it with
    `from_estimator`.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3)
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
        The map over it: red where covering lowers the probability, blue where it raises it.
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
    side, and the classifier is asked about each picture [1]_, 100 of them for a patch of a
    fifth of the side. A part that is one of several reasons shows little, since the others
    remain; and a patch is a thing that the network did not see in training.

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
            The image, in any form that `PretrainedFeatures` takes.
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
        image = read_picture(image)
        windows = _list_windows(image.shape[:2], patch)
        covered = np.repeat(image[None], len(windows) + 1, axis=0)
        for number, window in enumerate(windows):
            covered[number][window] = image.mean(axis=(0, 1))
        probabilities = np.asarray(estimator.predict_proba(covered))
        place = _find_class(estimator.classes_, label, probabilities[-1])
        sure = probabilities[:, place]
        drop, count = np.zeros(image.shape[:2]), np.zeros(image.shape[:2])
        for window, value in zip(windows, sure[-1] - sure[:-1], strict=True):
            drop[window] += value
            count[window] += 1
        return cls(
            image=image,
            drop=drop / count,
            label=np.asarray(estimator.classes_)[place].item(),
            probability=float(sure[-1]),
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
        self.ax_, self.figure_ = prepare_axes(ax, "OcclusionDisplay.plot")
        self.picture_ = self.ax_.imshow(self.image.mean(axis=2), cmap="gray", vmin=0, vmax=255)
        largest = max(float(np.abs(self.drop).max()), 1e-3)
        options = {"cmap": "RdBu_r", "alpha": 0.5, "vmin": -largest, "vmax": largest}
        self.map_ = self.ax_.imshow(self.drop, **options)
        self.colorbar_ = self.figure_.colorbar(self.map_, ax=self.ax_)
        self.colorbar_.set_label("Fall in probability where covered")
        self.ax_.set_xticks([])
        self.ax_.set_yticks([])
        self.ax_.set_title(f"{self.label} (probability {self.probability:.2f})", fontsize=10)
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
    known = np.asarray(classes).tolist()
    if label not in known:
        raise ValueError(
            f"label={shorten(label)} is none of the classes that estimator knows."
            + suggest_near(label, known)
        )
    return known.index(label)
