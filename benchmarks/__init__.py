"""Benchmarks: how right, how fast, how well found. `python -m benchmarks --help`."""
