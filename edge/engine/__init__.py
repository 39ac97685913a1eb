"""Graphs on devices: one session protocol before ONNX Runtime and TensorRT."""
