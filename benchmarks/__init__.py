"""Benchmarks: how right, how fast, how well found. `python -m benchmarks --help`."""

from edge.engine.backend import no_telemetry

no_telemetry()  # before anything here imports ONNX Runtime
