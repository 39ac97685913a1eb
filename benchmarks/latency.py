"""`python -m benchmarks latency`: milliseconds per stage, and the same in *matmuls*, so that figures travel between machines.

A matmul is a 1024³ float32 product on the same number of threads, run by ONNX Runtime in the same rounds as the stages: drift hits both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from edge.camera import Frame, demo_picture
from edge.cv import cv2
from edge.errors import InputError
from edge.explain import Subject
from edge.face import align
from edge.picture import as_grey, read_image
from edge.pipeline import Pipeline
from edge.rationale import parse_completion

_SIDE = 1024
BURST = 4
"""Calls of a stage in a row: a camera calls it frame after frame, with no matrix product in between that empties the caches."""


def demo_frame(width: int = 640, height: int = 480) -> Frame:
    """The demo portrait on a camera-sized picture."""
    portrait = read_image(demo_picture())
    side = min(width, height)
    picture = np.full((height, width, 3), 96, np.uint8)
    left = (width - side) // 2
    picture[:side, left : left + side] = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    return Frame(picture, "benchmark", 0, 0.0)


def measure(pipeline: Pipeline, threads: int, *, rounds: int = 30, warmup: int = 4, burst: int = BURST) -> dict[str, Any]:
    """Time every stage on one face in a 640×480 picture, interleaved round by round.

    Args:
        pipeline: the loaded bundle, on `threads` threads.
        threads: also of the matmul.
        rounds: how often each stage takes its turn, a few calls in a row.
        warmup: rounds before that.
        burst: calls of a stage in each turn; 1 gives every stage caches that the others have emptied, the matrix product among them.

    Returns:
        `matmul_ms`, `threads`, and `stages` with `median_ms`, `p95_ms`, `matmuls` each: `face` (find), `align`, `encode`, `fast` (all
        three), `explain` (decode), `verify` (judge the text), `full` (fast, explained and verified).
    """
    cv2.setNumThreads(threads)
    frame = demo_frame()
    grey = as_grey(frame.image_bgr)
    spec = pipeline.bundle.config.image
    seen = pipeline.look(frame)
    if not seen.reading.faces:
        raise InputError("the bundle's face finder finds no face in the demo picture: there is nothing to time")
    face, detection = seen.reading.faces[0], seen.reading.faces[0].detection
    crop = align(grey, detection, spec)[0][None]
    subject = Subject(seen.tokens[0], face.emotion, face.confidence, face.cues)
    text = pipeline.explainer.policy.greedy(seen.tokens[:1])
    done = [parse_completion(text[0], tuple(pipeline.bundle.config.labels))]
    matmul = matmul_session(threads)
    stages: dict[str, Callable[[], object]] = {
        "matmul": matmul,
        "face": lambda: pipeline.finder(grey),
        "align": lambda: align(grey, detection, spec),
        "encode": lambda: pipeline.encoder(crop),
        "fast": lambda: pipeline.look(frame),
        "explain": lambda: pipeline.explainer.policy.greedy(subject.tokens[None]),
        "verify": lambda: pipeline.explainer.read(done),
        "full": lambda: pipeline.explain(pipeline.look(frame)),
    }
    times: dict[str, list[float]] = {name: [] for name in stages}
    for i in tqdm(range(warmup + rounds), desc="latency", leave=False, disable=None):
        for name, stage in stages.items():
            for _ in range(burst):
                started = time.perf_counter()
                stage()
                if i >= warmup:
                    times[name].append((time.perf_counter() - started) * 1e3)
    unit = float(np.median(times.pop("matmul")))
    return {
        "matmul_ms": unit,
        "threads": threads,
        "rounds": rounds,
        "burst": burst,
        "provider": pipeline.provider,
        "tokens": len(pipeline.explainer.policy.tokenizer.encode(text[0]).ids),
        "stages": {
            name: {
                "median_ms": float(np.median(values)),
                "p95_ms": float(np.percentile(values, 95)),
                "matmuls": float(np.median(values)) / unit,
            }
            for name, values in times.items()
        },
    }


def matmul_session(threads: int) -> Callable[[], object]:
    """A 1024³ float32 product in ONNX Runtime, on `threads` threads."""
    import onnxruntime as ort
    from onnx import TensorProto, checker, helper

    shape = [_SIDE, _SIDE]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "matmul",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "ab"],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads would disturb the stages
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    feed = {name: random.standard_normal(shape, np.float32) for name in "ab"}
    return lambda: session.run(None, feed)
