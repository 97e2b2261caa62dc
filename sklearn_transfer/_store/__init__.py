"""Vectors stored under the content of their samples, in memory and on disk."""
