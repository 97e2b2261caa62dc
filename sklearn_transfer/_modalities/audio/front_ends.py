"""Front ends: what networks of sounds make of a waveform before their first layer.

A front end is plain data, equal for networks that take the same input: it is part of specs,
of manifests and of the keys of cached vectors.
"""

import functools
import importlib.util
import json
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sklearn_transfer._modalities.audio.log_mel import LogMel
from sklearn_transfer._modalities.payloads import PayloadFormat
from sklearn_transfer._validation import import_optional

MASK = "attention_mask"
# Samples per second below which a waveform is a time series, such as that of a sensor.
LOWEST_SOUND = 4000


class FrontEnd(ABC):
    """Turn the waveform of one window into a payload.

    Attributes
    ----------
    sampling_rate : int or float
        Samples per second of the waveforms that it takes.
    longest : int
        Most samples of one window; a longer sound is cut into windows of that length.
    n_channels : int
        Channels that the network takes at once.
    circumstances : tuple
        What payloads depend on beside the front end itself, such as an installed package.
    format : PayloadFormat
        What its payloads hold.
    """

    sampling_rate: float
    longest: int
    n_channels = 1
    circumstances = ()

    @property
    def is_series(self):
        """Whether the rate is too low for sound, so that values have any unit."""
        return self.sampling_rate < LOWEST_SOUND

    @property
    @abstractmethod
    def format(self):
        """What payloads hold."""

    @abstractmethod
    def compute_signature(self):
        """Return the signature of all payloads."""

    @abstractmethod
    def make_payload(self, waveform):
        """Return the payload of a waveform (n_samples,), float32, of 1 to `longest` samples.

        With several channels, it is (n_channels, n_samples). The payload depends on nothing
        else: whatever a network needs beyond the end of a sound is added here, and where there
        is a mask, it is 1 for what holds sound alone.
        """


