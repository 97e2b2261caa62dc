"""Spec of networks of sounds."""

from dataclasses import dataclass

from sklearn_transfer._modalities.audio.front_ends import FrontEnd
from sklearn_transfer._modalities.audio.reader import AudioReader
from sklearn_transfer._modalities.callers import find_caller
from sklearn_transfer._modalities.spec import Spec


@dataclass(frozen=True)
class AudioSpec(Spec):
    """Input of a network of sounds.

    Parameters
    ----------
    label : str
        What messages call the network.
    front_end : FrontEnd
        What it makes of a waveform.
    """

    label: str
    front_end: FrontEnd

    def reader(self, estimator):
        # Fine-tuners have no parameters of a modality.
        return AudioReader(
            self.front_end,
            sampling_rate=getattr(estimator, "sampling_rate", None),
            window=getattr(estimator, "window", None),
            overlap=getattr(estimator, "overlap", 0.0),
            channels=getattr(estimator, "channels", "auto"),
            n_channels=getattr(estimator, "_n_channels", 1),
            label=self.label,
            caller=find_caller(estimator),
        )
