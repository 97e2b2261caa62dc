"""Samples of each modality, and their conversion to the input of a network."""
