"""Domains that tests of weighting share."""

import numpy as np
import pytest


@pytest.fixture
def domains():
    """Source, its labels, and a target of as many rows, which a search would slice."""
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(60, 2)), rng.normal(0.5, 1, size=(60, 2))
    y = np.where(X[:, 0] + 0.5 * rng.normal(size=60) > 0, "yes", "no")
    return X, y, T
