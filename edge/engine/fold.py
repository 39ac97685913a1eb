"""Working out, before a graph is run or built, what depends on its constants alone: weights that are stored in fewer bits above all."""

from __future__ import annotations

from pathlib import Path

from edge.errors import BundleError


def fold_constants(source: Path, target: Path) -> None:
    """Write a graph with its constants worked out, in standard operators only.

    Raises:
        BundleError: ONNX Runtime cannot load the graph.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC  # standard operators only
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        # int32 biases suit ONNX Runtime's own kernels; TensorRT wants them in float
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"], disabled_optimizers=["WeightBiasQuantization"])
    except Exception as error:  # onnxruntime raises its own unrelated classes
        raise BundleError(f"cannot load the graph '{source.name}': {str(error).splitlines()[0]}") from None


def folded(path: Path) -> bytes | Path:
    """A graph with its constants worked out, in memory; the file itself where ONNX Runtime is too old for that (before 1.23).

    A session that unpacks its own weights decides the same, but its memory is left scattered: each decoding step takes 2 % longer.
    """
    import onnxruntime as ort

    options, level = ort.SessionOptions(), ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    parts: list[bytes] = []
    try:
        compiler = ort.ModelCompiler(options, str(path), embed_compiled_data_into_model=True, graph_optimization_level=level)
        # not `compile_to_bytes`: ONNX Runtime (1.32) never frees what it returns, 15 MB for every bundle that is loaded
        compiler.compile_to_stream(lambda part: parts.append(bytes(part)))
    except Exception:  # no such compiler, or no such graph: loading the file says what is wrong with it
        return path
    return b"".join(parts)
