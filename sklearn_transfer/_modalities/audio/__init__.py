"""Sounds and time series: samples, front ends of networks, and the payloads that these take."""
