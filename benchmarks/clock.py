"""Timing that two runs agree on: stages take turns, and each is set against the matmul of its own round.

A *matmul* is a 1024³ float32 product on the same number of threads in ONNX Runtime. A machine that slows down for a minute slows both,
so the ratio stays. Other work on the machine takes a core from what runs on two and not from what runs on one; so only the third of the
rounds that was quietest as a whole speaks, with every stage counting alike. Calls return their results in host memory, so on a GPU the
time includes its work and the copies: nothing is left running when the clock is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from tqdm.auto import tqdm

from benchmarks.command import Figures

Stage = Callable[[int], dict[str, list[float]]]
"""Number of calls → name of a figure → milliseconds of every call."""

Clock = Callable[[], float]
"""Seconds: `time.perf_counter`, or `time.thread_time` for what runs on the calling thread alone, which other work does not delay."""

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
    stages: list[Stage],
    threads: int,
    *,
    rounds: int,
    seconds: float = 0.0,
    warmup: int = 3,
    burst: int = 4,
    title: str = "timing",
    clock: Clock = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Let the stages take turns, the matmul first among them, until both `rounds` and `seconds` are over.

    Every other round runs backwards, so that no stage always follows the same neighbour.

    Args:
        stages: each called `burst` times in its turn.
        threads: of the matmul.
        rounds: at least so many.
        seconds: at least so long.
        warmup: rounds that are not counted.
        burst: calls in a row.
        title: of the progress bar.
        clock: of the matmul; the stages have their own.

    Returns:
        Name → `[rounds, burst]` milliseconds, `matmul` among them.
    """
    turns = [timed(UNIT, matmul(threads), clock), *stages]
    rows: dict[str, list[list[float]]] = {}
    ends = time.perf_counter() + seconds
    with tqdm(total=warmup + rounds, desc=title, leave=False, disable=None) as bar:
        done = 0
        while done < warmup + rounds or time.perf_counter() < ends:
            for turn in turns if done % 2 == 0 else turns[::-1]:
                for name, spent in turn(burst).items():
                    rows.setdefault(name, []).append(spent)
            done += 1
            bar.update()
    return {name: np.array(values[warmup:]) for name, values in rows.items()}


def summary(times: dict[str, np.ndarray], name: str, *, raw: bool = False) -> Figures:
    """Figures of one stage.

    Args:
        times: what `interleave` returned.
        name: of the stage.
        raw: also every value.

    Returns:
        `median_ms`, `p90_ms`, `p95_ms`, `p99_ms` over all calls, and `matmuls`: the median over the quiet rounds of this stage's median
        in the matmul's median of the same round.
    """
    spent, rows = times[name], quiet_rounds(times)
    p90, p95, p99 = np.percentile(spent, [90, 95, 99])
    figures = {"median_ms": float(np.median(spent)), "p90_ms": float(p90), "p95_ms": float(p95), "p99_ms": float(p99)}
    figures["matmuls"] = float(np.median(np.median(spent[rows], axis=1) / np.median(times[UNIT][rows], axis=1)))
    return {**figures, "raw_ms": np.round(spent.ravel(), 4).tolist()} if raw else figures


def quiet_rounds(times: dict[str, np.ndarray]) -> np.ndarray:
    """Indices of the third of the rounds in which all stages together, each over its own median, took least."""
    total = np.sum([np.median(spent, axis=1) / np.median(spent) for spent in times.values()], axis=0)
    return np.argsort(total, kind="stable")[: -(-len(total) // 3)]


def matmul(threads: int) -> Callable[[], object]:
    """The unit: a 1024³ float32 product in ONNX Runtime on `threads` threads."""
    import onnxruntime as ort
    from onnx import TensorProto, checker, helper

    shape = [_SIDE, _SIDE]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        UNIT,
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
