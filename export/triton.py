"""`python -m export triton`: a model repository for NVIDIA Triton, for those who outgrow one device.

    erv_face, erv_vision, erv_embed, erv_decoder, erv_verifier    the bundle's graphs, by Triton's ONNX Runtime backend
    erv_fast                                                      crops → visual tokens, probabilities, cues, points, pose, visible cues
    erv_explain                                                   tokens, probabilities, cues, pose, visible → explanations with verdicts

The two paths are Triton's *business logic scripts*: Python models that call the graphs on the server and take everything else (softmax,
decoding, templates, verdict) from the `edge` package itself, so that a server and a device cannot drift apart. An ensemble could not hold
the decoding loop.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx

from edge.bundle import GRAPHS, Bundle
from edge.errors import UsageError
from export.strategies import load_graph
from training.folders import new_folder

SERVED = {"face": "erv_face", "vision_encoder": "erv_vision", "embed_tokens": "erv_embed", "decoder_model_merged": "erv_decoder",
          "verifier": "erv_verifier"}  # fmt: skip
MARKER = ".erv-edge-repository"
_TYPES = {onnx.TensorProto.FLOAT: "TYPE_FP32", onnx.TensorProto.INT64: "TYPE_INT64"}
SCRIPTS = Path(__file__).parent / "triton_models"


def write_repository(folder: Path, out: Path, *, gpu: bool) -> list[Path]:
    """Write a model repository.

    Args:
        folder: the bundle.
        out: the repository; an existing one that this command wrote is replaced at the very end.
        gpu: run the graphs on a GPU of the server, else on its CPU.

    Returns:
        The folders of its models.

    Raises:
        BundleError: the bundle is damaged.
        InputError: `out` holds something else, or cannot be written.
        UsageError: a bundle whose policy has a vision tower: those run on one device.
    """
    bundle = Bundle.load(folder)
    if bundle.config.policy.tower:
        raise UsageError(f"the policy of '{folder}' has a vision tower of its own: a Triton repository is made for the small policy only")
    with new_folder(out, MARKER) as fresh:
        (fresh / MARKER).touch()
        for graph in GRAPHS:
            _graph_model(fresh / SERVED[graph], bundle.graph(graph), gpu)
        size = bundle.config.image.size
        cues = [-1, len(bundle.config.cues)]
        readings = [
            ("probabilities", "TYPE_FP32", [-1, len(bundle.config.labels)]),
            ("cues", "TYPE_FP32", cues),
            ("pose", "TYPE_FP32", [-1, 3]),
            ("visible", "TYPE_FP32", cues),
        ]
        tokens = ("visual_tokens", "TYPE_FP32", [-1, -1, -1])
        places = [("points", "TYPE_FP32", [-1, -1, 2])]
        fast = {"inputs": [("crops", "TYPE_UINT8", [-1, size, size])], "outputs": [tokens, *readings, *places]}
        explain = {"inputs": [tokens, *readings], "outputs": [("explanations", "TYPE_STRING", [-1])]}
        for name, tensors in (("fast", fast), ("explain", explain)):
            _script_model(fresh / f"erv_{name}", SCRIPTS / f"{name}.py", bundle, tensors)
    return sorted(path for path in out.iterdir() if path.is_dir())


def _graph_model(model: Path, graph: Path, gpu: bool) -> None:
    proto = load_graph(graph).graph
    weights = {tensor.name for tensor in proto.initializer}
    (model / "1").mkdir(parents=True)
    shutil.copyfile(graph, model / "1" / "model.onnx")
    inputs = [_tensor(value) for value in proto.input if value.name not in weights]
    _write(model, 'backend: "onnxruntime"', inputs, [_tensor(value) for value in proto.output], "KIND_GPU" if gpu else "KIND_CPU")


def _script_model(model: Path, script: Path, bundle: Bundle, tensors: dict[str, Any]) -> None:
    """A script, with what it reads beside it: the bundle's configuration and tokenizers, and what each graph returns."""
    version = model / "1"
    version.mkdir(parents=True)
    shutil.copyfile(script, version / "model.py")
    shutil.copyfile(SCRIPTS / "served.py", version / "served.py")
    outputs = {SERVED[graph]: [value.name for value in load_graph(bundle.graph(graph)).graph.output] for graph in GRAPHS}
    (version / "graphs.json").write_text(json.dumps(outputs, indent=1) + "\n", encoding="utf-8")
    for name in ("config.json", "grammar.json", "tokenizer.json", "verifier_tokenizer.json"):
        shutil.copyfile(bundle.folder / name, version / name)
    _write(model, 'backend: "python"', tensors["inputs"], tensors["outputs"], "KIND_CPU")


def _tensor(value: onnx.ValueInfoProto) -> tuple[str, str, list[int]]:
    kind = value.type.tensor_type
    return value.name, _TYPES[kind.elem_type], [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]


def _write(model: Path, backend: str, inputs: list[Any], outputs: list[Any], kind: str) -> None:
    """`config.pbtxt`: every tensor's shape is whole (no implicit batch axis), since the first axis is not always the batch."""
    lines = [f'name: "{model.name}"', backend, "max_batch_size: 0"]
    for field, tensors in (("input", inputs), ("output", outputs)):
        lines += [f'{field} {{ name: "{name}" data_type: {type_} dims: {dims} }}' for name, type_, dims in tensors]
    lines += [f"instance_group {{ kind: {kind} }}"]
    (model / "config.pbtxt").write_text("\n".join(lines) + "\n", encoding="utf-8")
