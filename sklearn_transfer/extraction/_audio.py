"""Sounds and time series to features."""

from numbers import Real

from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._modalities.audio.front_ends import LOWEST_SOUND
from sklearn_transfer._modalities.audio.pictures import describe_pictures
from sklearn_transfer._modalities.audio.samples import (
    as_sounds,
    count_channels,
    refuse_other_samples,
)
from sklearn_transfer._modalities.audio.spec import AudioSpec
from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._validation import shorten
from sklearn_transfer.extraction._base import _BasePretrained


class PretrainedAudioFeatures(_BasePretrained):
    """Features of sounds and time series from a frozen, pretrained network.

    The first step of a pipeline when labeled recordings are few: a network that has heard
    hundreds of thousands of hours turns each of yours into a vector on which a linear model
    does well. Each sound passes the network once, however many folds, clones and grid points
    ask for it, and with a folder as `cache` once for all processes and sessions.

    The default network comes with the extra `audio`. It is the encoder of Whisper, a network
    that was trained to write down English speech: its early layers serve for who speaks and
    what kind of sound it is, its late ones for what is said. Any network of images works as
    well, on pictures of the sound, and needs no further package; it is the baseline, and the
    way for time series of sensors.

    Parameters
    ----------
    model : str, path, torch.nn.Module or callable, default="whisper-tiny.en"
        The packaged network of that name; an encoder of transformers
        ("transformers/facebook/wav2vec2-base": wav2vec 2.0, HuBERT, Whisper, AST, CLAP's tower
        of sounds), of a model hub ("hf-hub:OWNER/NAME") or a local folder in that layout; a
        network of images, of timm ("tf_efficientnet_lite0", which is on board) or torchvision,
        that is given log-mel pictures [2]_; or a module, which is copied and never trained or
        changed. A module says what it takes by attributes: `feature_extractor` is one of
        transformers; `sampling_rate` makes it called with waveforms (n, samples) of that rate,
        or (n, n_channels, samples) with an attribute `n_channels` above 1; `pretrained_cfg` of
        timm makes it a network of images.
    weights : "pretrained", None, path or dict, default="pretrained"
        "pretrained" looks into installed packages, then into the local cache, then at the
        hub; for a folder or a module it means the weights that it has. None draws random
        weights from `random_state`, the control that shows what pretraining brings. A path
        is a file with a state dict, read without executing anything; a dict is a state dict.
    layers : str, int, None or list of these, default=None
        Where features are taken. None is the embedding; "shallow", "middle" and "deep" are
        the layers at a quarter, half and the full depth; an int is the index of a layer; any
        other string is the name of a module. Features of a list are concatenated. Only the
        part up to the deepest layer runs.
    pooling : {"auto", "avg", "max", "gem", "cls", "flatten"}, default="auto"
        How the states of a sound become a vector. "auto" does what the network's own head
        does, and is the mean over the frames where there is none. Only frames that hold sound
        count, and none of the silence that a network needs after a short sound. "flatten" is
        for pictures alone.
    sampling_rate : float or None, default=None
        Samples per second of arrays that state none, in Hz. Files and pairs (waveform,
        sampling_rate) have rates of their own. Below 4000 Hz, arrays are time series: see the
        notes.
    window : float or None, default=None
        Seconds of a window into which longer sounds are cut; features of a sound are the mean
        of those of its windows, weighted by their seconds of sound. None is the longest that
        the network takes: 30 s for Whisper and waveforms, 5 s for pictures, 1024 samples for
        pictures of time series.
    overlap : float, default=0.0
        Share of a window, below 1, with which the next one begins.
    channels : {"auto", "mean", "separate"}, default="auto"
        What several channels become. "mean" mixes them to one. "separate" passes each through
        the network, one after the other, and puts their features side by side, which suits
        sensors. "auto" mixes two channels of a sound, and refuses more, or several of a time
        series. Networks that take several channels at once are given them.
    cache : "memory", path or None, default="memory"
        "memory" keeps features by content of the sound, for the whole process, at most
        1 GiB (environment variable SKLEARN_TRANSFER_CACHE_BYTES). A path is a folder ("~"
        is the home folder), made if need be, in which features are kept for all processes
        that name it, now and later, at most 10 GiB (SKLEARN_TRANSFER_DISK_CACHE_BYTES). In
        both, those used longest ago go first. None computes anew.
    engine : {"auto", "torch", "openvino", "onnxruntime"}, default="auto"
        What runs the network. "auto" is, on a CPU, the fastest one installed ("openvino" from
        the extra `cpu`, then "onnxruntime" from the extra `onnx`), else PyTorch. A network
        that one of these cannot run, or runs to other numbers, is left to PyTorch with a
        warning.
    device : str, default="auto"
        "auto" is a CUDA device where one can be used, else the CPU.
    precision : {"float32", "bfloat16"}, default="float32"
        Arithmetic of the network. "bfloat16" is faster on GPUs and on CPUs with instructions
        for it (AMX or AVX512-BF16). Features are float32 in any case.
    batch_size : int or "auto", default="auto"
        Windows that are handed to the network at once; those of networks that take sounds of
        any length have equal lengths.
    n_jobs : int, default=None
        Threads that decode sounds; None is as many as there are cores, or as a worker process
        of joblib is given.
    on_error : {"raise", "nan"}, default="raise"
        What a sample that cannot be used does: raise a ValueError with its row and the
        reason, or give a row of NaN and one warning at the end.
    random_state : int, default=0
        Seed of random weights and of a callable `model`.
    verbose : bool or int, default=False
        Show a progress bar.

    Attributes
    ----------
    weights_sha256_ : str
        SHA-256 of the network's weights, set by `fit`. A pickle of a named network holds this
        digest and not the tensors, and refuses to transform with other weights.

    See Also
    --------
    PretrainedFeatures : Features of images.
    PretrainedTextFeatures : Features of texts.

    Notes
    -----
    X is a list, tuple, Series, 1-D array, one-column DataFrame or (n_samples, 1) array of
    samples, or, with `sampling_rate`, a numeric array (n_samples, time) or (n_samples,
    channels, time). A sample is a path or the bytes of a file that soundfile reads (WAV, FLAC,
    Ogg, MP3, AIFF), a `data:` URI, a pair (waveform, sampling_rate), a mapping with "array"
    and "sampling_rate", or, with `sampling_rate`, a waveform. A waveform is an array (time,),
    (channels, time) or (time, channels), of which the longer axis is the time; of time series,
    and with `channels="separate"`, it is (channels, time) whatever its lengths. Integers of 8,
    16 and 32 bits are scaled by their range; floats lie between -1 and 1, and those beyond 8,
    or 100 in a file, are refused. So are files that were cut short, as far as their format
    tells.

    Sounds are mixed to one channel, resampled to the network's rate by polyphase filtering
    (`scipy.signal.resample_poly`) and cut into windows, of which few are in memory at a time,
    so that recordings may be hours long. How a window is filled up depends on its length
    alone, so that the row of a sound is the same alone and beside any other, to 1e-5. A
    sampling rate below the network's is warned of once: such sounds lack the high frequencies,
    which moves their features. A rate that is stated wrongly cannot be noticed.

    `fit` learns nothing: it builds the network and checks parameters, and `transform` works
    without it. Features are cached under the content of the sample, the length of windows, the
    weights, the front end, the layer and the pooling, the precision and the engine. Windows of
    longer sounds have entries of their own, so that an interrupted call goes on where it
    stopped, and recordings that share windows share their features.

    Pictures for networks of images are three log-mel spectrograms of 5 s with 128 bands, of
    frames of 25, 50 and 100 ms, in place of red, green and blue, as in [2]_. They show 80 dB
    below the loudest place, so that loudness is lost. Shorter sounds are repeated until the
    picture is full: with silence instead, a logistic regression on the default network of
    images named the kind of 133 short samples of instruments in 53 % in place of 63 %.

    Arrays with a sampling rate below 4000 Hz are time series, of any unit. Their pictures are
    spectrograms of 16, 32 and 64 samples with a linear scale of frequency, stretched over the
    whole picture. The mean of a window is subtracted first, and they are relative to the
    largest power too: where the level or the strength of a sensor matters, put its mean and
    standard deviation beside these features.

    All engines give the same features to 1e-4, relative to the norm of a row. As with
    `PretrainedFeatures`, a later process needs no torch where the network is known from an
    earlier one; the notes there say where this is kept, and how to turn it off.

    References
    ----------
    .. [1] A. Radford et al. "Robust Speech Recognition via Large-Scale Weak Supervision".
       ICML, 2023.
    .. [2] K. Palanisamy, D. Singhania, A. Yao. "Rethinking CNN Models for Audio
       Classification". arXiv:2007.11154, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer import PretrainedAudioFeatures
    >>> time = np.arange(16000) / 16000  # one second
    >>> tones = [np.sin(2 * np.pi * pitch * time) for pitch in (220, 440, 880)]
    >>> features = PretrainedAudioFeatures("tf_efficientnet_lite0", sampling_rate=16000)
    >>> features.fit_transform(tones).shape
    (3, 1280)
    """

    _parameter_constraints: dict = {
        **_BasePretrained._parameter_constraints,
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "window": [Interval(Real, 0, None, closed="neither"), None],
        "overlap": [Interval(Real, 0, 1, closed="left")],
        "channels": [StrOptions({"auto", "mean", "separate"})],
    }

    def __init__(
        self,
        model="whisper-tiny.en",
        *,
        weights="pretrained",
        layers=None,
        pooling="auto",
        sampling_rate=None,
        window=None,
        overlap=0.0,
        channels="auto",
        cache="memory",
        engine="auto",
        device="auto",
        precision="float32",
        batch_size="auto",
        n_jobs=None,
        on_error="raise",
        random_state=0,
        verbose=False,
    ):
        self.model = model
        self.weights = weights
        self.layers = layers
        self.pooling = pooling
        self.sampling_rate = sampling_rate
        self.window = window
        self.overlap = overlap
        self.channels = channels
        self.cache = cache
        self.engine = engine
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.on_error = on_error
        self.random_state = random_state
        self.verbose = verbose

    def _check_samples(self, X, reset):
        samples = as_sounds(X, self.sampling_rate)
        refuse_other_samples(samples)
        if self.channels == "separate" and (reset or not self._has_seen_channels()):
            self._n_channels = count_channels(samples, self.sampling_rate)
        return samples

    def _has_seen_channels(self):
        """Whether `fit` has counted channels; otherwise each call goes by its own samples."""
        return hasattr(self, "_n_channels") and hasattr(self, "weights_sha256_")

    def _make_reader(self, backbone):
        return self._find_spec(backbone).reader(self)

    def _find_spec(self, backbone):
        """Spec of a network of sounds, or that of pictures for a network of images."""
        spec = backbone.spec
        if isinstance(spec, ImageSpec):
            return AudioSpec(
                backbone.label, describe_pictures(spec, self.sampling_rate, backbone.label)
            )
        if isinstance(spec, AudioSpec):
            self._refuse_series(spec)
            return spec
        raise ValueError(
            f"model={shorten(backbone.label)} does not say what sounds it takes; expected a"
            " network of sounds or images by name, or a module with an attribute"
            " 'sampling_rate' that is called with waveforms (n, samples)"
        )

    def _refuse_series(self, spec):
        """Raise ValueError if arrays are time series, and the network takes sounds."""
        rate = self.sampling_rate
        if rate is not None and rate < LOWEST_SOUND and not spec.front_end.is_series:
            raise ValueError(
                f"sampling_rate={rate!r} is that of a time series, and {spec.label} takes"
                f" sounds of {spec.front_end.sampling_rate:g} Hz; expected a network of"
                " images, such as model='tf_efficientnet_lite0', or a module with a"
                " 'sampling_rate' of that order"
            )

    def _collect_network_options(self):
        return {
            "random_state": self.random_state,
            "device": self.device,
            "modality": "audio",
        }

    def _compute_widths_key(self):
        key = super()._compute_widths_key()
        if self.channels != "separate":
            return key
        return key, getattr(self, "_n_channels", None)

    def _find_widths(self):
        if self.channels == "separate":  # how many there are, samples alone tell
            check_is_fitted(self, "_n_channels")
        return super()._find_widths()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error == "nan"
        return tags
