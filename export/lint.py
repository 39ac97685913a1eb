"""`python -m export lint`: would TensorRT take this bundle? Checked against the published operator support, without TensorRT.

What TensorRT's parser is given is checked: the graph with its constants folded, so that stored weights are floats again. The operator table
is data (`tensorrt_operators.json`), with its source and date.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.bundle import GRAPHS, TOWER, Bundle
from edge.engine.fold import fold_constants
from edge.errors import BundleError, UsageError
from edge.profiles import OWN, Profile, graph_profiles
from export.strategies import load_graph

TARGETS = ("trt10.3", "trt10.16")
_TYPES = {
    TensorProto.FLOAT: "FP32", TensorProto.FLOAT16: "FP16", TensorProto.BFLOAT16: "BF16", TensorProto.DOUBLE: "FP64",
    TensorProto.INT32: "INT32", TensorProto.INT64: "INT64", TensorProto.INT8: "INT8", TensorProto.UINT8: "UINT8",
    TensorProto.INT4: "INT4", TensorProto.FLOAT8E4M3FN: "FP8", TensorProto.BOOL: "BOOL",
}  # fmt: skip
_DATA_INPUT = {"Where": 1}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that TensorRT would not take."""

    graph: str
    where: str
    """Node or input."""
    what: str

    def __str__(self) -> str:
        """As a line."""
        return f"{self.graph}: {self.where}: {self.what}"


def lint(folder: Path, target: str) -> list[Finding]:
    """Check every graph of a bundle.

    Args:
        folder: the bundle.
        target: one of `TARGETS`.

    Raises:
        BundleError: the bundle is damaged.
        UsageError: no such target.
    """
    bundle = Bundle.load(folder)
    names = [*GRAPHS, *([TOWER] if bundle.config.policy.tower else [])]
    return [
        finding for name in names for finding in lint_graph(bundle.graph(name), graph_profiles(name, bundle.config), target, graph=name)
    ]


def lint_graph(path: Path, profiles: tuple[Profile, ...], target: str, *, graph: str | None = None) -> list[Finding]:
    """Check one graph: opset, operators, types, attributes, constants, Q/DQ placement, and that every dynamic axis has bounds."""
    table = operator_table(target)
    name = graph or path.stem
    model = folded(path)
    types, constants = value_types(model), {t.name: t for t in model.graph.initializer}
    low, high = table["opset"]
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    found = [] if low <= opset <= high else [Finding(name, "graph", f"opset {opset} is outside {low} to {high}")]
    found += [Finding(name, *pair) for pair in _unbounded(model, profiles)]
    for i, node in enumerate(model.graph.node):
        where = f"{node.op_type} '{node.name or i}'"
        problems = [*_operator(node, types, constants, table), *_quantised(node, model.graph, types, constants)]
        found += [Finding(name, where, what) for what in problems]
    return found


@cache
def operator_table(target: str) -> dict[str, Any]:
    """`operators` (name → types), `rules` and `opset` range of a target; `UsageError` for another."""
    if target not in TARGETS:
        raise UsageError(f"unknown target '{target}': expected one of {', '.join(TARGETS)}")
    values = json.loads((Path(__file__).parent / "tensorrt_operators.json").read_text(encoding="utf-8"))
    special = values["targets"][target]
    operators = {name: tuple(types.split()) for name, types in {**values["operators"], **special["operators"]}.items()}
    return {"operators": operators, "opset": special["opset"], "rules": values["rules"]}


def folded(path: Path) -> onnx.ModelProto:
    """The graph with its constants folded; as it is where ONNX Runtime cannot load it (an operator that it does not know, say)."""
    load_graph(path)
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / path.name
        try:
            fold_constants(path, target)
        except BundleError:
            return onnx.load(str(path))
        return onnx.load(str(target))


def value_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every value that can be inferred."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {t.name: t.data_type for t in graph.initializer}
    return known | {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}


