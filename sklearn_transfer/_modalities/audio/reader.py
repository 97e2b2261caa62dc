"""Reader of sounds and time series."""

from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import numpy as np

from sklearn_transfer._modalities.audio import contents
from sklearn_transfer._modalities.audio.augmentations import make_augmentation
from sklearn_transfer._modalities.audio.resampling import resample
from sklearn_transfer._modalities.audio.tracks import BLOCK, read_blocks
from sklearn_transfer._modalities.audio.windows import cut_windows
from sklearn_transfer._modalities.callers import OF_SOUNDS
from sklearn_transfer._modalities.contents import BadSampleError, describe_sample
from sklearn_transfer._modalities.payloads import Stream, Window
from sklearn_transfer._modalities.readers import Reader
from sklearn_transfer._modalities.remarks import Remark
from sklearn_transfer._store.digests import digest, digest_array

# Samples per second of the slowest recordings of sound; smaller numbers are kHz, labels, or
# rates of sensors.
_LOWEST_RATE = 1000
# Rates whose ratio is above this are one: clocks of recorders differ by more.
_EQUAL_RATES = 0.99
# Channels of a sound of which the mean is taken without asking; more are likely sensors.
_MOST_MIXED = 2


@dataclass(frozen=True)
class Narrowband(Remark):
    """Remark that a sound was sampled at a lower rate than the network's."""

    rate: float
    own_rate: float

    kind = "narrowband"

    @property
    def share(self):
        return self.own_rate / self.rate

    def describe(self, caller):
        return (
            f"sounds were sampled at {self.rate:g} Hz or less, and the network takes"
            f" {self.own_rate:g} Hz: they hold nothing above {self.rate / 2:g} Hz, so that"
            " their features differ from those of recordings with the full bandwidth. Where"
            " training and new sounds differ in this way, resample all to the lower rate"
        )


@dataclass(frozen=True)
class Sideways(Remark):
    """Remark that an array, whose first axis is that of channels, has few times."""

    n_channels: int
    n_times: int

    kind = "sideways"

    @property
    def share(self):
        return self.n_channels / self.n_times

    def describe(self, caller):
        return (
            f"an array is taken for {self.n_channels} channels of {self.n_times} times each;"
            " if these are the other way around, pass waveform.T, or X.transpose(0, 2, 1) of"
            " an array of all"
        )


