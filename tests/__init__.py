"""Tests of the package; being a package avoids conflicts with other installed `tests`."""
