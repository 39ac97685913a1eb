"""Weights stored in fewer bits, as plain ONNX that unpacks itself.

A weight becomes integers, one scale per output channel, and a few standard nodes that put the floats together again. They depend on
nothing but constants, so that ONNX Runtime folds them when it loads the graph: the same float kernels run at the same speed, from a
smaller file. Nothing else of the graph changes.

    bits  what is stored                                     error of a weight, in its channel's largest
    16    half floats                                        2⁻¹² of itself
    12    an int8 and half a byte, by channel scale          1/4094
    8     an int8, by channel scale                          1/254
"""

from __future__ import annotations

import re

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BITS = (16, 12, 8)
LEAST = 1024
"""Smaller tensors stay as they are: the unpacking would cost more than it saves."""


def store_weights(model: onnx.ModelProto, bits: int, keep: tuple[str, ...] = ()) -> None:
    """Rewrite the weights of a graph, in place.

    Args:
        model: a float32 graph.
        bits: one of `BITS`.
        keep: regular expressions; a weight whose whole name matches one keeps its float32.
    """
    assert bits in BITS
    graph = model.graph
    unpacking: list[onnx.NodeProto] = []
    kept: list[onnx.TensorProto] = []
    for tensor in graph.initializer:
        whole = tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2 or int(np.prod(tensor.dims)) < LEAST
        if whole or any(re.fullmatch(pattern, tensor.name) for pattern in keep):
            kept.append(tensor)
            continue
        values = numpy_helper.to_array(tensor)
        packed, nodes = pack(tensor.name, values, bits, channel_axis(graph, tensor.name, values.ndim))
        kept += packed
        unpacking += nodes
    rest = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend([*unpacking, *rest])


def pack(name: str, values: np.ndarray, bits: int, axis: int) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    """The constants that hold `values` in `bits`, and the nodes that make `name` from them."""
    if bits == 16:
        half = numpy_helper.from_array(np.clip(values, -65504, 65504).astype(np.float16), f"{name}.half")
        return [half], [helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)]
    whole, scale = quantize(values, bits, axis)
    constants, nodes = [numpy_helper.from_array(scale, f"{name}.scale")], []
    if bits == 8:
        constants.append(numpy_helper.from_array(whole.astype(np.int8), f"{name}.int8"))
        nodes.append(helper.make_node("Cast", [f"{name}.int8"], [f"{name}.whole"], to=TensorProto.FLOAT))
    else:
        high, low = whole >> 4, (whole & 15).astype(np.uint8).ravel()
        low = np.pad(low, (0, len(low) % 2)).reshape(2, -1)  # the first half in the upper four bits, the second in the lower
        constants += [
            numpy_helper.from_array(high.astype(np.int8), f"{name}.int8"),
            numpy_helper.from_array(low[0] * 16 + low[1], f"{name}.nibbles"),
            numpy_helper.from_array(np.float32(16), f"{name}.16"),
            numpy_helper.from_array(np.array([0]), f"{name}.start"),
            numpy_helper.from_array(np.array([values.size]), f"{name}.end"),
            numpy_helper.from_array(np.array(values.shape), f"{name}.shape"),
        ]

        def step(kind: str, inputs: str, output: str, **attributes: int) -> None:
            names = [f"{name}.{part}" for part in inputs.split()]
            nodes.append(helper.make_node(kind, names, [f"{name}.{output}"], **attributes))

        step("Cast", "nibbles", "pairs", to=TensorProto.FLOAT)
        step("Div", "pairs 16", "sixteenths")
        step("Floor", "sixteenths", "upper")
        step("Mul", "upper 16", "upper_part")
        step("Sub", "pairs upper_part", "lower")
        step("Concat", "upper lower", "padded", axis=0)
        step("Slice", "padded start end", "flat")
        step("Reshape", "flat shape", "low")
        step("Cast", "int8", "high", to=TensorProto.FLOAT)
        step("Mul", "high 16", "high_part")
        step("Add", "high_part low", "whole")
    nodes.append(helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name]))
    return constants, nodes


def quantize(values: np.ndarray, bits: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric integers `[…]` int32 of that many bits, and the scale of every channel, broadcastable to them."""
    largest = 2 ** (bits - 1) - 1
    rest = tuple(i for i in range(values.ndim) if i != axis)
    scale = (np.maximum(np.abs(values).max(rest, keepdims=True), 1e-30) / largest).astype(np.float32)
    return np.clip(np.round(values / scale), -largest, largest).astype(np.int32), scale


def channel_axis(graph: onnx.GraphProto, name: str, rank: int) -> int:
    """The axis of a weight along which its outputs lie: rows of a convolution or a table, columns of a matrix product."""
    for node in graph.node:
        if name in node.input:
            rows = node.op_type in ("Conv", "Gather", "GatherND")
            rows |= node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
            return 0 if rows else rank - 1
    return 0
