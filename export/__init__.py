"""Export: trained parts → one checked bundle. Needs the `export` extra; never shipped."""

from edge.engine.backend import no_telemetry

no_telemetry()  # before anything here imports ONNX Runtime
