"""Images to features in a space of texts, by the names of a network's classes."""

from numbers import Integral

import numpy as np
from scipy.sparse import issparse
from scipy.special import softmax
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
    clone,
)
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._validation import shorten
from sklearn_transfer.extraction._features import PretrainedFeatures
from sklearn_transfer.extraction._text import PretrainedTextFeatures


class ConSE(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    TakesCallbacks,
    LinksToDocumentation,
    BaseEstimator,
):
    """Features of images in a space of texts, to classify them by descriptions.

    A network that knows the thousand classes of ImageNet places each image at a convex
    combination of semantic embeddings (ConSE [1]_): the mean of the vectors of the texts that
    describe its likeliest classes, weighted by their probabilities. There an image can be
    compared with any text, so that `ZeroShotClassifier(method="cosine")` predicts classes that
    are described in words, without one labeled image. The default networks come with this
    package and its extra `text`, and need no download.

    Use it where no image is labeled and your classes are of the kind that ImageNet shows:
    animals, plants, food, clothes, vehicles, tools, buildings. With a few labeled images per
    class, `PretrainedFeatures` with a linear model is better, and so is a network that was
    trained on pairs of images and texts, where you have one.

    Parameters
    ----------
    image : PretrainedFeatures or None, default=None
        Classifier of images; its `layers` is None or "logits", and its logits are taken in any
        case. None is `PretrainedFeatures()`.
    text : estimator or None, default=None
        Turns texts into vectors by `transform`. None is `PretrainedTextFeatures()`.
    n_top : int or None, default=10
        Number of an image's likeliest classes that are averaged, T in [1]_. 1 takes the
        likeliest class alone, None takes all.
    class_names : sequence of str or None, default=None
        A text for each output of the classifier, in order. None is what the network's
        configuration says, or the classes of ImageNet, by their synonyms and definitions in
        WordNet, for networks of timm and torchvision that have so many outputs (1k, 12k, and
        the versions of 21k).

    Attributes
    ----------
    class_names_ : list of str
        The text of each class.
    class_vectors_ : ndarray of shape (n_outputs, n_features), float32
        Its vector, of length one.
    image_, text_ : estimator
        Fitted clones of both parts.

    See Also
    --------
    ZeroShotClassifier : Predicts the class whose description is nearest.
    PretrainedFeatures : Features of images, also of dual encoders, which have texts and images
        in one space.

    Notes
    -----
    With probabilities p of the T likeliest classes, divided by their sum, and vectors s of
    length one of their texts, the features of an image are ``sum_t p_t s_t``. Their cosines
    with descriptions are what is meant to be compared.

    `fit` learns nothing from X. It embeds the texts of a thousand classes, which takes a few
    seconds once per process, or once at all where `text` has a folder as `cache`. Logits are
    cached by `image`, under the layer "logits": a search over `n_top` or over descriptions
    sends no image through the network again. Where embeddings of the same images are needed
    too, `PretrainedFeatures().precompute(X, layers=[None, "logits"])` takes one pass for both.

    Cosines with such means differ less than those of a dual encoder, for which the head's
    temperature of 0.01 is meant, and probabilities of it are too certain: 0.87 on average
    where 0.32 are right. `ZeroShotClassifier(temperature=0.1)` suits them better (0.31 there),
    and with some labels the head finds its own.

    It cannot tell apart what ImageNet's classes do not show. For ten kinds of garments in the
    gray pictures of Fashion-MNIST, printed dark on white, the accuracy is 0.32 (chance 0.1).
    The defaults, T = 10 and texts with definitions, were chosen there (0.25 with T = 1, 0.27
    with the first synonym alone); a prompt such as "a photo of a" made it worse. On crops of
    15 photos they gave 0.43 with one word per class and 0.48 with a few words (chance 0.07):
    above 0.9 for a cat, a cup of coffee, a flower, a rocket and a brick wall, and below 0.1
    for galaxies, a retina and the surface of the moon. Drawings and emoji are hardly
    recognized.

    References
    ----------
    .. [1] Norouzi, M. et al. (2014). Zero-shot learning by convex combination of semantic
       embeddings. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_transfer import ConSE, PretrainedTextFeatures, ZeroShotClassifier
    >>> images = load_sample_images().images  # a palace and a dahlia
    >>> words = ["a temple", "a flower", "a dog", "a car"]
    >>> head = ZeroShotClassifier(method="cosine", describer=PretrainedTextFeatures())
    >>> model = make_pipeline(ConSE(), head).fit(images, zeroshotclassifier__attributes=words)
    >>> model.predict(images).tolist()
    ['a temple', 'a flower']
    """

    _parameter_constraints: dict = {
        "image": [PretrainedFeatures, None],
        "text": [HasMethods(["fit", "transform"]), None],
        "n_top": [Interval(Integral, 1, None, closed="left"), None],
        "class_names": ["array-like", None],
    }

    def __init__(self, image=None, text=None, *, n_top=10, class_names=None):
        self.image = image
        self.text = text
        self.n_top = n_top
        self.class_names = class_names

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Build the networks and embed the names of the classes; nothing is learned from X.

        Parameters
        ----------
        X : sequence of n_samples samples
            Images as `PretrainedFeatures` takes them.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted.
        """
        image = self._get_image()
        if image.layers not in (None, "logits"):
            raise ValueError(
                f"image has layers={shorten(image.layers)}, but probabilities of classes are"
                " needed; leave it at None"
            )
        self.image_ = clone(image).set_params(layers="logits").fit(X)
        self.class_names_ = self._name_classes()
        text = PretrainedTextFeatures() if self.text is None else self.text
        self.text_ = clone(text).fit(self.class_names_)
        vectors = self.text_.transform(self.class_names_)
        vectors = vectors.toarray() if issparse(vectors) else np.asarray(vectors, dtype=float)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(norms == 0, 1.0, norms)
        self.class_vectors_ = vectors.astype(np.float32)
        return self

    def _get_image(self):
        return PretrainedFeatures() if self.image is None else self.image

    def _name_classes(self):
        """Text of each output of the classifier."""
        backbone = self.image_._load_backbone()
        n_outputs = len(self.image_.get_feature_names_out())
        if self.class_names is None:
            from sklearn_transfer._networks.class_names import find_class_texts

            texts = find_class_texts(backbone, n_outputs)
            if texts is None:
                raise ValueError(
                    f"The {n_outputs} outputs of {backbone.label} have no known names: pass"
                    " class_names with a text for each, or a network that was trained on"
                    " ImageNet"
                )
            return texts
        texts = list(self.class_names)
        if len(texts) != n_outputs:
            raise ValueError(
                f"class_names has {len(texts)} texts, but {backbone.label} has {n_outputs}"
                " outputs: give one text per output, in order"
            )
        wrong = [text for text in texts if not isinstance(text, str)]
        if wrong:
            raise ValueError(
                f"class_names holds {shorten(wrong[0])}, expected one text per output"
            )
        return texts

    def transform(self, X):
        """Features of each image in the space of texts.

        Parameters
        ----------
        X : sequence of n_samples samples
            Images as `PretrainedFeatures` takes them.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features), float32
            One row per image, as wide as the vectors of texts. With `on_error="nan"` of
            `image`, rows of images that cannot be read are NaN.
        """
        check_is_fitted(self)
        logits = self.image_.transform(X)
        probabilities = softmax(np.asarray(logits, dtype=np.float64), axis=1)
        n_outputs = probabilities.shape[1]
        if self.n_top is not None and self.n_top < n_outputs:
            others = np.argsort(-probabilities, axis=1, kind="stable")[:, self.n_top :]
            np.put_along_axis(
                probabilities, others, np.where(np.isnan(probabilities[:, :1]), np.nan, 0), 1
            )
            probabilities /= probabilities.sum(axis=1, keepdims=True)
        return (probabilities @ self.class_vectors_).astype(np.float32)

    @property
    def _n_features_out(self):
        return self.class_vectors_.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self._get_image()).input_tags
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
