"""What can be done to one graph, each a function of a float32 graph file and the inputs that it really gets."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edge.errors import BundleError, InputError, UsageError
from export.graphs import strip
from export.storage import BITS, store_weights

KINDS = ("float32", "store", "static", "dynamic", "int4", "half")
CALIBRATIONS = ("MinMax", "Entropy", "Percentile")
TARGETS = ("avx512_vnni", "avx2", "arm64")
OPSETS = range(13, 25)

Feed = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to make a graph smaller or faster."""

    kind: str
    """`float32`: leave it; `store`: fewer bits in the file, floats when loaded; `static`: explicit Q/DQ around convolutions, calibrated;
    `dynamic`: int8 matrix products whose inputs are scaled as they come, by Optimum; `int4`: 4-bit weights in blocks; `half`: computed
    in float16, for GPUs."""
    bits: int = 8
    """Of `store`: 16, 12 or 8."""
    keep: tuple[str, ...] = ()
    """Regular expressions: weights (`store`) or nodes (the others) whose whole name matches one stay in float32."""
    calibration: str = "Percentile"
    """Of `static`: how the range of an activation is chosen."""
    symmetric: bool = False
    """Of `static`: signed activations around zero, as TensorRT wants them; else unsigned, as x86 wants them."""
    target: str = "avx512_vnni"
    """Of `dynamic`: whose int8 instructions Optimum chooses the types for."""

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        for value, allowed, name in (
            (self.kind, KINDS, "kind"), (self.bits, BITS, "bits"), (self.calibration, CALIBRATIONS, "calibration"),
            (self.target, TARGETS, "target"),
        ):  # fmt: skip
            if value not in allowed:
                raise UsageError(f"strategy {name} {value!r}: expected one of {', '.join(map(str, allowed))}")

    def __str__(self) -> str:
        """In a few words, for tables and model cards."""
        words = {
            "store": f"weights stored in {self.bits} bits",
            "static": f"int8 Q/DQ, {self.calibration.lower()}{', symmetric' if self.symmetric else ''}",
            "dynamic": f"int8 dynamic ({self.target})",
            "int4": "int4 weights",
            "half": "float16",
            "float32": "float32",
        }
        return words[self.kind] + (f", {' '.join(self.keep)} in float32" if self.keep else "")


def load_graph(path: Path) -> onnx.ModelProto:
    """Read and check a graph file.

    Raises:
        BundleError: truncated, corrupted, no ONNX, or of an opset that is not handled here.
    """
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except OSError as error:
        raise InputError(f"cannot read the graph '{path}': {error.strerror}") from None
    except Exception as error:  # protobuf's and the checker's own classes
        raise BundleError(f"'{path.name}' is no valid ONNX graph: {str(error).strip().splitlines()[0]}") from None
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset not in OPSETS:
        raise BundleError(f"'{path.name}' has opset {opset}: expected {OPSETS.start} to {OPSETS.stop - 1}; export it again")
    return model


def apply(strategy: Strategy, source: Path, target: Path, feeds: list[Feed]) -> None:
    """Write what `strategy` makes of a float32 graph.

    Args:
        strategy: what to do.
        source: the float32 graph.
        target: the file to write.
        feeds: real inputs of the graph, for calibration.

    Raises:
        BundleError: the graph is damaged.
        InputError: the quantiser at hand cannot take this graph, or there is nothing to calibrate with.
    """
    model = load_graph(source)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".graph-") as name, _quiet():
        folder = Path(name)
        if strategy.kind == "store":
            store_weights(model, strategy.bits, strategy.keep)
        elif strategy.kind == "static":
            model = _static(strategy, source, folder, feeds)
        elif strategy.kind == "dynamic":
            model = _dynamic(strategy, source, folder)
        elif strategy.kind == "int4":
            model = _int4(model, strategy)
        elif strategy.kind == "half":
            model = _half(model, strategy)
    strip(model)
    onnx.save(model, str(target))
    load_graph(target)


def _static(strategy: Strategy, source: Path, folder: Path, feeds: list[Feed]) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not feeds:
        raise InputError(f"nothing to calibrate '{source.name}' with: give faces by --data")

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self.left, None)

    prepared, done = folder / "prepared.onnx", folder / "static.onnx"
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared), str(done), Reader(), quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"], per_channel=True,
        activation_type=QuantType.QInt8 if strategy.symmetric else QuantType.QUInt8, weight_type=QuantType.QInt8,
        nodes_to_exclude=_matching(onnx.load(str(prepared)), strategy.keep),
        calibrate_method=CalibrationMethod[strategy.calibration],
        extra_options={"ActivationSymmetric": strategy.symmetric, "QuantizeBias": not strategy.symmetric},  # TensorRT wants float biases
    )  # fmt: skip
    return onnx.load(str(done))


def _dynamic(strategy: Strategy, source: Path, folder: Path) -> onnx.ModelProto:
    try:
        from optimum.onnxruntime import AutoQuantizationConfig, ORTQuantizer
    except ImportError:
        raise InputError("dynamic quantisation needs Optimum: pip install 'erv-edge[export]'") from None
    alone = folder / "alone"  # Optimum looks for a model's configuration beside its graph; a bundle's is another kind
    alone.mkdir()
    model = onnx.load(str(source))
    onnx.save(model, str(alone / "model.onnx"))
    config = getattr(AutoQuantizationConfig, strategy.target)(is_static=False, per_channel=strategy.target != "arm64")
    config.nodes_to_exclude = _matching(model, strategy.keep)
    quantizer = ORTQuantizer.from_pretrained(alone, file_name="model.onnx")
    quantizer.quantize(quantization_config=config, save_dir=folder / "dynamic", file_suffix="")
    return onnx.load(str(folder / "dynamic" / "model.onnx"))


def _int4(model: onnx.ModelProto, strategy: Strategy) -> onnx.ModelProto:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(model, block_size=32, is_symmetric=True, nodes_to_exclude=_matching(model, strategy.keep))
    quantizer.process()
    return quantizer.model.model


def _half(model: onnx.ModelProto, strategy: Strategy) -> onnx.ModelProto:
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = ONNXModel(convert_float_to_float16(model, keep_io_types=True, node_block_list=_matching(model, strategy.keep)))
    half.topological_sort()  # its casts come last, behind what reads them
    return half.model


def _matching(model: onnx.ModelProto, keep: tuple[str, ...]) -> list[str]:
    return [node.name for node in model.graph.node if any(re.fullmatch(pattern, node.name) for pattern in keep)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantisers print and log their progress: ours says what matters, and stdout is data."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
