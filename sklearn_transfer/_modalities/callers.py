"""Callers of readers: whose options messages about samples may recommend."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """How the user sets options of reading, in the terms of the estimator that was called.

    Parameters
    ----------
    owner : str
        What has the options, such as "PretrainedFeatures", or "model=PretrainedFeatures"
        where it is the value of a parameter.
    refused : tuple of str, default=()
        Options that the estimator does not have ("n_channels"), or values that it refuses
        ("long_text='windows'").
    """

    owner: str
    refused: tuple = ()

    def takes(self, option):
        """Whether an option such as "long_text='windows'" can be recommended."""
        return not {option, option.partition("=")[0]} & set(self.refused)

    def write(self, option):
        """Return how an option is written where it is set."""
        return f"{self.owner}({option})"


def find_caller(estimator):
    """Return the caller that an estimator states, else the estimator by its name."""
    stated = getattr(estimator, "_caller", None)
    return Caller(type(estimator).__name__) if stated is None else stated


OF_IMAGES, OF_TEXTS = Caller("PretrainedFeatures"), Caller("PretrainedTextFeatures")
OF_SOUNDS = Caller("PretrainedAudioFeatures")
