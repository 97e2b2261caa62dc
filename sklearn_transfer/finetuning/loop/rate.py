"""The course of the learning rate over the steps of a phase."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LearningRate:
    """Factor of the learning rate at each step: linear warm-up, then half a cosine to 0.

    Parameters
    ----------
    n_steps : int
        Steps of the phase.
    warmup : float, default=0
        Share of the steps in which the factor rises.
    share : float, default=1
        Largest factor.
    is_constant : bool, default=False
        Whether the factor is `share` in all steps.
    """

    n_steps: int
    warmup: float = 0.0
    share: float = 1.0
    is_constant: bool = False

    def compute_factor(self, step):
        """Factor at a step, counted from 0."""
        if self.is_constant:
            return self.share
        n_warm = self.warmup * self.n_steps
        if step < n_warm:
            return self.share * ((step + 1) / (n_warm + 1))
        progress = (step - n_warm) / max(self.n_steps - n_warm, 1)
        return self.share * (0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
