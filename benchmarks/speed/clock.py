"""Timing beside other work: stages and matmuls take turns, and each stage is set against it as both are when nobody disturbs them.

A *matmul* is a 1024³ float32 product on the same number of threads in ONNX Runtime. Other work on the machine slows down everything, but
what runs on two cores more than what runs on one, and what needs the shared cache more than what does not; and it comes and goes. So what
counts of stage and matmul alike is the quietest fiftieth of their calls. A quick stage is called more often than a slow one, so that both
are found undisturbed; the first call of a turn, in caches that another stage has filled, does not count. One session may be a few per
cent slower than its twin as long as it lives, so a long measurement is cut into *sittings*, each with sessions of its own. Calls return
their results in host memory, so on a GPU the time includes its work and the copies: nothing is left running when the clock is read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
from tqdm.auto import tqdm

from benchmarks.command import Figures

Stage = Callable[[int], dict[str, list[float]]]
"""Number of calls → name of a figure → milliseconds of every call."""

Times = dict[str, np.ndarray]
"""Name of a figure → `[rounds, calls]` milliseconds, `matmul` among them."""

Clock = Callable[[], float]
"""Seconds: `time.perf_counter`, or `time.thread_time` for what runs on the calling thread alone, which other work does not delay."""

TURN_MS = 20.0
"""A turn lasts about this long: a camera calls a stage frame after frame, with no matrix product in between that empties the caches."""
_FEWEST, _MOST = 2, 24
"""Calls of a turn that count."""

_SITTING_S = 10.0
_PREPARED = 5
"""A sitting lasts at least so many times as long as it took to prepare."""

_GROUPS = 7
"""Groups of sittings for the standard error: as many as a full report has slices."""
_FEWEST_GROUPS = 3
"""Fewer tell nothing."""
STEADY = 0.0125
"""A figure in matmuls is steady if its standard error is at most this share of it: reports then agreed within 5 % (docs/results.md)."""

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
    turn_ms: float = TURN_MS,
    title: str = "timing",
    clock: Clock = time.perf_counter,
) -> Times:
    """Let the stages take turns, with a matmul before, between and after them, until both `rounds` and `seconds` are over.

    Every other round runs backwards, so that no stage always follows the same neighbour.

    Args:
        stages: take turns.
        threads: of the matmul.
        rounds: at least so many.
        seconds: at least so long.
        warmup: rounds that are not counted.
        turn_ms: how long a turn lasts, about, within 2 to 24 calls after one that does not count; 0: one call, in caches that the others
            have emptied.
        title: of the progress bar.
        clock: of the matmul; the stages have their own.

    Returns:
        The time of every call.
    """
    unit = timed(UNIT, matmul(threads), clock)
    unit(1)
    turns = [(stage, _calls(stage, turn_ms)) for stage in stages]
    cold = 1 if turn_ms else 0
    rows: dict[str, list[list[float]]] = {}
    done, ends = 0, 0.0
    with tqdm(total=warmup + rounds, desc=title, leave=False, disable=None) as bar:
        while done < warmup + rounds or time.perf_counter() < ends:
            if done == warmup:
                ends = time.perf_counter() + seconds
            taken = unit(1)
            for stage, calls in turns if done % 2 == 0 else turns[::-1]:
                taken |= {name: spent[cold:] for name, spent in stage(cold + calls).items()}
                taken[UNIT] += unit(1)[UNIT]
            for name, spent in taken.items():
                rows.setdefault(name, []).append(spent)
            done += 1
            bar.update()
    return {name: np.array(values[warmup:]) for name, values in rows.items()}


def sit(
    stages: Callable[[], AbstractContextManager[list[Stage]]],
    threads: int,
    *,
    rounds: int,
    seconds: float,
    turn_ms: float = TURN_MS,
    title: str = "timing",
) -> list[Times]:
    """Interleave in sittings of ten seconds, or longer where they take long to prepare.

    Args:
        stages: prepares the stages of one sitting and cleans up after it.
        threads: of the matmul.
        rounds: at least so many, of all sittings together.
        seconds: at least so long, of all sittings together; preparing them comes on top.
        turn_ms: how long a turn lasts, about.
        title: of the progress bar.

    Returns:
        What `interleave` returned of every sitting.
    """
    sittings = []
    warmup = 0 if turn_ms else 1  # finding out how many calls make a turn has warmed the stages up
    while True:
        started = time.perf_counter()
        with stages() as work:
            length = max(_SITTING_S, _PREPARED * (time.perf_counter() - started))
            left = max(1, round(seconds / length))
            own_rounds, own_seconds = max(1, math.ceil(rounds / left)), seconds / left
            told = f"{title}, sittings left: {left}"
            sittings.append(interleave(work, threads, rounds=own_rounds, seconds=own_seconds, warmup=warmup, turn_ms=turn_ms, title=told))
        if left == 1:
            return sittings
        rounds, seconds = rounds - own_rounds, seconds - own_seconds


def summary(name: str, *sittings: Times, raw: bool = False) -> Figures:
    """Figures of one stage.

    Args:
        name: of the stage.
        sittings: what `interleave` or `sit` returned.
        raw: also every value.

    Returns:
        `median_ms`, `p90_ms`, `p95_ms`, `p99_ms`; `quiet_ms`, see `quiet`; `matmuls`: `quiet_ms` in that of the matmul; and `matmuls_se`,
        see `standard_error`.
    """
    spent = _pooled(name, sittings)
    figures: Figures = {"median_ms": float(np.median(spent))}
    figures |= {f"p{q}_ms": float(np.percentile(spent, q)) for q in (90, 95, 99)}
    figures |= {"quiet_ms": quiet(name, *sittings), "matmuls": _matmuls(name, sittings), "matmuls_se": standard_error(name, *sittings)}
    return {**figures, "raw_ms": np.round(spent, 4).tolist()} if raw else figures


def quiet(name: str, *sittings: Times) -> float:
    """Median of the quietest fiftieth of a stage's calls, milliseconds."""
    return float(np.percentile(_pooled(name, sittings), 1))


def standard_error(name: str, *sittings: Times) -> float | None:
    """Standard error of a stage's `matmuls`: the delete-a-group jackknife over sittings; `None` for fewer than three.

    Sittings that follow each other see the same disturbances, so neighbours form a group. It tells how far the groups differ; what disturbs
    all of them alike it does not see, so repeated reports are further apart (docs/results.md).
    """
    count = min(len(sittings), _GROUPS)
    if count < _FEWEST_GROUPS:
        return None
    groups = np.array_split(np.arange(len(sittings)), count)
    without = [_matmuls(name, [times for i, times in enumerate(sittings) if i not in group]) for group in groups]
    return float(np.sqrt((count - 1) * np.var(without)))


def _matmuls(name: str, sittings: Sequence[Times]) -> float:
    return quiet(name, *sittings) / quiet(UNIT, *sittings)


def _pooled(name: str, sittings: Sequence[Times]) -> np.ndarray:
    """Every call of a stage, in order."""
    return np.concatenate([times[name].ravel() for times in sittings])


def _calls(stage: Stage, turn_ms: float) -> int:
    """How many calls of a stage make a turn."""
    if not turn_ms:
        return 1
    each_ms = max(min(spent[1:]) for spent in stage(5).values())  # of several figures of one call, the whole
    return min(max(math.ceil(turn_ms / max(each_ms, 1e-3)), _FEWEST), _MOST)


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
