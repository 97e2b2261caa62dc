"""Features that are learned from samples without labels."""

import copy
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_array, check_is_fitted

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._modalities.callers import Caller
from sklearn_transfer._modalities.image.samples import check_images, refuse_texts
from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._modalities.readers import RowReader
from sklearn_transfer._process.threads import run_here
from sklearn_transfer._validation import (
    check_feature_names_in,
    forget_fit,
    make_visual_block,
    shorten,
)
from sklearn_transfer.finetuning._pickling import Pickled, is_pickled
from sklearn_transfer.finetuning._states import PLAIN, find_device, to_arrays, to_tensors

_INPUT_SIZE = 32
# Samples whose pixels are in memory at once after `fit`.
_CHUNK = 1024
_HALF = (0.5, 0.5, 0.5)


class AutoencoderFeatures(
    Pickled, TransformerMixin, TakesCallbacks, LinksToDocumentation, BaseEstimator
):
    """Features learned from samples without labels, by an autoencoder.

    For the case in which samples are many, labels few, and no pretrained network knows such
    samples: other kinds of images, or tables. A small network turns each sample into a code
    from which a second one must rebuild it, from a damaged copy where `noise` or `mask` ask
    for that. Codes are features for any estimator, and `encoder_` is a network that
    `PretrainedFeatures` and `FineTunedClassifier` take as `model`. It is not for texts, which
    have no fixed size: see `PretrainedTextFeatures`.

    Parameters
    ----------
    n_components : int, default=64
        Length of the code.
    architecture : {"auto", "dense", "convolutional"}, default="auto"
        Kind of layers; "auto" is convolutional for images and for maps (channels, height,
        width), dense for all else.
    hidden : array-like of int, default=None
        Width of each block of the encoder; the decoder is its mirror image. Each block of a
        convolutional one halves the image. None is (256,) for dense layers, and for
        convolutions as much of (32, 64, 128) as brings the longer edge to 4 pixels or below.
    noise : float, default=0.0
        Standard deviation of Gaussian noise on what the encoder gets in training, where that
        of the input is 1 [2]_.
    mask : float, default=0.0
        Share of the input, from 0 to below 1, that is set to its mean in training: patches of
        an eighth of the edges with convolutional layers, features with dense ones. Worth a
        search: of digits 0.5 made better features than 0.3, of garments 0 better than 0.5.
    max_epochs : int, default=30
        Passes over the samples.
    lr : float, default=2e-3
        Largest learning rate of AdamW; it rises over a tenth of the steps and falls to 0.
    batch_size : int, default=64
        Samples per step.
    weight_decay : float, default=1e-4
        Decay of weights, other than biases and scales.
    early_stopping : bool or int, default=False
        Hold out `validation_fraction` of the samples, stop after this many epochs (True: 5)
        without a smaller error on them, and return to the best weights.
    validation_fraction : float, default=0.1
        Share that is held out; only with early stopping.
    input_size : int, default=None
        Edge in pixels of the square that images are scaled to; None is 32. Small images lose
        little at a small size, and time grows with its square.
    value_range : "auto", "dtype", (low, high) or None, default="auto"
        Which values are black and white, as in `PretrainedFeatures`.
    preprocess : "auto", callable or None, default="auto"
        "auto" brings images to `input_size`, by the shorter edge and a central crop, in three
        channels. A callable takes an upright RGB `PIL.Image` and returns an array (channels,
        height, width). None means that X holds numbers of shape (n_samples, ...); tables
        are accepted.
    background : str or (red, green, blue), default="white"
        Color under transparent pixels.
    device : str, default="auto"
        "auto" is a CUDA device where one can be used, else the CPU.
    random_state : int, RandomState instance or None, default=0
        Draws first weights, order, noise, masks and the samples held out.
    verbose : bool or int, default=False
        Show a progress bar.

    Attributes
    ----------
    encoder_ : torch.nn.Sequential
        Network from input to code, on the CPU, in evaluation mode. Its layers are "block1",
        "block2", ..., and "code"; without `preprocess="auto"` after "standardise", and where
        dense layers get images or maps after "flatten". With `preprocess="auto"`, timm's
        attribute `pretrained_cfg` says how images become its input.
    decoder_ : torch.nn.Sequential
        Network from code to standardized input.
    history_ : list of dict
        One entry per epoch, as `TrainingDisplay` draws them: "epoch", "phase", "train_loss",
        "valid_loss" with early stopping, "lr", "dur" in seconds, "best". Losses are mean
        squared errors in units of the input's variance; those of damaged copies where there
        is `noise` or `mask`.
    n_iter_ : int
        Epochs that were run.
    n_features_in_ : int
        Number of columns of X; only when `preprocess=None`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only when `preprocess=None` and X is a DataFrame.

    See Also
    --------
    PretrainedFeatures : Features of a network that others have trained; better on photos.
    FineTunedClassifier : Trains `encoder_` further, with labels.
    sklearn.decomposition.PCA : The best linear code.

    Notes
    -----
    With x the standardized input, d its damaged copy, f the encoder and g the decoder, the
    mean over samples and features of (g(f(d)) - x)^2 is minimized. f ends in a linear layer,
    so codes have any sign and scale: standardize them where an estimator asks for it. The
    input is standardized by feature (dense) or channel (images, convolutional layers);
    features that vary by less than a millionth of their mean, which is no more than rounding
    in float32, become 0: subtract the mean of such features first.

    Ctrl-C in training leaves the weights reached so far, with a warning. A pickle holds the
    layers as arrays and depends on content alone, as that of `FineTunedClassifier` does. Skops
    needs to trust only this class.

    Fitted twice on a CPU, the same samples give the same features; no other random state is
    changed. Labels are not looked at, so test rows must be kept from `fit` as from that of any
    other step. Images are in memory at `input_size`, in a temporary file from 2 GiB on
    (SKLEARN_TRANSFER_TRAINING_BYTES).

    References
    ----------
    .. [1] R. Raina et al. "Self-taught Learning: Transfer Learning from Unlabeled Data".
       ICML, 2007.
    .. [2] P. Vincent et al. "Stacked Denoising Autoencoders: Learning Useful Representations
       in a Deep Network with a Local Denoising Criterion". JMLR 11, 2010.
    .. [3] K. He et al. "Masked Autoencoders Are Scalable Vision Learners". CVPR, 2022 (the
       idea of `mask` for patches; networks here are small and convolutional).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_transfer import AutoencoderFeatures
    >>> X, y = load_digits(return_X_y=True)
    >>> features = AutoencoderFeatures(32, mask=0.3, max_epochs=2, preprocess=None)
    >>> features.fit(X[:500]).transform(X[500:]).shape
    (1297, 32)
    """

    on_error = "raise"

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "architecture": [StrOptions({"auto", "dense", "convolutional"})],
        "hidden": ["array-like", None],
        "noise": [Interval(Real, 0, None, closed="left")],
        "mask": [Interval(Real, 0, 1, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean", Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "input_size": [Interval(Integral, 1, None, closed="left"), None],
        "value_range": [StrOptions({"auto", "dtype"}), tuple, list, np.ndarray, None],
        "preprocess": [StrOptions({"auto"}), callable, None],
        "background": [str, "array-like"],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Readers recommend the options of this estimator.
    _caller = Caller("AutoencoderFeatures", refused=("n_channels",))

    def __init__(
        self,
        n_components=64,
        *,
        architecture="auto",
        hidden=None,
        noise=0.0,
        mask=0.0,
        max_epochs=30,
        lr=2e-3,
        batch_size=64,
        weight_decay=1e-4,
        early_stopping=False,
        validation_fraction=0.1,
        input_size=None,
        value_range="auto",
        preprocess="auto",
        background="white",
        device="auto",
        random_state=0,
        verbose=False,
    ):
        self.n_components = n_components
        self.architecture = architecture
        self.hidden = hidden
        self.noise = noise
        self.mask = mask
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.input_size = input_size
        self.value_range = value_range
        self.preprocess = preprocess
        self.background = background
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn to rebuild samples from a short code.

        Parameters
        ----------
        X : sequence of n_samples samples
            As `PretrainedFeatures` takes them: see there. No labels are needed.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a sample cannot be read, which is noticed before the training begins, or if
            parameters and samples do not fit.
        FloatingPointError
            If the error of reconstruction is NaN or infinite.
        """
        forget_fit(self)
        # What prepares the epochs is one task more.
        with self._open_fit(self.max_epochs + 1, X=X, y=y) as task:
            self._train(X, task)
        return self

    def _train(self, X, task):
        from sklearn_transfer._networks.devices import resolve_device
        from sklearn_transfer.finetuning import _autoencoder_training

        hidden = read_hidden(self.hidden)
        payloads = self._read_payloads(self._check_samples(X, reset=True), 0)
        self._scaling = None
        if self.preprocess == "auto":
            self._scaling = _autoencoder_training.compute_channel_statistics(payloads)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        shape = payloads.shape[1:]
        training = _autoencoder_training.AutoencoderTraining(
            payloads,
            self._scaling,
            {**self.get_params(deep=False), "hidden": hidden},
            resolve_device(self.device),
            seed,
            task=task,
            describe=partial(self._describe_reached, shape),
        )
        self._keep(training.run(), shape)

    def _describe_reached(self, shape, training):
        """Attributes of an estimator that is fitted by what a training has reached."""
        reached = copy.copy(self)
        reached._keep(training, shape)
        return vars(reached)

    def _read_payloads(self, samples, first):
        """What the network takes of samples, stacked; `first` is the row of the first one."""
        reader = self._make_spec().reader(self)
        if isinstance(reader, RowReader):
            return samples
        import torch

        from sklearn_transfer.finetuning._inputs import label_row, read_payloads

        n_threads = torch.get_num_threads()
        batch = read_payloads(
            samples, reader, n_threads, None, lambda row: label_row(first + row)
        )
        [array] = batch.values()
        return array

    def _check_samples(self, X, reset):
        samples = check_images(self, X, reset)
        refuse_texts(samples, type(self).__name__)
        return samples

    def _make_spec(self):
        """How images become input, before their mean is known."""
        edge = self.input_size or _INPUT_SIZE
        return ImageSpec((edge, edge), (edge, edge), _HALF, _HALF)

    def _keep(self, training, shape):
        self.encoder_, self.decoder_ = training.network.body, training.network.decoder
        self.history_ = training.history
        self.n_iter_ = len(self.history_)
        self._shape, self._n_codes = shape, self.n_components
        if self._scaling is not None:
            describe_input(self.encoder_, self._make_spec(), self._scaling)

    def __reduce_ex__(self, protocol):
        return run_here(super().__reduce_ex__, protocol)

    def __getstate__(self):
        """State of arrays and builtins, as skops writes it; pickles go another way."""
        state = super().__getstate__()
        if is_pickled(self) or not hasattr(self, "history_"):
            return state
        from sklearn_transfer.finetuning._autoencoder import describe_layers

        both = {"encoder_": self.encoder_, "decoder_": self.decoder_}
        layout = describe_layers(self.encoder_, self._shape, self._scaling is not None)
        weights = {name: to_arrays(module.state_dict()) for name, module in both.items()}
        config = getattr(self.encoder_, "pretrained_cfg", None)
        plain = {"layout": layout, "weights": weights, "config": config}
        return {**{n: v for n, v in state.items() if n not in both}, PLAIN: plain}

    def __setstate__(self, state):
        super().__setstate__({name: v for name, v in state.items() if name != PLAIN})
        if PLAIN not in state:
            return
        from sklearn_transfer.finetuning._autoencoder import build_layers

        plain = state[PLAIN]
        modules = build_layers(**plain["layout"])
        for name, module in zip(("encoder_", "decoder_"), modules, strict=True):
            module.load_state_dict(to_tensors(plain["weights"][name]))
            setattr(self, name, module.eval())
        if plain["config"] is not None:
            self.encoder_.pretrained_cfg = plain["config"]

    def _make_runner(self, module, scaling=None):
        """`Runner` of trained layers."""
        import torch

        from sklearn_transfer.finetuning._autoencoder_training import Runner

        is_table = self.preprocess is None and len(self._shape) == 1
        dtype = torch.float64 if is_table else torch.float32
        return Runner(module, torch.device(find_device(self.device)), dtype, scaling)

    def transform(self, X):
        """Codes of samples.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components), float32
            One row per sample.
        """
        return self._compute_codes(X)

    def _compute_codes(self, X):
        check_is_fitted(self, "history_")
        samples = self._check_samples(X, reset=False)
        run, parts = self._make_runner(self.encoder_, self._scaling), []
        for start in range(0, len(samples), _CHUNK):
            payloads = self._read_payloads(samples[start : start + _CHUNK], start)
            if payloads.shape[1:] != self._shape:
                raise ValueError(
                    f"X has samples of shape {payloads.shape[1:]}, but this"
                    f" {type(self).__name__} was fitted with {self._shape}"
                )
            parts.append(run(payloads))
        return np.concatenate(parts)

    def inverse_transform(self, X):
        """Samples from codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as `transform` gives them.

        Returns
        -------
        samples : ndarray, float32
            With `preprocess="auto"` images (n_samples, input_size, input_size, 3) in [0, 1],
            else of the shape that the network takes, in the units of X.
        """
        check_is_fitted(self, "history_")
        codes = check_array(X, dtype=np.float32)
        if codes.shape[1] != self._n_codes:
            raise ValueError(
                f"X has {codes.shape[1]} columns, expected the {self._n_codes} components"
                f" that {type(self).__name__}.transform gives"
            )
        rows = self._make_runner(self._find_decoder())(codes)
        if self._scaling is None:
            return rows
        mean, deviation = (np.asarray(v, dtype=np.float32) for v in self._scaling)
        return np.clip(rows.transpose(0, 2, 3, 1) * deviation + mean, 0, 1)

    def _find_decoder(self):
        """Layers from codes to samples in the units of X."""
        if self._scaling is not None:
            return self.decoder_
        from sklearn_transfer.finetuning._autoencoder import restore_units

        return restore_units(self.decoder_, self.encoder_.standardise)

    def reconstruct(self, X):
        """Samples as they are after encoding and decoding.

        What is lost shows what codes do not hold; a large error marks samples unlike those
        that the network has learned from.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.

        Returns
        -------
        samples : ndarray, float32
            As `inverse_transform` gives them.
        """
        return self.inverse_transform(self._compute_codes(X))

    def get_feature_names_out(self, input_features=None):
        """Names of the components: "code_0", "code_1", ...

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the names seen in `fit`, if there were any.

        Returns
        -------
        names : ndarray of str objects of shape (n_components,)
            One name per column of `transform`.
        """
        check_is_fitted(self, "history_")
        check_feature_names_in(self, input_features)
        names = [f"code_{i}" for i in range(self._n_codes)]
        return np.asarray(names, dtype=object)

    def _sk_visual_block_(self):
        kind = f"{self.architecture}, {self.n_components} components"
        return make_visual_block(self, f"{kind}, noise={self.noise:g}, mask={self.mask:g}")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        if self.preprocess is not None:
            tags.input_tags.two_d_array = False
            tags.input_tags.three_d_array = True
            tags.input_tags.string = True
        return tags


def read_hidden(hidden):
    """Return the widths of the blocks, or None for the default."""
    if hidden is None:
        return None
    widths = list(hidden)
    if not widths or not all(isinstance(w, Integral) and w > 0 for w in widths):
        raise ValueError(
            f"hidden={shorten(hidden)}: expected the width of each block, as (256,"
            " 128), or None for the default"
        )
    return [int(width) for width in widths]


def describe_input(encoder, spec, scaling):
    """Record on the encoder what input it takes, as networks of timm do."""
    encoder.pretrained_cfg = {
        "input_size": spec.shape,
        "mean": scaling[0],
        "std": scaling[1],
        "interpolation": spec.interpolation,
        "crop_mode": spec.crop_mode,
        "crop_pct": 1.0,
    }
