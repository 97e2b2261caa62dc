"""Engines: how a frozen network is run."""
