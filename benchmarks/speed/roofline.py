"""`python -m benchmarks roofline`: how far each graph is from what this machine can do.

The ceiling is measured: the rate of a large matrix product and the bandwidth of memory. A graph's *attainable* rate is the lesser of the
two at its arithmetic intensity (Roofline: An Insightful Visual Performance Model for Multicore Architectures, 2009), with only the bytes
counted that no cache can save.

FLOPs and bytes of a graph are those at the shapes of one run by ONNX Runtime's own profile, without optimisation. Counted are the operators
that do the arithmetic (convolutions, matrix products), multiply and add apart; element-wise ones, norms and softmax are not. What a branch
or loop does is not known: such operators are named in `uncounted`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from benchmarks.command import Figures, of_pipeline, whole
from benchmarks.speed.clock import UNIT, UNIT_FLOPS, interleave, timed
from benchmarks.speed.stages import Feed, Scene, demo_frame, watched
from edge.cv import cv2
from edge.engine.fold import fold_constants
from edge.language.rationale import parse_completion
from edge.language.verdict import sentences_of
from edge.pipeline import Pipeline
from edge.vision.crop import align

_DECODER = "decoder_model_merged"


def feeds(scene: Scene) -> dict[str, tuple[str, Feed, Callable[[], object]]]:
    """What the pipeline really gives each graph for one face: stage → graph, feed, and the run of it in the pipeline's own session.

    The decoder appears twice: reading the prompt, and one token in the middle of the rationale.
    """
    pipeline, explainer = scene.pipeline, scene.pipeline.explainer
    policy, verifier = explainer.policy, explainer.verifier
    fed: dict[str, list[Feed]] = {}

    def listening(name: str, owner: Any, session: str = "session") -> Any:
        """A twin of a part of the pipeline, the owner of a session, that keeps what its graph is given."""
        twin, kept = copy(owner), fed.setdefault(name, [])
        keep = watched(getattr(owner, session), before=lambda feed: kept.append({key: array.copy() for key, array in feed.items()}))
        setattr(twin, session, keep)
        return twin

    def decode(feed: Feed) -> Callable[[], object]:
        """As the policy runs it: the caches are updated in place."""
        into = {present: feed[past] for past, present in zip(policy.past, policy.present, strict=True)}
        return lambda: policy.decoder.run_into(feed, into)

    listening("face", pipeline.finder)(scene.grey)
    listening("encode", pipeline.encoder)(align(scene.grey, scene.detection, pipeline.config.image)[0][None])
    scope = explainer.grammar.scope(scene.subject.facts.hidden)
    listening("token", policy, "decoder").greedy(scene.subject.tokens[None], [scope])
    done = parse_completion(scene.text, tuple(pipeline.config.labels))
    listening("verify", verifier)(sentences_of(done, explainer.grammar.parse(done.rationale)) or [scene.text])
    face, encode, verify = (fed[name][0] for name in ("face", "encode", "verify"))
    prompt, token = fed["token"][0], fed["token"][len(fed["token"]) // 2]
    return {
        "face": ("face", face, lambda: pipeline.finder.session.run(face)),
        "encode": ("vision_encoder", encode, lambda: pipeline.encoder.session.run(encode)),
        "prompt": (_DECODER, prompt, decode(prompt)),
        "token": (_DECODER, token, decode(token)),
        "verify": ("verifier", verify, lambda: verifier.session.run(verify)),
    }


def bandwidth(threads: int, megabytes: int = 256, repeats: int = 7) -> float:
    """Bytes per second of copying an array that no cache holds, read and written bytes both counted; the best of `repeats`."""
    source = np.ones(megabytes * 2**20 // 8)
    target = np.zeros_like(source)
    best = np.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            started = time.perf_counter()
            list(pool.map(np.copyto, np.array_split(target, threads), np.array_split(source, threads)))
            best = min(best, time.perf_counter() - started)
    return 2 * source.nbytes / best


def measure(pipeline: Pipeline, threads: int, *, rounds: int = 30, profile: bool = False) -> Figures:
    """Count and time every graph on one face in a 640×480 picture.

    Returns:
        `threads`, `gemm_gflops`, `bandwidth_gbs`, and `stages`: stage → `graph`, `threads` (the decoder's: 1), `median_ms`, `mflops`,
        `weight_mb`, `intensity` (FLOPs per byte), `gflops` reached, `share_of_gemm`, `share_of_attainable`, `bound`, `uncounted`; with
        `profile` also `operators`. `None`: what rests on uncounted operators, and shares on a provider other than the CPU, whose ceiling is
        not known.
    """
    cv2.setNumThreads(threads)
    given = feeds(Scene.of(pipeline, demo_frame()))
    times = interleave([timed(name, run) for name, (_, _, run) in given.items()], threads, rounds=rounds, title="roofline")
    roofs = _roofs(times[UNIT], threads) if pipeline.provider == "CPUExecutionProvider" else {}
    stages = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (graph, feed, _) in given.items():
            own = 1 if graph == _DECODER else threads
            unpacked = Path(folder) / f"{name}.onnx"
            fold_constants(pipeline.bundle.graph(graph), unpacked)
            stage = _place(count(unpacked, feed), float(np.median(times[name])), *roofs.get(own, (None, None)))
            stages[name] = {"graph": graph, "threads": own, **stage}
            if profile and roofs:
                stages[name]["operators"] = operators(unpacked, feed, own)
    ceilings: Figures = {}
    for end, own in (("", threads), ("_one_thread", 1)):
        gemm, stream = roofs.get(own, (np.nan, np.nan))
        ceilings |= {f"gemm_gflops{end}": gemm / 1e9, f"bandwidth_gbs{end}": stream / 1e9}
    return {"threads": threads, **ceilings, "provider": pipeline.provider, "stages": stages}


def _roofs(unit: np.ndarray, threads: int) -> dict[int, tuple[float, float]]:
    """Threads, as many as given and one → FLOP/s of the fastest matmul, and bytes/s, of this machine's CPU."""
    units = {1: unit if threads == 1 else interleave([], 1, rounds=len(unit), title="one thread")[UNIT], threads: unit}
    return {own: (float(UNIT_FLOPS / spent.min() * 1e3), bandwidth(own)) for own, spent in units.items()}


def _place(cost: Count, median_ms: float, ceiling: float | None, stream: float | None) -> Figures:
    figures: Figures = {"median_ms": median_ms, "weight_mb": cost.weight_bytes / 1e6, "uncounted": list(cost.uncounted)}
    figures |= dict.fromkeys(("mflops", "intensity", "gflops", "share_of_gemm", "share_of_attainable", "bound"))
    if cost.flops is not None:
        rate, intensity = cost.flops / median_ms * 1e3, cost.flops / (cost.weight_bytes + cost.edge_bytes)
        figures |= {"mflops": cost.flops / 1e6, "intensity": intensity, "gflops": rate / 1e9}
        if ceiling is not None and stream is not None:
            figures |= {"share_of_gemm": rate / ceiling, "share_of_attainable": rate / min(ceiling, intensity * stream)}
            figures["bound"] = "memory" if intensity * stream < ceiling else "compute"
    return figures


def operators(path: Path, feed: Feed, threads: int, runs: int = 40) -> list[Figures]:
    """ONNX Runtime's own profile of a graph on the CPU, operators of a kind together, the most expensive first.

    Returns:
        Rows of `operator`, `calls`, `us` (mean) and `share` of a run; the last, `outside`, is what no operator accounts for.
    """
    events, total, _ = profiled(path, feed, ort.SessionOptions(), threads=threads, runs=runs)
    kinds: dict[str, list[int]] = {}
    for event in events:
        kinds.setdefault(event["args"]["op_name"], []).append(event["dur"])
    ordered = sorted(kinds.items(), key=lambda kind: -sum(kind[1]))
    ordered.append(("outside", [total - sum(map(sum, kinds.values()))]))
    return [
        {"operator": kind, "calls": -(-len(spent) // runs), "us": sum(spent) / runs, "share": sum(spent) / total} for kind, spent in ordered
    ]


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


def node_flops(operator: str, inputs: list[tuple[int, ...]], outputs: list[tuple[int, ...]]) -> int | None:
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
    events, _, results = profiled(path, feed, options)
    work: dict[str, list[int | None]] = {}
    for event in events:
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


def profiled(
    path: Path, feed: dict[str, np.ndarray], options: ort.SessionOptions, *, threads: int = 1, runs: int = 1
) -> tuple[list[dict[str, Any]], int, list[np.ndarray]]:
    """ONNX Runtime's profile of some runs on the CPU: its operators at work, microseconds of all runs, and the results of the last."""
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(runs):
            results = session.run(None, feed)
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    at_work = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    return at_work, sum(event["dur"] for event in events if event.get("name") == "model_run"), results


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=whole, default=30, metavar="N", help="turns of every graph (default: 30)")
    parser.add_argument("--profile", action="store_true", help="also the time of every kind of operator (CPU)")


def _run(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    return measure(pipeline, args.threads, rounds=args.rounds, profile=args.profile)


COMMAND = of_pipeline(_run, _options, default_threads=2, rounds=1, threads=1)
