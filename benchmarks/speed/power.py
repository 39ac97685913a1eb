"""`python -m benchmarks power`: energy per frame and per explanation, and the machine's draw at rest.

On a Jetson from tegrastats, elsewhere from the processor's own counter (RAPL); without either the figures are empty and `reason` says why.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.command import Figures, of_pipeline
from benchmarks.speed.jetson import mean_mw, parse_tegrastats
from benchmarks.speed.stages import Scene, demo_frame
from edge.errors import BackendError
from edge.pipeline import Pipeline

_RAPL = Path("/sys/class/powercap")
_INTERVAL_MS = 100

Meter = Callable[[Callable[[], object]], dict[str, float]]
"""Something that takes a while → mean watts of every rail meanwhile, and `total` where the rails tell it."""


def tegrastats(program: str, work: Callable[[], object]) -> dict[str, float]:
    """Mean watts by tegrastats, while `work` runs."""
    command = [program, "--interval", str(_INTERVAL_MS)]
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        with subprocess.Popen(command, stdout=log) as process:
            try:
                work()
            finally:
                process.terminate()
        log.seek(0)
        found = mean_mw(map(parse_tegrastats, log))
    return {name: value / 1e3 for name, value in found.items()}


def rapl(packages: list[Path], work: Callable[[], object]) -> dict[str, float]:
    """Mean watts by the energy counters of processors, while `work` runs; a counter that began anew is mended."""

    def read(name: str) -> list[int]:
        return [int((package / name).read_text()) for package in packages]

    started, before = time.perf_counter(), read("energy_uj")
    work()
    after, seconds = read("energy_uj"), time.perf_counter() - started
    used = [(b - a) % limit for a, b, limit in zip(before, after, read("max_energy_range_uj"), strict=True)]
    each = {f"package {i}": joules / 1e6 / seconds for i, joules in enumerate(used)}
    return {**each, "total": sum(each.values())}


def meter(folder: Path = _RAPL) -> tuple[str, Meter]:
    """The machine's power meter and its name; `BackendError` says why there is none."""
    if program := shutil.which("tegrastats"):
        return "tegrastats", partial(tegrastats, program)
    packages = sorted(folder.glob("intel-rapl:[0-9]"))
    if not packages:
        raise BackendError("neither tegrastats nor RAPL is on this machine")
    try:
        rapl(packages, lambda: None)
    except (OSError, ValueError):
        raise BackendError(f"the energy counter '{packages[0]}/energy_uj' may not be read by this user (it needs root)") from None
    return "RAPL", partial(rapl, packages)


def measure(pipeline: Pipeline, *, seconds: float = 5.0, folder: Path = _RAPL) -> Figures:
    """Run the fast path, then the slow path, for `seconds` each, under the meter; `folder` holds RAPL's counters.

    Returns:
        `meter`, `reason`, `idle_w`; `frame` (fast path) and `explanation` (on top of the frame's tokens): `watts` per rail, `count`,
        `joules` each, `joules_above_idle`.
    """
    told: Figures = {"meter": None, "reason": "", "idle_w": None, "frame": None, "explanation": None}
    try:
        name, watts = meter(folder)
    except BackendError as reason:
        return {**told, "reason": str(reason)}
    scene = Scene.of(pipeline, demo_frame())
    idle = watts(lambda: time.sleep(min(seconds, 2.0)))
    told |= {"meter": name, "reason": "" if idle else f"{name} gave no readings that could be understood", "idle_w": idle.get("total")}
    for row, work in (("frame", lambda: pipeline.look(scene.frame)), ("explanation", lambda: pipeline.explainer([scene.subject]))):
        told[row] = _each(watts, work, seconds, idle.get("total"))
    return told


def _each(watts: Meter, work: Callable[[], object], seconds: float, idle: float | None) -> Figures:
    """The figures of a piece of work that is done over and over."""
    count = 0

    def repeat() -> None:
        nonlocal count
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            work()
            count += 1

    drawn = watts(repeat)
    joules = drawn["total"] * seconds / count if "total" in drawn else None
    above = None if joules is None or idle is None else joules - idle * seconds / count
    return {"watts": drawn, "count": count, "joules": joules, "joules_above_idle": above}


COMMAND = of_pipeline(lambda pipeline, args: measure(pipeline), lambda parser: None, default_threads=2)
