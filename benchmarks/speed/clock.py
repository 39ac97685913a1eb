"""The one way of timing: after a warm-up, what is timed takes turns with a *matmul*, round by round.

A matmul is a 1024³ float32 product on the same number of threads in ONNX Runtime: beside it a time travels between machines. Other work
comes and goes, so what is compared is compared in pairs, within a round.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.command import Figures, progress

Stage = Callable[[int], dict[str, list[float]]]
"""Number of calls → name of a figure → milliseconds of every call."""

Times = dict[str, np.ndarray]
"""Name of a figure → `[rounds, calls]` milliseconds, the matmul's among them."""

Clock = Callable[[], float]
"""Seconds: `time.perf_counter`, or `time.thread_time` for what runs on the calling thread alone, which other work does not delay."""

CALLS = 4
"""Calls of a turn, after one that does not count: a camera calls a stage frame after frame, in caches that it has filled itself."""

UNIT = "matmul"
_SIDE = 1024
UNIT_FLOPS = 2 * _SIDE**3
"""Floating point operations of one matmul, multiply and add apart."""


def timed(name: str, work: Callable[[], object], clock: Clock = time.perf_counter) -> Stage:
    """The stage that calls `work` and reads the clock around every call."""

    def stage(calls: int) -> dict[str, list[float]]:
        spent = []
        for _ in range(calls):
            started = clock()
            work()
            spent.append((clock() - started) * 1e3)
        return {name: spent}

    return stage


def interleave(
    stages: list[Stage], threads: int, *, rounds: int, warmup: int = 1, title: str = "timing", clock: Clock = time.perf_counter
) -> Times:
    """Let the stages take turns for `rounds`, after `warmup` rounds that do not count, with a matmul before, between and after them.

    Every other round runs backwards, so that no stage always follows the same neighbour. `threads` and `clock` are the matmul's.
    """
    unit = timed(UNIT, matmul(threads), clock)
    rows: dict[str, list[list[float]]] = {}
    for done in progress(range(warmup + rounds), title):
        taken = unit(1)
        for stage in stages[:: -1 if done % 2 else 1]:
            taken |= {name: spent[1:] for name, spent in stage(1 + CALLS).items()}
            taken[UNIT] += unit(1)[UNIT]
        for name, spent in taken.items():
            rows.setdefault(name, []).append(spent)
    return {name: np.array(values[warmup:]) for name, values in rows.items()}


def summary(name: str, times: Times, against: str | None = None) -> Figures:
    """`median_ms` and `p95_ms` of every call of a stage, its `matmuls`, and its `ratio` to the stage `against`, if that is another."""
    told = {"median_ms": float(np.median(times[name])), "p95_ms": float(np.percentile(times[name], 95))}
    told["matmuls"] = pairs(name, UNIT, times)["median"]
    return told | ({"ratio": pairs(name, against, times)} if against and against != name else {})


def pairs(name: str, other: str, times: Times) -> dict[str, float]:
    """One stage over another: `median` of the rounds' ratios, and its 95 % interval from `low` to `high`.

    By order statistics, which assume nothing about how times are spread; under six rounds the least and largest ratio stand there.
    """
    ratios = np.sort(np.median(times[name], axis=1) / np.median(times[other], axis=1))
    out = max(1, int((len(ratios) + 1) / 2 - 0.98 * np.sqrt(len(ratios)))) - 1
    return {"median": float(np.median(ratios)), "low": float(ratios[out]), "high": float(ratios[-1 - out])}


def matmul(threads: int) -> Callable[[], object]:
    """The unit: a 1024³ float32 product in ONNX Runtime on `threads` threads."""
    import onnxruntime as ort
    from onnx import parser

    a, b, c = (f"float[{_SIDE}, {_SIDE}] {name}" for name in "abc")
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["": 18]> {UNIT} ({a}, {b}) => ({c}) {{ c = MatMul(a, b) }}')
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads would disturb the stages
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    feed = {name: random.standard_normal((_SIDE, _SIDE), np.float32) for name in "ab"}
    return lambda: session.run(None, feed)
