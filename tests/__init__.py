"""Tests of the package; a name of its own beside packages that install `tests`."""
