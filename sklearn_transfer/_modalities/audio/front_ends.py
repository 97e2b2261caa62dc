"""Front ends: what networks of sounds make of a waveform before their first layer.

A front end is plain data, equal for networks that take the same input: it is part of specs,
of manifests and of the keys of cached vectors.
"""

import functools
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sklearn_transfer._modalities.audio.log_mel import LogMel
from sklearn_transfer._modalities.payloads import PayloadFormat
from sklearn_transfer._validation import import_optional

MASK = "attention_mask"


class FrontEnd(ABC):
    """Turn the waveform of one window into a payload.

    Attributes
    ----------
    sampling_rate : int or float
        Samples per second of the waveforms that it takes.
    longest : int or None
        Most samples of one window; a longer sound is cut into windows of that length. None
        for any number.
    format : PayloadFormat
        What its payloads hold.
    """

    sampling_rate: float
    longest: int | None
    is_series = False

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

        It depends on nothing else: whatever a network needs beyond the end of a sound is
        added here, and where there is a mask, it is 1 for what holds sound alone.
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
        return dict((name, shape) for name, shape, _ in signature)[self.name]


@dataclass(frozen=True)
class SampleFormat(PayloadFormat):
    """Payloads `{"attention_mask", "input_values"}` (n_samples,), of any number of samples.

    Networks of waveforms normalize over time, so that padding would change what they give:
    batches of an extraction have equal lengths (`needs_equal_lengths`). `collate` pads with
    zeros at the end nevertheless, for training. A network without an argument for the mask is
    called with the samples alone (`has_mask=False`).
    """

    example_length: int
    has_mask: bool = True

    is_ragged = True
    needs_equal_lengths = True

    def compute_signature(self, payload):
        return ((MASK, (None,), "<i8"), ("input_values", (None,), "<f4"))

    def get_length(self, payload):
        return len(payload["input_values"])

    def collate(self, payloads):
        shape = (len(payloads), max(map(self.get_length, payloads)))
        batch = {MASK: np.zeros(shape, np.int64), "input_values": np.zeros(shape, np.float32)}
        for row, payload in enumerate(payloads):
            for name, array in payload.items():
                batch[name][row, : len(array)] = array
        return batch

    def to_input(self, batch):
        return dict(batch) if self.has_mask else batch["input_values"]

    def example(self, n, signature):
        """Return random samples; examples of other sizes have other lengths too."""
        shape = (n, self.example_length + 400 * (n - 1))
        values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        return {MASK: np.ones(shape, np.int64), "input_values": values}

    def input_shape(self, signature):
        return (self.example_length,)


