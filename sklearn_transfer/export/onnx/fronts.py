"""Fronts of fitted estimators: what an exported file takes, and how samples become that."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.image.reader import ImageReader
from sklearn_transfer._modalities.payloads import Stream, Windows
from sklearn_transfer._modalities.readers import RowReader
from sklearn_transfer._modalities.text.reader import TextReader
from sklearn_transfer._validation import shorten

_N_EXAMPLES, _BATCH = 8, 16
_SENTENCES = (
    "A small dog runs along the beach.",
    "",
    "Prices rose by 3 % in March, more than most people had expected.",
    "no",
    "The quick brown fox jumps over the lazy dog, again and again, until it is dark.",
    "Delivery was late. The box was damaged; one part was missing!",
    "Is this the right place?",
    "It depends: some say yes, others say no, and a few have never thought about it at all.",
)


@dataclass(frozen=True)
class InputSpec:
    """One input of an exported network.

    Parameters
    ----------
    name : str
        Its name.
    dtype : str
        NumPy's name of its type, such as "uint8".
    shape : tuple
        Its shape, with None for the samples of a batch and other axes of any length.
    meaning : str
        What it holds.
    """

    name: str
    dtype: str
    shape: tuple
    meaning: str


class Front(ABC):
    """What a file takes; a subclass is a kind of samples.

    Parameters
    ----------
    reader : Reader
        Makes payloads of samples.
    signature : tuple
        Names, shapes and types of the arrays of a payload.
    """

    prepare = None  # module that makes the payload of the input, where they differ

    def __init__(self, reader, signature):
        self.reader, self.signature = reader, signature

    @property
    @abstractmethod
    def inputs(self):
        """The `InputSpec` of each input, in the order of the payload's names."""

    @abstractmethod
    def make_examples(self):
        """Return deterministic samples, as the estimator takes them."""

    def read(self, samples):
        """Return the inputs of each sample; an error names the row."""
        found = []
        for row, sample in enumerate(samples):
            try:
                found.append(self._read(self.reader.read(sample)[1]))
            except BadSampleError as error:
                raise ValueError(f"row {row} of X: {error}. Repair or drop it.") from error
        return found

    def _read(self, content):
        payload = self.reader.finish(self.reader.prepare(content))
        if isinstance(payload, (Stream, Windows)):
            raise BadSampleError(
                "takes several passes through the network, of which a file holds one"
            )
        return payload

    def list_batches(self, payloads):
        """Return the rows of each batch in which a file is compared with Python.

        They are of different sizes, so that a file for one size alone is noticed.
        """
        batches, start = [], 0
        while start < len(payloads):
            stop = min(start + min(len(batches) + 1, _BATCH), len(payloads))
            batches.append(list(range(start, stop)))
            start = stop
        return batches

    def collate(self, payloads):
        """Return the inputs of several samples as a batch."""
        return self.reader.collate(payloads)

    def describe(self):
        """Return what the metadata of the file say beside inputs, by name."""
        return {}