def _operator(node: onnx.NodeProto, types: dict[str, int], constants: dict[str, Any], table: dict[str, Any]) -> list[str]:
    rules, allowed = table["rules"], table["operators"].get(node.op_type)
    if node.domain not in ("", "ai.onnx"):
        return [f"operator of the domain '{node.domain}' is not supported"]
    if allowed is None:
        return ["operator is not supported"]
    found = []
    data = next(iter(node.input[_DATA_INPUT.get(node.op_type, 0) :]), "")
    kind = _TYPES.get(types.get(data, 0))
    if kind and kind not in allowed and not (node.op_type == "DequantizeLinear" and data in constants):
        found.append(f"type {kind} is not supported")
    for i in rules["constant"].get(node.op_type, []):
        if len(node.input) > i and node.input[i] and node.input[i] not in constants:
            found.append(f"input {i} must be a constant")
    if len([name for name in node.output if name]) > rules["outputs"].get(node.op_type, len(node.output)):
        found.append("only the first output is supported")
    values = {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}
    for attribute, choices in rules["attributes"].get(node.op_type, {}).items():
        if attribute in values and values[attribute] not in choices:
            found.append(f"{attribute} {values[attribute]!r} is not supported")
    if set(values.get(rules["ones"].get(node.op_type, ""), [])) - {1}:
        found.append("dilations other than 1 are not supported")
    if limit := rules["largest"].get(node.op_type):
        given = constants.get(node.input[limit[0]])
        if given is not None and int(numpy_helper.to_array(given).max()) > limit[1]:
            found.append(f"input {limit[0]} is above {limit[1]}")
    return found


def _quantised(node: onnx.NodeProto, graph: onnx.GraphProto, types: dict[str, int], constants: dict[str, Any]) -> list[str]:
    """Explicit quantisation as TensorRT wants it: symmetric, signed, constant scales, and every Q followed by its DQ."""
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return []
    found = []
    if node.input[1] not in constants:
        found.append("the scale must be a constant")
    zero = node.input[2] if len(node.input) > 2 else ""
    if zero and (zero not in constants or np.any(numpy_helper.to_array(constants[zero]).astype(np.int64))):
        found.append("asymmetric quantisation: the zero point must be 0")
    kind = types.get(node.input[0] if node.op_type == "DequantizeLinear" else zero or node.output[0], 0)
    if kind in (TensorProto.UINT8, TensorProto.INT32, TensorProto.UINT16, TensorProto.INT16):
        found.append(f"quantised type {_TYPES.get(kind, 'INT16')}: only INT8 is supported")
    if node.op_type == "QuantizeLinear":
        readers = [other for other in graph.node if node.output[0] in other.input]
        if not readers or any(other.op_type != "DequantizeLinear" for other in readers):
            found.append("misplaced: a QuantizeLinear must be read by a DequantizeLinear only")
    elif node.input[0] not in constants and len(constants.get(node.input[1], TensorProto()).dims) and constants[node.input[1]].dims[0] > 1:
        found.append("misplaced: activations must be quantised per tensor, only weights per channel")
    return found


def _unbounded(model: onnx.ModelProto, profiles: tuple[Profile, ...]) -> list[tuple[str, str]]:
    """Inputs without a profile, or with an axis whose bounds do not fit."""
    weights, found = {t.name for t in model.graph.initializer}, []
    for value in model.graph.input:
        if value.name in weights:
            continue
        dims = value.type.tensor_type.shape.dim
        for profile in profiles:
            bounds = [part.get(value.name) for part in (profile.least, profile.usual, profile.most)]
            if any(shape is None or len(shape) != len(dims) for shape in bounds):
                found.append((f"input '{value.name}'", f"profile '{profile.name}' does not bound it"))
                continue
            for axis, (dim, *limits) in enumerate(zip(dims, *bounds, strict=True)):
                where = f"input '{value.name}' axis {axis}"
                if dim.HasField("dim_value"):
                    if any(limit not in (OWN, dim.dim_value) for limit in limits):
                        found.append((where, f"fixed at {dim.dim_value}, which profile '{profile.name}' does not keep to"))
                elif not 0 < limits[0] <= limits[1] <= limits[2]:
                    found.append((where, f"dynamic axis '{dim.dim_param}' without bounds in profile '{profile.name}'"))
    known = {value.name for value in model.graph.input}
    found += [(f"input '{name}'", "is in a profile, but not in the graph") for p in profiles for name in p.least if name not in known]
    return found


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
