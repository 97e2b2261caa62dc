"""Domains that are shared by tests of weighting."""

import numpy as np
import pytest


@pytest.fixture
def domains():
    """Return a source, labels, and a target of equal length, which a search would slice."""
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(60, 2)), rng.normal(0.5, 1, size=(60, 2))
    y = np.where(X[:, 0] + 0.5 * rng.normal(size=60) > 0, "yes", "no")
    return X, y, T
