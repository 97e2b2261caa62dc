"""Freezing of a network, and what needs to be computed only once because of it."""
