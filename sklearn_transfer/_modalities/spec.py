"""Specs: what input a network takes, and so what its samples are."""

from abc import ABC, abstractmethod


class Spec(ABC):
    """What input a network takes: plain data, equal for networks that take the same input.

    Attributes
    ----------
    channels : int or None, default=None
        Channels of the images that the network takes. None: it takes no images, or does not
        say how many channels they have.
    """

    channels = None

    @abstractmethod
    def reader(self, estimator):
        """Make the `Reader` of samples for this network.

        Parameters
        ----------
        estimator : estimator
            Its parameters are the user's options of reading, such as `preprocess`.

        Returns
        -------
        reader : Reader
            Turns each sample into a payload that the network can take.

        Raises
        ------
        ValueError
            If the options do not fit the network.
        """
