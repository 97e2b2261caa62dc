"""Engines, which run a frozen network."""
