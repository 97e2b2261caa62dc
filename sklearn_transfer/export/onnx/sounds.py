"""Front ends of networks of sounds as modules: from waveforms to what the networks take."""

from itertools import islice

import numpy as np
import torch
from torch.nn import functional

from sklearn_transfer._modalities.audio.front_ends import LogMelFrames, Waveform
from sklearn_transfer._modalities.audio.log_mel import build_mel_filters, make_hann_window
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._networks.inputs import MASK
from sklearn_transfer.export.onnx.fronts import Front, InputSpec

# Lengths of examples, in shares of a second.
_LENGTHS = (1.0, 0.3, 1.0, 2.2, 1.0, 0.3)


class SoundFront(Front):
    """Waveforms of one length, at the rate of the network."""

    def __init__(self, reader, signature):
        super().__init__(reader, signature)
        self.prepare = _MODULES[type(reader.front_end)](reader.front_end)

    @property
    def inputs(self):
        rate, seconds = self.reader.front_end.sampling_rate, self._longest / self._rate
        meaning = f"mono at {rate:g} Hz, all of one length up to {seconds:g} s"
        return [InputSpec("waveform", "float32", (None, None), meaning)]

    @property
    def _rate(self):
        return self.reader.front_end.sampling_rate

    @property
    def _longest(self):
        return self.reader.length

    def make_examples(self):
        """Return noise that rises, of different lengths, at the rate of the network."""
        rng, examples = np.random.default_rng(0), []
        for share in _LENGTHS:
            length = max(min(int(share * self._rate), self._longest), 1)
            rising = np.linspace(0.05, 0.5, length)
            examples.append(((rng.standard_normal(length) * rising).astype(np.float32)))
        return [(waveform, self._rate) for waveform in examples]

    def list_batches(self, payloads):
        lengths = np.array([len(payload["waveform"]) for payload in payloads])
        return [np.flatnonzero(lengths == length).tolist() for length in np.unique(lengths)]

    def collate(self, payloads):
        return {"waveform": np.stack([payload["waveform"] for payload in payloads])}

    def _read(self, content):
        windows = list(islice(self.reader.cut(content), 2))
        if len(windows) > 1:
            raise BadSampleError(
                f"is longer than {self._longest / self._rate:g} s, and takes several passes"
                " through the network, of which a file holds one"
            )
        return {"waveform": np.ascontiguousarray(windows[0][0], dtype=np.float32)}


class _FrontEnd(torch.nn.Module):
    """Base class of front ends as modules."""

    def __init__(self, front_end):
        super().__init__()
        self.front_end = front_end

    def draw_input(self, n):
        """Return n waveforms of noise, of a length that depends on n."""
        length = min(int(self.front_end.sampling_rate) + 100 * n, self.front_end.longest)
        return np.random.default_rng(0).standard_normal((n, length), dtype=np.float32)


class _WaveformModule(_FrontEnd):
    """The samples themselves, at mean 0 and variance 1, with zeros up to the shortest."""

    def forward(self, waveform):
        """Return the payload."""
        values = waveform.double()
        if self.front_end.is_normalized:
            values = values - values.mean(1, keepdim=True)
            values = values / (values.square().mean(1, keepdim=True) + 1e-7).sqrt()
        shortest = self.front_end.shortest
        length = _read_length(values).clamp(min=shortest)
        values = functional.pad(values, (0, shortest))[:, :length].float()
        return {MASK: torch.ones_like(values).long(), "input_values": values}


class _LogMelModule(_FrontEnd):
    """A spectrogram by a product with the waves of the Fourier transform."""

    def __init__(self, front_end):
        super().__init__(front_end)
        spec = front_end.log_mel
        times = np.arange(spec.n_fft)
        frequencies = np.arange(spec.n_fft // 2 + 1)
        angles = 2 * np.pi * np.outer(times, frequencies) / spec.n_fft
        window = make_hann_window(spec.n_fft)[:, None]
        waves = np.concatenate([window * np.cos(angles), window * np.sin(angles)], axis=1)
        self.register_buffer("waves", torch.from_numpy(waves))
        filters = None
        if spec.scale != "linear":
            filters = torch.from_numpy(np.ascontiguousarray(build_mel_filters(spec).T))
        self.register_buffer("filters", filters)

    def forward(self, waveform):
        """Return the payload."""
        front_end, spec = self.front_end, self.front_end.log_mel
        length = _read_length(waveform)
        steps = (length + front_end.margin + front_end.grid - 1) // front_end.grid
        padded = (steps * front_end.grid).clamp(max=front_end.longest)
        room = front_end.margin + front_end.grid
        values = functional.pad(waveform.double(), (0, room))[:, :padded]
        values = self._add_margins(values)
        n_frames = padded // spec.hop + (0 if spec.drops_last else 1)
        starts = torch.arange(n_frames) * spec.hop
        frames = values[:, starts[:, None] + torch.arange(spec.n_fft)]
        waves = frames @ self.waves
        real, imaginary = waves.split(spec.n_fft // 2 + 1, dim=2)
        power = real.square() + imaginary.square()
        power = power if self.filters is None else power @ self.filters
        found = self._take_log(power.clamp(min=spec.floor)).float()
        sounding = (length + spec.hop - 1) // spec.hop
        mask = (torch.arange(n_frames) < sounding).long()
        return {MASK: mask.expand(waveform.shape[0], -1), "input_features": found}

    def _add_margins(self, values):
        margin = self.front_end.log_mel.n_fft // 2
        if self.front_end.log_mel.padding != "reflect":
            return functional.pad(values, (margin, margin))
        return functional.pad(values[:, None], (margin, margin), mode="reflect")[:, 0]

    def _take_log(self, power):
        spec = self.front_end.log_mel
        found = power.log() / np.log(10)
        if spec.dynamic_range is not None:
            largest = found.amax((1, 2), keepdim=True)
            found = torch.maximum(found, largest - spec.dynamic_range / 10)
        return (found + 4) / 4 if spec.log == "whisper" else 10 * found


_MODULES = {LogMelFrames: _LogMelModule, Waveform: _WaveformModule}


def _read_length(waveform):
    """Return the length of waveforms as a tensor, which an exporter does not make constant."""
    return torch._shape_as_tensor(waveform)[1]


def make_sound_front(estimator, reader, signature):
    """Return the `SoundFront` of a reader; raises ValueError where it has no conversion."""
    name, front_end = type(estimator).__name__, reader.front_end
    if reader.n_channels > 1 or front_end.n_channels > 1:
        raise ValueError(
            f"{name} takes several channels, and a file takes mono sounds; use channels='mean'"
        )
    if type(front_end) not in _MODULES:
        kinds = ", ".join(sorted(kind.__name__ for kind in _MODULES))
        raise ValueError(
            f"{name}: the front end {type(front_end).__name__} of this network has no"
            f" conversion to ONNX, only {kinds} have one; compute"
            " features in Python, and export what follows"
        )
    return SoundFront(reader, signature)
