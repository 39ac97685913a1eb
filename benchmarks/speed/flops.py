"""FLOPs and bytes of an ONNX graph, at the shapes of one run by ONNX Runtime's own profile, without optimisation.

Counted are the operators that do the arithmetic (convolutions, matrix products), multiply and add apart; element-wise ones,
norms and softmax are not. What a branch or loop does is not known: such operators are named in `uncounted`.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

Shape = tuple[int, ...]

_CONVOLUTIONS = {"Conv", "ConvInteger", "QLinearConv"}
_PRODUCTS = {"MatMul", "MatMulInteger", "QLinearMatMul"}
_UNKNOWN = {
    "ConvTranspose", "DeformConv", "Einsum", "Attention", "MultiHeadAttention", "GroupQueryAttention", "MatMulNBits", "LSTM", "GRU", "RNN",
    "If", "Loop", "Scan",
}  # fmt: skip
"""Operators that do arithmetic, too, which nobody has had to count yet."""


@dataclass(frozen=True, slots=True)
class Count:
    """What one run of a graph costs at least."""

    flops: int | None
    """Multiply and add apart; `None` where an operator's work is unknown."""
    weight_bytes: int
    """Initialisers, each read once."""
    edge_bytes: int
    """The graph's inputs and outputs."""
    uncounted: tuple[str, ...]
    """Operators whose arithmetic is not in `flops`, and should be."""


def node_flops(operator: str, inputs: list[Shape], outputs: list[Shape]) -> int | None:
    """FLOPs of one operator at its shapes; 0 for those that do none worth counting, `None` where unknown.

    Quantised operators take scales and zero points between their operands: the weight is then the second input of two axes or more.
    """
    operands = [shape for shape in inputs if len(shape) >= 2]
    if operator in _CONVOLUTIONS:
        return 2 * prod(outputs[0]) * prod(operands[1][1:])
    if operator in _PRODUCTS:
        return 2 * prod(outputs[0]) * operands[0][-1]
    if operator == "Gemm":  # either operand may be transposed
        return 2 * prod(outputs[0]) * prod(operands[1]) // outputs[0][-1]
    return None if operator in _UNKNOWN else 0


def count(path: Path, feed: dict[str, np.ndarray]) -> Count:
    """Count a graph at the shapes of one feed."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")  # packed weights would not show their shapes
    events, results = profile(path, feed, options)
    work: dict[str, list[int | None]] = {}
    for event in operators(events):
        about = event["args"]
        inputs, outputs = (
            [tuple(shape) for each in about[key] for shape in each.values()] for key in ("input_type_shape", "output_type_shape")
        )
        work.setdefault(about["op_name"], []).append(node_flops(about["op_name"], inputs, outputs))
    uncounted = tuple(operator for operator, each in work.items() if None in each)
    return Count(
        flops=None if uncounted else sum(flops or 0 for each in work.values() for flops in each),
        weight_bytes=sum(onnx.numpy_helper.to_array(weight).nbytes for weight in onnx.load(path).graph.initializer),
        edge_bytes=sum(array.nbytes for array in (*feed.values(), *results)),
        uncounted=uncounted,
    )


def profile(
    path: Path, feed: dict[str, np.ndarray], options: ort.SessionOptions, *, threads: int = 1, runs: int = 1
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """The events of ONNX Runtime's profile of some runs on the CPU, and the results of the last."""
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(runs):
            results = session.run(None, feed)
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return events, results


def operators(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those events of a profile that are an operator at work."""
    return [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
