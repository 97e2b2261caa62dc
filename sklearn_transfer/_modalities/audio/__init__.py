"""Sounds and time series: samples, front ends of networks, and what these make of samples."""
