"""Pictures of sounds and time series: spectrograms for networks of images."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sklearn_transfer._modalities.audio.front_ends import LOWEST_SOUND, FrontEnd
from sklearn_transfer._modalities.audio.log_mel import LogMel
from sklearn_transfer._modalities.image.reader import PixelFormat

# Of pictures of sounds: samples per second, seconds, bands, and for each channel of the
# picture the seconds of a frame and from one to the next.
_RATE, _SECONDS, _BANDS = 16000, 5, 128
_FRAMES = ((0.025, 0.010), (0.050, 0.025), (0.100, 0.050))
# Of pictures of time series: samples of a picture, and of frames and steps.
_LONGEST_SERIES = 1024
_SERIES_FRAMES = ((16, 2), (32, 4), (64, 8))
# Deviation from the mean, relative to the level, up to which a series is constant. Numbers of
# 32 bits differ by more.
_CONSTANT = 1e-9


@dataclass(frozen=True)
class Pictures(FrontEnd):
    """Spectrograms as the channels of a picture, for a network of images [Palanisamy 2020].

    Payloads are `{"pixels"}` of uint8 (height, width, channels), with high frequencies above.
    0 is the bottom of the spectrogram's dynamic range and 255 its largest value.

    Parameters
    ----------
    views : tuple of LogMel
        The spectrogram of each channel.
    longest : int
        Samples of a picture.
    size : (height, width)
        Pixels of the picture.
    mean, std : tuple of float
        Per channel, as the network takes them, for values in [0, 1].
    is_repeated : bool, default=True
        Whether a shorter waveform is repeated until the picture is full, so that time has the
        same scale in all pictures. Otherwise it is a time series, which is stretched to its
        width, without its mean.
    """

    views: tuple
    longest: int
    size: tuple
    mean: tuple
    std: tuple
    is_repeated: bool = True

    @property
    def sampling_rate(self):
        """Samples per second."""
        return self.views[0].sampling_rate

    @property
    def format(self):
        return PixelFormat(self.mean, self.std)

    def compute_signature(self):
        return (("pixels", (*self.size, len(self.views)), "|u1"),)

    def make_payload(self, waveform):
        if self.is_repeated:
            waveform = np.resize(waveform, self.longest)
        else:
            waveform = _standardize_series(waveform)
        channels = [self._draw(view.compute(waveform), view) for view in self.views]
        return {"pixels": np.stack(channels, axis=2)}

    def _draw(self, decibels, view):
        above = decibels - (decibels.max() - np.float32(view.dynamic_range))
        scaled = above * np.float32(255 / view.dynamic_range)
        picture = Image.fromarray(np.ascontiguousarray(scaled[::-1]))
        picture = picture.resize(self.size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(picture).round().clip(0, 255).astype(np.uint8)


def _standardize_series(series):
    """Return a series of any unit with mean 0 and largest absolute value 1; zeros if constant.

    A large mean, as of air pressure, would be all that is seen within the dynamic range.
    """
    series = series.astype(np.float64)
    level = np.abs(series).max()
    series -= series.mean()
    largest = np.abs(series).max()
    if largest <= _CONSTANT * level:
        return np.zeros_like(series)
    return series / largest


def describe_pictures(spec, sampling_rate, label):
    """Return the front end that makes pictures for a network of images.

    Parameters
    ----------
    spec : ImageSpec
        What the network takes: pictures of 1 or 3 channels.
    sampling_rate : float or None
        That of arrays; below `LOWEST_SOUND`, they are time series.
    label : str
        What messages call the network.
    """
    if spec.channels not in (1, 3):
        raise ValueError(
            f"model={label} takes images of {spec.channels} channels, expected 1 or 3 for"
            " pictures of sounds"
        )
    chosen = slice(None) if spec.channels == 3 else slice(1, 2)
    is_series = sampling_rate is not None and sampling_rate < LOWEST_SOUND
    views = _list_series_views(sampling_rate) if is_series else _list_views()
    longest = _LONGEST_SERIES if is_series else _SECONDS * _RATE
    return Pictures(
        tuple(views[chosen]), longest, spec.size, spec.mean, spec.std, not is_series
    )


def _list_views():
    return [
        LogMel(_RATE, round(_RATE * frame), round(_RATE * step), _BANDS)
        for frame, step in _FRAMES
    ]


def _list_series_views(sampling_rate):
    return [
        LogMel(float(sampling_rate), frame, step, frame // 2 + 1, scale="linear", norm=None)
        for frame, step in _SERIES_FRAMES
    ]
