"""`python -m benchmarks power`: energy per frame and per explanation.

On a Jetson from tegrastats (input of the module, and its rails); elsewhere from the processor's own counter (RAPL), where it may be
read. Without either the figures are empty and `reason` says why. The machine's draw at rest is measured first, and given beside.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.command import Command, Figures, bundle_options, check
from benchmarks.speed.hardware import jetson_mode, mode_options, state
from benchmarks.speed.jetson import TegraSample, mean_mw, parse_tegrastats
from benchmarks.speed.stages import Scene, demo_frame
from edge.pipeline import Pipeline

_RAPL = Path("/sys/class/powercap")
_INTERVAL_MS = 100


class Tegrastats:
    """Samples tegrastats in the background."""

    name = "tegrastats"

    def __init__(self, program: str) -> None:
        self.samples: list[tuple[float, TegraSample]] = []
        self._process = subprocess.Popen([program, "--interval", str(_INTERVAL_MS)], stdout=subprocess.PIPE, text=True, errors="replace")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if sample := parse_tegrastats(line):
                self.samples.append((time.perf_counter(), sample))

    def mark(self) -> None:
        """It samples by itself."""

    def watts(self, started: float, ended: float) -> dict[str, float]:
        """Mean watts of every rail between two readings of the clock, and `total` where the rails tell it."""
        found = mean_mw([sample for at, sample in self.samples if started <= at <= ended])
        return {name: value / 1e3 for name, value in found.items()}

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        if self._process.stdout:
            self._process.stdout.close()


class Rapl:
    """The processor's energy counters, one per package."""

    name = "RAPL"

    def __init__(self, packages: list[Path]) -> None:
        self.packages = packages
        self._limits = [int((p / "max_energy_range_uj").read_text()) for p in packages]
        self._readings: list[tuple[float, list[int]]] = []
        self.mark()

    def mark(self) -> None:
        """Read the counters now."""
        self._readings.append((time.perf_counter(), [int((p / "energy_uj").read_text()) for p in self.packages]))

    def watts(self, started: float, ended: float) -> dict[str, float]:
        """Mean watts of every package and in total between the readings nearest to two moments; a counter that began anew is mended."""
        first, last = (min(self._readings, key=lambda row: abs(row[0] - at)) for at in (started, ended))
        if last[0] <= first[0]:
            return {}
        used = [(b - a) % limit for a, b, limit in zip(first[1], last[1], self._limits, strict=True)]
        each = {f"package {i}": joules / 1e6 / (last[0] - first[0]) for i, joules in enumerate(used)}
        return {**each, "total": sum(each.values())}

    def close(self) -> None:
        """Nothing is held."""


def meter(rapl: Path = _RAPL) -> tuple[Tegrastats | Rapl | None, str]:
    """The machine's power meter, or `None` and why there is none."""
    program = shutil.which("tegrastats")
    if program:
        return Tegrastats(program), ""
    packages = sorted(rapl.glob("intel-rapl:[0-9]")) if rapl.is_dir() else []
    if not packages:
        return None, "neither tegrastats nor RAPL is on this machine"
    try:
        return Rapl(packages), ""
    except (OSError, ValueError):
        return None, f"the energy counter '{packages[0]}/energy_uj' may not be read by this user (it needs root)"


def measure(pipeline: Pipeline, *, seconds: float = 5.0, rapl: Path = _RAPL) -> Figures:
    """Run the fast path, then the slow path, for `seconds` each, under the meter.

    Returns:
        `meter` and `reason`; `idle_w`; for `frame` (fast path) and `explanation` (written and checked, on top of the frame's tokens):
        `watts` per rail, `count`, `joules` each, `joules_above_idle`; temperatures and throttling `before` and `after`.
    """
    before = state()
    found, reason = meter(rapl)
    told: Figures = {"meter": None, "reason": reason, "idle_w": None, "frame": None, "explanation": None, "before": before}
    if found is None:
        return {**told, "after": state()}
    try:
        scene = Scene.of(pipeline, demo_frame())
        idle, _ = _under(found, lambda: time.sleep(0.05), min(seconds, 2.0))
        frame, frames = _under(found, lambda: pipeline.look(scene.frame), seconds)
        explained, explanations = _under(found, lambda: pipeline.explainer([scene.subject]), seconds)
    finally:
        found.close()
    told |= {"meter": found.name, "reason": reason if idle else f"{found.name} gave no readings that could be understood"}
    told |= {"idle_w": (rest := idle.get("total")), "frame": _each(frame, frames, seconds, rest)}
    return {**told, "explanation": _each(explained, explanations, seconds, rest), "after": state()}


def _under(found: Tegrastats | Rapl, work: Callable[[], object], seconds: float) -> tuple[dict[str, float], int]:
    count, started = 0, time.perf_counter()
    found.mark()
    while time.perf_counter() - started < seconds:
        work()
        count += 1
    found.mark()
    return found.watts(started, time.perf_counter()), count


def _each(watts: dict[str, float], count: int, seconds: float, idle: float | None) -> Figures:
    total = watts.get("total")
    joules = None if total is None else total * seconds / count
    above = None if joules is None or idle is None else joules - idle * seconds / count
    return {"watts": watts, "count": count, "joules": joules, "joules_above_idle": above}


def _options(parser: argparse.ArgumentParser) -> None:
    bundle_options(parser, threads=2)
    parser.add_argument("--seconds", type=float, default=5.0, metavar="T", help="of each measurement (default: 5)")
    mode_options(parser)


def _run(args: argparse.Namespace) -> Figures:
    check(args, seconds=1)
    with jetson_mode(args.power_mode, args.lock_clocks), Pipeline.load(args.bundle, device=args.device, threads=args.threads) as pipeline:
        return measure(pipeline, seconds=args.seconds)


COMMAND = Command(_options, _run)