class AudioReader(Reader):
    """Sounds to payloads of a front end: decoded, mixed, resampled and cut into windows.

    Parameters
    ----------
    front_end : FrontEnd
        What the network makes of a waveform.
    sampling_rate : float or None, default=None
        That of arrays which state none.
    window : float or None, default=None
        Seconds of a window; None for the longest that the front end takes.
    overlap : float, default=0.0
        Share of a window that the next one repeats.
    channels : {"auto", "mean", "separate"}, default="auto"
        Whether channels are mixed, or passed one after the other. "auto" mixes up to two.
    n_channels : int, default=1
        Number of channels that are passed one after the other.
    label : str, default=""
        What messages call the network.
    caller : Caller
        Whose options messages recommend.
    """

    unit = "sound"
    input_source = "as the front end of the network makes them"

    def __init__(
        self,
        front_end,
        *,
        sampling_rate=None,
        window=None,
        overlap=0.0,
        channels="auto",
        n_channels=1,
        label="",
        caller=OF_SOUNDS,
    ):
        self.front_end, self.sampling_rate, self.caller = front_end, sampling_rate, caller
        self.channels, self.label = channels, label
        is_separate = channels == "separate" and front_end.n_channels == 1
        self.n_channels = n_channels if is_separate else 1
        self.format = front_end.format
        self.key = digest("sound", repr(front_end), front_end.circumstances)
        self.length = self._choose_length(window)
        self.hop = max(round(self.length * (1 - overlap)), 1)
        self.settings = (self.length, self.hop, channels, self.n_channels)

    def _choose_length(self, window):
        """Return the samples of a window at the rate of the network."""
        longest, rate = self.front_end.longest, self.front_end.sampling_rate
        if window is None:
            return longest
        length = max(round(window * rate), 1)
        if length > longest:
            raise ValueError(
                f"window={window:g} is longer than the {longest / rate:g} s that {self.label}"
                " takes; longer sounds are cut into windows and averaged in any case"
            )
        return length

    def describe(self, sample):
        if isinstance(sample, tuple) and len(sample) == 2 and contents.is_rate(sample[1]):
            return f"{describe_sample(sample[0])} at {sample[1]} Hz"
        return describe_sample(sample)

    def find_signature(self, samples):
        return self.front_end.compute_signature()

    def known_digest(self, sample):
        key = contents.find_known_digest(sample, self.sampling_rate)
        return None if key is None else digest(key, *self.settings)

    def read(self, sample, key=None):
        found, content = contents.read_sample(sample, self.sampling_rate)
        return digest(found, *self.settings), content

    def prepare(self, content, note=None):
        windows = self.cut(content, note)
        first = list(islice(windows, 2))
        if len(first) == 1 and self.n_channels == 1:
            return self.front_end.make_payload(self._take_channels(first[0])[0])
        return Stream(self._make_windows(chain(first, windows)))

    def make_augmentation(self, augment):
        return make_augmentation(augment, self.front_end)

    def prepare_original(self, content, note=None):
        """Return the waveform of content, which views are drawn of."""
        windows = list(islice(self.cut(content, note), 2))
        if len(windows) > 1 or self.n_channels > 1:
            rate = self.front_end.sampling_rate
            raise BadSampleError(
                f"takes several passes through the network, since it is longer than"
                f" {self.length / rate:g} s or has separate channels, and augment varies"
                " single ones; cut it into parts with a label each"
            )
        return np.ascontiguousarray(windows[0][0])

    def cut(self, content, note=None):
        """Yield the windows (channels, time) of content at the rate of the network.

        There is one channel unless they are passed one after the other.
        """
        own_rate = self.front_end.sampling_rate
        is_series = self.front_end.is_series
        has_channels_first = is_series or self.channels == "separate"
        rate, blocks = read_blocks(content, is_series, has_channels_first)
        if not is_series and rate < _LOWEST_RATE:
            for_series = self.caller.write(f"sampling_rate={rate:g}")
            raise BadSampleError(
                f"has a sampling rate of {rate:g} Hz, too low for sound; state rates in Hz,"
                f" such as 44100, and for time series {for_series}"
            )
        if note is not None and rate < _EQUAL_RATES * own_rate:
            note(Narrowband(rate, own_rate))
        if note is not None and has_channels_first and isinstance(content, contents.Waveforms):
            _note_few_times(content.array.shape, note)
        blocks = resample(map(self._mix, blocks), rate, own_rate, BLOCK)
        return cut_windows(blocks, self.length, self.hop)

    def _mix(self, block):
        """Return the mean over channels, or the channels where they are kept apart."""
        n_channels = len(block)
        if self.channels == "separate" or self.front_end.n_channels > 1:
            self._check_channels(*block.shape)
            return block
        most = 1 if self.front_end.is_series else _MOST_MIXED
        if self.channels == "auto" and n_channels > most:
            mixing = self.caller.write("channels='mean'")
            raise BadSampleError(
                f"has {n_channels} channels, which may be loudspeakers or sensors; with"
                f" {mixing} they are mixed, and with channels='separate' each is passed by"
                " itself"
            )
        return block.mean(axis=0, keepdims=True) if n_channels > 1 else block

    def _check_channels(self, n_channels, n_times):
        repair = "; if its axes are (time, channels), pass its transpose"
        repair = repair if n_channels > n_times else ""
        if self.front_end.n_channels > 1 and n_channels != self.front_end.n_channels:
            raise BadSampleError(
                f"has {n_channels} channels, and {self.label} takes"
                f" {self.front_end.n_channels}{repair}"
            )
        if self.front_end.n_channels == 1 and n_channels != self.n_channels:
            raise BadSampleError(
                f"has {n_channels} channels, expected {self.n_channels}, as the first sample"
                f" that was seen{repair}"
            )

    def _take_channels(self, window):
        """Return the waveforms of a window that are passed one after the other."""
        return [window] if self.front_end.n_channels > 1 else window

    def _make_windows(self, windows):
        for window in windows:
            for channel, waveform in enumerate(self._take_channels(window)):
                waveform = np.ascontiguousarray(waveform)
                yield Window(
                    digest("window", digest_array(waveform)),
                    float(waveform.shape[-1]),
                    partial(self.front_end.make_payload, waveform),
                    channel,
                )


def _note_few_times(shape, note):
    """Note an array (channels, time) that has more channels than times."""
    if len(shape) == 2 and shape[0] > shape[1]:
        note(Sideways(*shape))