class ImageFront(Front):
    """Pixels of images, at the size of the network or at one that is resized in the file."""

    def __init__(self, reader, signature, input_size=None):
        super().__init__(reader, signature)
        self.size = None if input_size is None else _check_size(input_size)
        if self.size is not None:
            from sklearn_transfer.export.onnx.resizing import make_resize

            self.prepare = make_resize(self.size, reader.spec)

    @property
    def inputs(self):
        spec = self.reader.spec
        colors = {1: "gray levels", 3: "RGB"}.get(spec.channels, f"{spec.channels} channels")
        kept = self.size or spec.size
        how = (
            "upright pictures of this size, which are scaled and cropped inside"
            if self.size
            else f"pictures that are scaled to {_list_edges(spec.resize)} and cropped around"
            f" their center (Pillow, {spec.interpolation}, crop_mode={spec.crop_mode!r})"
        )
        shape = (None, *kept, spec.channels)
        return [InputSpec("pixels", "uint8", shape, f"{colors}, channels last: {how}")]

    def make_examples(self):
        """Return pictures of noise, and of smooth colors, in turn."""
        spec = self.reader.spec
        size = self.size or tuple(map(max, spec.resize, spec.size))
        rng = np.random.default_rng(0)
        shape = (*size, spec.channels)
        pictures = []
        for row in range(_N_EXAMPLES):
            picture = rng.integers(0, 256, shape, dtype=np.uint8)
            if row % 2:
                steps = [-(-edge // 4) for edge in size]
                corner = picture[:4, :4].repeat(steps[0], 0).repeat(steps[1], 1)
                picture = np.ascontiguousarray(corner[: size[0], : size[1]])
            pictures.append(picture)
        return pictures

    def _read(self, content):
        if self.size is None:
            return super()._read(content)
        pixels = self.reader.read_pixels(content)
        if pixels.shape[:2] != self.size:
            raise BadSampleError(
                f"has {_list_edges(pixels.shape[:2])} pixels, and input_size is"
                f" {_list_edges(self.size)} (height x width)"
            )
        return {"pixels": pixels}

    def describe(self):
        if self.prepare is None:
            return {}
        return {"levels_from_pillow": str(self.prepare.levels)}


class TextFront(Front):
    """Numbers of tokens, which a tokenizer outside of the file makes of texts."""

    @property
    def inputs(self):
        shape = (None, None)
        ids = "numbers of tokens, as the tokenizer in the metadata makes them"
        mask = "1 for tokens, and 0 for the padding of shorter texts at their end"
        return [
            InputSpec("attention_mask", "int64", shape, mask),
            InputSpec("input_ids", "int64", shape, ids),
        ]

    def make_examples(self):
        has_special = self.reader.tokenization.tokenizer.num_special_tokens_to_add(False) > 0
        return [text for text in _SENTENCES if text or has_special]

    def read(self, samples):
        from sklearn_transfer.export.onnx.tokenizing import build_own_tokenizer

        tokenizer = build_own_tokenizer(self.describe()["tokenizer"])
        payloads = super().read(samples)
        prompt = self.reader.tokenization.prompt
        for row, payload in enumerate(payloads):
            ids = tokenizer.encode(prompt + samples[row]).ids
            if ids != payload["input_ids"].tolist():
                raise ArithmeticError(
                    f"the tokenizer in the metadata gives other tokens for row {row} than the"
                    " estimator takes, so its texts cannot be read outside of Python"
                )
        return payloads

    def describe(self):
        from sklearn_transfer.export.onnx.tokenizing import write_tokenizer

        found = {"tokenizer": write_tokenizer(self.reader)}
        prompt = self.reader.tokenization.prompt
        return {**found, "prompt": prompt} if prompt else found


class RowFront(Front):
    """Rows of numbers, which are the network's input as they are."""

    @property
    def inputs(self):
        return [
            InputSpec(name, np.dtype(dtype).name, (None, *shape), "the network's own input")
            for name, shape, dtype in self.signature
        ]

    def make_examples(self):
        (name, _, _) = self.signature[0]
        return self.reader.format.example(_N_EXAMPLES, self.signature)[name]


def make_front(estimator, reader, signature, input_size):
    """Return the `Front` for a reader; raises ValueError where there is none."""
    name = type(estimator).__name__
    if not isinstance(reader, ImageReader) and input_size is not None:
        raise ValueError(
            f"input_size={shorten(input_size)} is for pictures, but this {name} takes"
            f" samples of the kind {reader.unit!r}; leave input_size=None"
        )
    if isinstance(reader, ImageReader):
        return ImageFront(reader, signature, input_size)
    if isinstance(reader, TextReader):
        if reader.tokenization.long_text == "windows":
            raise ValueError(
                f"{name}(long_text='windows') takes several passes of a long text, of which a"
                " file holds one; use long_text='truncate'"
            )
        return TextFront(reader, signature)
    if isinstance(reader, RowReader):
        return RowFront(reader, signature)
    if reader.unit == "sound":
        from sklearn_transfer.export.onnx.sounds import make_sound_front

        return make_sound_front(estimator, reader, signature)
    raise ValueError(
        f"{name} has a callable as preprocess, which ONNX cannot hold; use preprocess='auto',"
        " or preprocess=None with the network's input as X"
    )


def _check_size(input_size):
    pair = (input_size, input_size) if isinstance(input_size, Integral) else input_size
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or not all(isinstance(edge, Integral) and edge > 0 for edge in pair)
    ):
        raise ValueError(
            f"input_size={shorten(input_size)}: expected a number of pixels, or a pair (height,"
            " width) of numbers above 0"
        )
    return tuple(int(edge) for edge in pair)


def _list_edges(size):
    return " x ".join(map(str, size))
