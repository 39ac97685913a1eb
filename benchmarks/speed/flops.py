"""FLOPs and bytes of an ONNX graph, counted from the file, at the shapes of one run.

The shapes come from running the graph once with every intermediate value as an output: exact for dynamic axes, caches and quantised
graphs alike. Counted are the operators that do the arithmetic (convolutions, matrix products, attention), multiply and add apart;
element-wise operators, norms and softmax are not counted, and neither is anything inside a branch or loop: such operators are named in
`uncounted`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import onnx

Shape = tuple[int, ...]

CONVOLUTIONS = {"Conv", "FusedConv", "ConvInteger", "QLinearConv", "NhwcFusedConv"}
PRODUCTS = {"MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
GEMMS = {"Gemm", "QGemm", "FusedGemm"}
_MAYBE = {
    "ConvTranspose", "DeformConv", "Einsum", "Attention", "MultiHeadAttention", "GroupQueryAttention", "MatMulNBits", "LSTM", "GRU", "RNN",
    "If", "Loop", "Scan",
}  # fmt: skip
"""Operators that do arithmetic too, but are counted only where their shapes say how much."""


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

    @property
    def least_bytes(self) -> int:
        """Traffic that no cache can save a cold run."""
        return self.weight_bytes + self.edge_bytes


def node_flops(operator: str, inputs: list[Shape], outputs: list[Shape], *, trans_a: bool = False) -> int | None:
    """FLOPs of one operator at its shapes; 0 for those that do none worth counting, `None` where unknown.

    Quantised operators take scales and zero points between their operands: the weight is then the second input of two axes or more.
    """
    operands = [shape for shape in inputs if len(shape) >= 2]
    if operator in CONVOLUTIONS:
        return 2 * prod(outputs[0]) * prod(operands[1][1:]) if len(operands) > 1 else None
    if operator in PRODUCTS | GEMMS:  # the first operand and the result tell it: a profile leaves out weights that are packed
        return 2 * prod(outputs[0]) * (operands[0][-2] if trans_a else operands[0][-1]) if operands else None
    if operator == "ConvTranspose":
        return 2 * prod(inputs[0]) * prod(inputs[1][1:])
    if operator in ("Attention", "MultiHeadAttention") and len(inputs) >= 3 and all(len(s) == 4 for s in inputs[:3]):
        (batch, heads, queries, head), keys, value = inputs[0], inputs[1][2], inputs[2][3]
        return 2 * batch * heads * queries * keys * (head + value)
    return None if operator in _MAYBE else 0


def count(path: Path, feed: dict[str, np.ndarray]) -> Count:
    """Count a graph at the shapes of one feed."""
    model = onnx.load(path)
    graph = model.graph
    values = _values(model, feed)
    weights = {init.name: init for init in graph.initializer}
    shapes = {name: tuple(array.shape) for name, array in values.items()} | {n: tuple(w.dims) for n, w in weights.items()}
    total, uncounted = 0, dict[str, None]()
    for node in graph.node:
        given = [shapes[name] for name in node.input if name]
        trans_a = any(a.name == "transA" and a.i for a in node.attribute)
        flops = node_flops(node.op_type, given, [shapes[name] for name in node.output if name], trans_a=trans_a)
        if flops is None:
            uncounted[node.op_type] = None
        else:
            total += flops
    outer = {value.name for value in graph.output}
    return Count(
        flops=None if uncounted else total,
        weight_bytes=sum(onnx.numpy_helper.to_array(w).nbytes for w in weights.values()),
        edge_bytes=sum(array.nbytes for name, array in values.items() if name in feed or name in outer),
        uncounted=tuple(uncounted),
    )


def _values(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every value of one run, the feed included. Optimisation is off: it would remove values."""
    import onnxruntime as ort

    known = {value.name for value in model.graph.output}
    inner = [name for node in model.graph.node for name in node.output if name and name not in known]
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(opened.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True)) | feed
