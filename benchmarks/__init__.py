"""Ratios against what people do without this package: `python -m benchmarks`."""
