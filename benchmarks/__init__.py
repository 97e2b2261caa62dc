"""Compare this package with what people use without it; run `python -m benchmarks`."""