@dataclass(frozen=True)
class SpectrogramFormat(PayloadFormat):
    """Payloads `{"attention_mask"}` (n_frames,), `{"input_features"}` (n_frames, n_mels).

    The mask is 1 where a frame holds sound, and 0 for silence that follows it. `collate` adds
    frames of -1 to the shorter sounds of a batch, which networks leave out. Batches of an
    extraction have equal lengths nevertheless, so that no time is lost with them.
    """

    n_mels: int
    example_length: int

    is_ragged = True
    needs_equal_lengths = True

    def compute_signature(self, payload):
        return ((MASK, (None,), "<i8"), ("input_features", (None, self.n_mels), "<f4"))

    def get_length(self, payload):
        return len(payload[MASK])

    def collate(self, payloads):
        shape = (len(payloads), max(map(self.get_length, payloads)))
        mask = np.full(shape, -1, dtype=np.int64)
        frames = np.zeros((*shape, self.n_mels), dtype=np.float32)
        for row, payload in enumerate(payloads):
            length = self.get_length(payload)
            mask[row, :length] = payload[MASK]
            frames[row, :length] = payload["input_features"]
        return {MASK: mask, "input_features": frames}

    def to_input(self, batch):
        return dict(batch)

    def example(self, n, signature):
        """Return random values; examples of other sizes have other lengths too.

        The first row sounds to its end, others for two thirds of it.
        """
        shape = (n, self.example_length - 2 * (n - 1))
        mask = np.ones(shape, dtype=np.int64)
        mask[1:, shape[1] - shape[1] // 3 :] = 0
        frames = np.random.default_rng(0).standard_normal((*shape, self.n_mels))
        return {MASK: mask, "input_features": frames.astype(np.float32)}

    def input_shape(self, signature):
        return (self.example_length, self.n_mels)


@dataclass(frozen=True)
class LogMelFrames(FrontEnd):
    """A spectrogram with some silence after the sound, and a mask of the frames that hold it.

    Whisper was trained on sounds that silence fills up to 30 s, of which a fraction does as
    well and takes a fraction of the time.

    Parameters
    ----------
    log_mel : LogMel
        The spectrogram.
    longest : int
        Most samples of a window, silence included.
    margin : int, default=16000
        Least number of samples of silence after a sound, as far as `longest` allows.
    grid : int, default=8000
        The length with the silence is a multiple of this, so that many sounds have equal
        lengths.
    """

    log_mel: LogMel
    longest: int
    margin: int = 16000
    grid: int = 8000

    @property
    def sampling_rate(self):
        """Samples per second."""
        return self.log_mel.sampling_rate

    @property
    def format(self):
        length = self.log_mel.count_frames(self._find_length(self.grid))
        return SpectrogramFormat(self.log_mel.n_mels, length)

    def _find_length(self, n_samples):
        """Return the number of samples of a sound with the silence after it."""
        return min(-(-(n_samples + self.margin) // self.grid) * self.grid, self.longest)

    def compute_signature(self):
        return self.format.compute_signature(None)

    def make_payload(self, waveform):
        frames = self.log_mel.compute(waveform, self._find_length(len(waveform)))
        mask = np.zeros(frames.shape[1], dtype=np.int64)
        mask[: count_sounding_frames(len(waveform), self.log_mel.hop)] = 1
        return {MASK: mask, "input_features": np.ascontiguousarray(frames.T)}


@dataclass(frozen=True)
class Waveform(FrontEnd):
    """The samples themselves, as wav2vec 2.0 takes them.

    Payloads are `{"attention_mask", "input_values"}` (n_samples,), where the mask is 1
    throughout.

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
    """

    sampling_rate: float = 16000
    is_normalized: bool = True
    shortest: int = 400
    longest: int = 480000
    has_mask: bool = True

    @property
    def format(self):
        length = max(min(self.longest, int(self.sampling_rate)), self.shortest)
        return SampleFormat(length, self.has_mask)

    def compute_signature(self):
        return self.format.compute_signature(None)

    def make_payload(self, waveform):
        values = waveform.astype(np.float64)
        if self.is_normalized:
            values = (values - values.mean()) / np.sqrt(values.var() + 1e-7)
        values = np.pad(values, (0, max(self.shortest - len(values), 0))).astype(np.float32)
        return {MASK: np.ones(len(values), np.int64), "input_values": values}


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
    """

    kind: str
    definition: str
    sampling_rate: float
    longest: int
    name: str
    shape: tuple
    hop: int | None = None
    n_frames: int | None = None

    @property
    def format(self):
        return FrameFormat(self.name, self.hop is not None)

    def compute_signature(self):
        values = (self.name, self.shape, "<f4")
        return (values,) if self.hop is None else ((MASK, (self.n_frames,), "<i8"), values)

    def make_payload(self, waveform):
        extract = _build_extractor(self.kind, self.definition)
        found = extract(waveform, sampling_rate=int(self.sampling_rate), return_tensors="np")
        values = np.asarray(found[self.name][0], dtype=np.float32)
        if self.hop is None:
            return {self.name: values}
        mask = np.zeros(self.n_frames, dtype=np.int64)
        mask[: count_sounding_frames(len(waveform), self.hop)] = 1
        return {MASK: mask, self.name: values}


@functools.lru_cache(maxsize=8)
def _build_extractor(kind, definition):
    transformers = import_optional("transformers", "text", f"the {kind} of this network")
    return getattr(transformers, kind).from_dict(json.loads(definition))


def count_sounding_frames(n_samples, hop):
    """Return the number of frames that begin within a sound, at least 1."""
    return max(-(-n_samples // hop), 1)


# Of all networks of Whisper with 80 bands [Radford 2022].
WHISPER = LogMelFrames(
    LogMel(16000, 400, 160, 80, log="whisper", padding="reflect", drops_last=True), 480000
)