@dataclass(frozen=True)
class FrameFormat(PayloadFormat):
    """Payloads of one shape, with a mask (n_frames,) of the frames that hold sound, or none.

    `name` is that of the network's argument.
    """

    name: str
    has_mask: bool = True

    def to_input(self, batch):
        return dict(batch)

    def example(self, n, signature):
        """Return random values; the first row sounds to its end, others for a part of it."""
        batch = super().example(n, signature)
        if self.has_mask:
            mask = np.ones(batch[MASK].shape, dtype=np.int64)
            mask[1:, mask.shape[1] - mask.shape[1] // 3 :] = 0
            batch[MASK] = mask
        return batch

    def input_shape(self, signature):
        return next(shape for name, shape, _ in signature if name == self.name)


@dataclass(frozen=True)
class RaggedFormat(PayloadFormat):
    """Payloads `{"attention_mask", name}` of any length, with time as their first axis.

    Many networks of sounds cannot leave padding out, so that it would change what they give:
    batches of an extraction hold equal lengths alone. For training, `collate` pads with zeros
    nevertheless, where the mask is -1. It is 0 for silence that belongs to the payload itself,
    and 1 for sound.

    Parameters
    ----------
    name : str
        The network's argument.
    width : int or None
        Values of a frame; None where the first axis is the samples themselves.
    step : int
        By how much the lengths of examples differ.
    example_length : int, default=1
        Length of the shortest examples.
    has_mask : bool, default=True
        Whether the network takes the mask. Otherwise it is called with the array alone.
    is_transposed : bool, default=False
        Whether the network takes time as its last axis.
    """

    name: str
    width: int | None
    step: int
    example_length: int = 1
    has_mask: bool = True
    is_transposed: bool = False

    is_ragged = True
    needs_equal_lengths = True

    def compute_signature(self, payload):
        shape = (None,) if self.width is None else (None, self.width)
        return ((MASK, (None,), "<i8"), (self.name, shape, "<f4"))

    def get_length(self, payload):
        return len(payload[self.name])

    def collate(self, payloads):
        length = max(map(self.get_length, payloads))
        inner = () if self.width is None else (self.width,)
        mask = np.full((len(payloads), length), -1, dtype=np.int64)
        values = np.zeros((len(payloads), length, *inner), dtype=np.float32)
        for row, payload in enumerate(payloads):
            mask[row, : self.get_length(payload)] = payload[MASK]
            values[row, : self.get_length(payload)] = payload[self.name]
        return {MASK: mask, self.name: values}

    def to_input(self, batch):
        if self.is_transposed:
            batch = {**batch, self.name: batch[self.name].transpose(1, 2)}
        return dict(batch) if self.has_mask else batch[self.name]

    def example(self, n, signature):
        """Return random values, of other lengths in examples of other sizes.

        All rows but the first end in silence.
        """
        length = self.example_length + self.step * (n - 1)
        inner = () if self.width is None else (self.width,)
        values = np.random.default_rng(0).standard_normal((n, length, *inner), np.float32)
        mask = np.ones((n, length), dtype=np.int64)
        mask[1:, length - length // 4 :] = 0
        return {MASK: mask, self.name: values}

    def input_shape(self, signature):
        return tuple(self.fill_shape(signature[1][1]))


@dataclass(frozen=True)
class LogMelFrames(FrontEnd):
    """A spectrogram with time as its first axis, and a mask of the frames that hold sound.

    Payloads are `{"attention_mask"}` (n_frames,) and `{"input_features"}` (n_frames, n_mels).
    The silence that is added to a sound depends on its length alone.

    Parameters
    ----------
    log_mel : LogMel
        The spectrogram.
    longest : int
        Most samples of a window, silence included.
    margin : int, default=0
        Samples of silence that are added at least, where there is room.
    grid : int, default=1
        The length is rounded up to a multiple of this, which makes batches of equal lengths.
    """

    log_mel: LogMel
    longest: int
    margin: int = 0
    grid: int = 1

    @property
    def sampling_rate(self):
        """Samples per second."""
        return self.log_mel.sampling_rate

    @property
    def format(self):
        lengths = (self.log_mel.count_frames(n) for n in (self.grid, self._pad(1)))
        return RaggedFormat("input_features", self.log_mel.n_mels, *lengths)

    def compute_signature(self):
        return self.format.compute_signature(None)

    def _pad(self, n_samples):
        """Return the number of samples, silence included, of a sound of `n_samples`."""
        return min(-(-(n_samples + self.margin) // self.grid) * self.grid, self.longest)

    def make_payload(self, waveform):
        frames = self.log_mel.compute(waveform, self._pad(len(waveform))).T
        mask = np.zeros(len(frames), dtype=np.int64)
        mask[: count_sounding_frames(len(waveform), self.log_mel.hop)] = 1
        return {MASK: mask, "input_features": np.ascontiguousarray(frames)}


@dataclass(frozen=True)
class Waveform(FrontEnd):
    """The samples themselves, as wav2vec 2.0 takes them.

    Payloads are `{"attention_mask", "input_values"}` (n_samples,), where the mask is 1
    throughout; several channels are the last axis of the values.

    Parameters
    ----------
    sampling_rate : int, default=16000
        Samples per second.
    is_normalized : bool, default=True
        Whether samples are brought to mean 0 and variance 1.
    shortest : int, default=400
        Samples that the network needs; zeros fill up shorter sounds.
    longest : int, default=480000
        Most samples of a window.
    has_mask : bool, default=True
        Whether the network takes the mask, by the name "attention_mask".
    n_channels : int, default=1
        Channels that the network takes at once, as (n, n_channels, n_samples).
    """

    sampling_rate: float = 16000
    is_normalized: bool = True
    shortest: int = 400
    longest: int = 480000
    has_mask: bool = True
    n_channels: int = 1

    @property
    def format(self):
        length = max(min(self.longest, int(self.sampling_rate)), self.shortest)
        is_wide = self.n_channels > 1
        width = self.n_channels if is_wide else None
        options = (self.shortest, length, self.has_mask, is_wide)
        return RaggedFormat("input_values", width, *options)

    def compute_signature(self):
        return self.format.compute_signature(None)

    def make_payload(self, waveform):
        values = waveform.astype(np.float64)
        if self.is_normalized:
            values = (values - values.mean()) / np.sqrt(values.var() + 1e-7)
        values = values.T
        missing = max(self.shortest - len(values), 0)
        values = np.pad(values, [(0, missing), (0, 0)][: values.ndim]).astype(np.float32)
        # Ones without memory: a mask of that many numbers would be twice as large as these.
        return {MASK: np.broadcast_to(np.int64(1), len(values)), "input_values": values}


@dataclass(frozen=True)
class Extractor(FrontEnd):
    """A feature extractor of transformers, for networks that have one of their own.

    Payloads hold what it returns, without the axis of samples, and where `hop` is given, the
    mask `{"attention_mask"}` of the frames that hold sound.

    Parameters
    ----------
    kind : str
        Name of its class, such as "ASTFeatureExtractor".
    definition : str
        JSON text of its configuration.
    sampling_rate : int
        Samples per second.
    longest : int
        Most samples of a window.
    name : str
        What it returns and the network takes, such as "input_values".
    shape : tuple of int
        Shape of that for one sound.
    hop : int or None, default=None
        Samples from one frame to the next; None where it repeats sounds instead of adding
        silence, so that all frames hold sound.
    n_frames : int or None, default=None
        Number of frames, where there is a mask.
    shortest : int, default=1
        Samples of its first frame; zeros fill up shorter sounds, of which it would make none.
    """

    kind: str
    definition: str
    sampling_rate: float
    longest: int
    name: str
    shape: tuple
    hop: int | None = None
    n_frames: int | None = None
    shortest: int = 1

    @property
    def circumstances(self):
        """Whether there is torchaudio, by which some extractors compute if they can."""
        return ("torchaudio", importlib.util.find_spec("torchaudio") is not None)

    @property
    def format(self):
        return FrameFormat(self.name, self.hop is not None)

    def compute_signature(self):
        values = (self.name, self.shape, "<f4")
        return (values,) if self.hop is None else ((MASK, (self.n_frames,), "<i8"), values)

    def make_payload(self, waveform):
        extract = _build_extractor(self.kind, self.definition)
        filled = np.pad(waveform, (0, max(self.shortest - len(waveform), 0)))
        found = extract(filled, sampling_rate=int(self.sampling_rate), return_tensors="np")
        values = np.asarray(found[self.name][0], dtype=np.float32)
        if self.hop is None:
            return {self.name: values}
        mask = np.zeros(self.n_frames, dtype=np.int64)
        mask[: count_sounding_frames(len(waveform), self.hop)] = 1
        return {MASK: mask, self.name: values}


@functools.lru_cache(maxsize=8)
def _build_extractor(kind, definition):
    transformers = import_optional("transformers", "text", f"the {kind} of this network")
    with warnings.catch_warnings():
        # AST has bands without a frequency, of which each of its extractors warns.
        warnings.filterwarnings("ignore", message="At least one mel filter")
        return getattr(transformers, kind).from_dict(json.loads(definition))


def count_sounding_frames(n_samples, hop):
    """Return the number of frames that begin within a sound, at least 1."""
    return max(-(-n_samples // hop), 1)


# Of the networks of Whisper with 80 bands [Radford 2022]. These were trained on 30 s; three
# seconds of silence after a shorter sound serve as well and take a fraction of the time.
WHISPER = LogMelFrames(
    LogMel(16000, 400, 160, 80, log="whisper", padding="reflect", drops_last=True),
    longest=480000,
    margin=48000,
    grid=8000,
)
