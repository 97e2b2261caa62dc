"""Log-mel spectrograms: the power of a sound by time and frequency, as networks take it."""

import functools
from dataclasses import dataclass

import numpy as np
import scipy.fft

# Frames whose spectrum is computed at once, which bounds the memory of long windows.
_FRAMES_AT_ONCE = 512


@dataclass(frozen=True)
class LogMel:
    """How a waveform becomes a spectrogram; plain data that decides every number of it.

    Frames are centered: frame k shows the samples around k * hop, with zeros or a reflection
    beyond the ends of the waveform.

    Parameters
    ----------
    sampling_rate : int or float
        Samples per second.
    n_fft : int
        Samples of a frame, which a periodic Hann window weights.
    hop : int
        Samples from one frame to the next.
    n_mels : int
        Bands of frequency; with scale="linear", the frequencies of the transform are taken as
        they are, and this is n_fft // 2 + 1.
    scale : {"slaney", "htk", "linear"}, default="slaney"
        How bands are spaced. "slaney" is linear below 1 kHz and logarithmic above, as in the
        Auditory Toolbox; "htk" is 2595 log10(1 + f / 700).
    norm : {"slaney", None}, default="slaney"
        "slaney" divides each band by its width in Hz.
    log : {"decibel", "whisper"}, default="decibel"
        "decibel" is 10 log10 of the power. "whisper" is (log10 + 4) / 4.
    floor : float, default=1e-10
        Power below which it counts as this.
    dynamic_range : float or None, default=80.0
        In decibels: values further below the largest one of the spectrogram are raised to it.
    f_min : float, default=0.0
        Lowest frequency of the bands in Hz.
    f_max : float or None, default=None
        Highest frequency of the bands in Hz; None is half the sampling rate.
    padding : {"constant", "reflect"}, default="constant"
        What is beyond the ends: zeros, or the waveform mirrored.
    drops_last : bool, default=False
        Whether the last frame is left out, so that n samples make n // hop frames.
    """

    sampling_rate: float
    n_fft: int
    hop: int
    n_mels: int
    scale: str = "slaney"
    norm: str | None = "slaney"
    log: str = "decibel"
    floor: float = 1e-10
    dynamic_range: float | None = 80.0
    f_min: float = 0.0
    f_max: float | None = None
    padding: str = "constant"
    drops_last: bool = False

    def count_frames(self, n_samples):
        """Return the number of frames of a waveform."""
        return n_samples // self.hop + (0 if self.drops_last else 1)

    def compute(self, waveform, n_samples=None):
        """Return the spectrogram (n_mels, n_frames) of a waveform, float32.

        Parameters
        ----------
        waveform : ndarray of shape (n_samples,)
            Samples at `sampling_rate`.
        n_samples : int, default=None
            Length up to which zeros follow the waveform; None for its own length. They take
            no time to compute.
        """
        n_samples = len(waveform) if n_samples is None else n_samples
        n_frames = self.count_frames(n_samples)
        margin = self.n_fft // 2
        # Later frames hold zeros alone, unless the end is reflected into them.
        n_heard = min(-(-(len(waveform) + margin) // self.hop), n_frames)
        padded = np.zeros(max(n_heard - 1, 0) * self.hop + self.n_fft)
        self._copy_padded(np.asarray(waveform, dtype=np.float64), n_samples, padded)
        power = np.full((n_frames, self.n_mels), self.floor)
        filters = None if self.scale == "linear" else build_mel_filters(self).T
        window = make_hann_window(self.n_fft)
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)[:: self.hop]
        for start in range(0, n_heard, _FRAMES_AT_ONCE):
            part = frames[start : min(start + _FRAMES_AT_ONCE, n_heard)]
            spectrum = scipy.fft.rfft(part * window)
            found = spectrum.real**2 + spectrum.imag**2
            found = found if filters is None else found @ filters
            np.maximum(found, self.floor, out=power[start : start + len(part)])
        return self._take_log(power).T.astype(np.float32, order="C")

    def _copy_padded(self, waveform, n_samples, padded):
        """Write a waveform with its margins into zeros."""
        margin = self.n_fft // 2
        kept = waveform[: len(padded) - margin]
        padded[margin : margin + len(kept)] = kept
        if self.padding != "reflect":
            return
        # What the zeros before and after would mirror are zeros too.
        head = waveform[1 : margin + 1][::-1]
        padded[margin - len(head) : margin] = head
        end = margin + n_samples
        for distance in range(1, min(margin, n_samples - 1) + 1):
            place, source = end - 1 + distance, n_samples - 1 - distance
            if place < len(padded) and source < len(waveform):
                padded[place] = waveform[source]

    def _take_log(self, power):
        found = np.log10(power)
        if self.dynamic_range is not None:
            np.maximum(found, found.max() - self.dynamic_range / 10, out=found)
        return (found + 4) / 4 if self.log == "whisper" else 10 * found


@functools.lru_cache(maxsize=16)
def build_mel_filters(spec):
    """Return the weights (n_mels, n_fft // 2 + 1) of frequencies in each band."""
    f_max = spec.sampling_rate / 2 if spec.f_max is None else spec.f_max
    ends = [_to_mel(f, spec.scale) for f in (spec.f_min, f_max)]
    edges = _to_hertz(np.linspace(*ends, spec.n_mels + 2), spec.scale)
    frequencies = np.linspace(0, spec.sampling_rate / 2, spec.n_fft // 2 + 1)
    widths = np.diff(edges)
    slopes = edges[:, None] - frequencies[None, :]
    rising, falling = -slopes[:-2] / widths[:-1, None], slopes[2:] / widths[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    if spec.norm == "slaney":
        filters *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return filters


@functools.lru_cache(maxsize=16)
def make_hann_window(n):
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)


# The scale of Slaney is 200/3 Hz per mel below 1 kHz, and 27 mels per factor 6.4 above.
_LINEAR, _KNEE = 200 / 3, 1000.0
_FACTOR = np.log(6.4) / 27


def _to_mel(hertz, scale):
    if scale == "htk":
        return 2595 * np.log10(1 + hertz / 700)
    if hertz < _KNEE:
        return hertz / _LINEAR
    return _KNEE / _LINEAR + np.log(hertz / _KNEE) / _FACTOR


def _to_hertz(mels, scale):
    if scale == "htk":
        return 700 * (10 ** (mels / 2595) - 1)
    knee = _KNEE / _LINEAR
    high = _KNEE * np.exp(_FACTOR * (np.maximum(mels, knee) - knee))
    return np.where(mels < knee, mels * _LINEAR, high)
