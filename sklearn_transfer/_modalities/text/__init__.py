"""Texts: samples, tokens and the payloads that networks of texts take."""
