"""`python -m benchmarks reference`: has a stage become slower than the committed figures (`reference.json`)?

For busy machines: one thread, whose processor time is read, and for stage and matmul alike the fastest call. A stage fails when it takes
over 1.5 times its committed matmuls in every one of a few attempts.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.command import Figures, of_pipeline, whole
from benchmarks.speed.clock import UNIT, interleave
from benchmarks.speed.hardware import probe
from benchmarks.speed.stages import Scene, demo_frame
from edge.cv import cv2
from edge.errors import EdgeError, UsageError
from edge.pipeline import Pipeline
from edge.whole import write_whole

REFERENCE = Path(__file__).with_name("reference.json")
STAGES = ("face", "encode", "fast", "per_token", "explain", "verify", "full")
SLOWER = 1.5
_ATTEMPTS = 4


class SlowdownError(EdgeError):
    """A stage takes over 1.5 times its committed matmuls."""


def measure(pipeline: Pipeline, *, rounds: int = 6) -> dict[str, float]:
    """Stage → its fastest call in fastest matmuls, on one thread (the pipeline's too)."""
    cv2.setNumThreads(1)
    stages = Scene.of(pipeline, demo_frame()).stages(clock=time.thread_time)
    times = interleave(stages, 1, rounds=rounds, warmup=2, title="reference", clock=time.thread_time)
    return {name: float(times[name].min() / times[UNIT].min()) for name in STAGES}


def compare(pipeline: Pipeline, committed: dict[str, float], *, attempts: int = _ATTEMPTS, rounds: int = 6) -> Figures:
    """Measure until no stage is too slow, at most `attempts` times: stage → `committed`, and its best `measured` (matmuls) and `ratio`.

    `SlowdownError` for a stage that stayed over 1.5 times its committed matmuls.
    """
    best = dict.fromkeys(committed, np.inf)
    for _ in range(attempts):
        now = measure(pipeline, rounds=rounds)
        best = {name: min(value, now.get(name, np.inf)) for name, value in best.items()}
        if not (slow := [name for name, value in committed.items() if best[name] > SLOWER * value]):
            break
    if slow:
        told = ", ".join(f"{name} {best[name]:.3g} matmuls where {committed[name]:.3g} were committed" for name in slow)
        raise SlowdownError(f"slower by over {SLOWER} times: {told}; if that is meant, run `python -m benchmarks reference --write`")
    return {name: {"committed": value, "measured": best[name], "ratio": best[name] / value} for name, value in committed.items()}


def read_reference(path: Path = REFERENCE) -> dict[str, float]:
    """The committed matmuls per stage; `UsageError` if the file is missing or is not one."""
    try:
        stages: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["stages"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"'{path}' is missing or no reference: write one with `python -m benchmarks reference --write`") from None
    return stages


def _write(pipeline: Pipeline, path: Path, rounds: int) -> Figures:
    runs = [measure(pipeline, rounds=rounds) for _ in range(_ATTEMPTS)]
    stages = {name: round(float(np.median([run[name] for run in runs])), 4) for name in STAGES}
    machine = probe()
    about = {"cpu": machine["cpu"], "features": " ".join(machine["features"]), "packages": machine["packages"]}
    write_whole(path, (json.dumps({"stages": stages, **about}, indent=1) + "\n").encode())
    return stages


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", action="store_true", help="write the committed figures anew")
    parser.add_argument("--rounds", type=whole, default=6, metavar="N", help="turns of every stage in an attempt (default: 6)")
    parser.add_argument("--file", type=Path, default=REFERENCE, help="the committed figures (default: benchmarks/speed/reference.json)")


def _run(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    if args.write:
        return _write(pipeline, args.file, args.rounds)
    return compare(pipeline, read_reference(args.file), rounds=args.rounds)


COMMAND = of_pipeline(_run, _options, default_threads=1, rounds=1)
