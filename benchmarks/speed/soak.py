"""`python -m benchmarks soak --minutes 30`: a live stream with two faces at 640×480 and 30 frames a second, everything on, for a long time.

One face moves and changes its expression, the other is still and halfway between two; with `--crowd` five small faces sway in 1280×720.
Memory, threads and handles are compared with those after the warm-up; spells with and without explanations take turns.
"""

from __future__ import annotations

import argparse
import math
import os
import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from benchmarks.command import Figures, of_pipeline
from benchmarks.quality.interval import spread
from benchmarks.quality.scenes import DrawnCamera, Grain, blend, draw, head
from edge.errors import BackendError
from edge.pipeline import Pipeline
from edge.types import Reading

FPS = 30.0
TURN_S = 10.0
"""Explanations are asked for on every frame for this long, then not for as long."""
_LOOP = 180  # frames of the scene, drawn beforehand: drawing would compete with what is measured
_STILL_X = 400  # the still face lies right of it
_CROWD, _CROWDED, _SMALL = 5, (1280, 720), 0.75
"""Faces, the picture's size, and their size over the portrait's: 65 pixels wide, a twentieth of the picture, the least looked for."""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="how long, warm-up not counted (default: 30)")
    parser.add_argument("--crowd", action="store_true", help="five small faces in 1280×720 instead of two in 640×480")


def measure(pipeline: Pipeline, minutes: float, *, warmup_s: float = 20.0, calibrate_s: float = 2.0, crowd: bool = False) -> Figures:
    """Run the stream for so many `minutes` after `warmup_s` seconds; each face is calibrated for `calibrate_s`; of a `crowd` or of two.

    Returns:
        Growth of memory, threads and handles since the warm-up; age of frames handed over and of readings delivered, and how many were held
        up; the fast path with and without explanations; how often the still face's label changed, `None` of a crowd.
    """
    _resources()
    camera, meter = DrawnCamera(_crowd() if crowd else _scene(), FPS), _Meter(crowd)
    with pipeline.stream(camera.open, explain="request", calibrate_s=calibrate_s) as stream:
        start_s = time.monotonic()
        bar = tqdm(total=round(minutes * 60), desc="soak", unit="s", leave=False, disable=None)
        for reading in stream:
            now_s = time.monotonic()
            passed_s = now_s - start_s - warmup_s
            explaining = int((now_s - start_s) / TURN_S) % 2 == 0
            if explaining:
                stream.explain()
            if passed_s >= 0:
                meter.note(reading, now_s, explaining)
                bar.update(int(passed_s) - bar.n)
            if passed_s >= minutes * 60:
                break
        bar.close()
        figures = meter.figures() | {"frames_dropped": stream.status.dropped, "readings_held_up": stream.held_up}
    left = sum(thread.name.startswith(("capture", "explain")) for thread in threading.enumerate())
    return figures | {"threads_left": left, "captures_left": camera.opened - camera.released}


@dataclass(slots=True)
class _Meter:
    """What is noted of a soak, in arrays that hardly grow."""

    crowd: bool = False
    """Then no face is still."""
    resources: list[tuple[float, int, int]] = field(default_factory=list)
    """Of every thirtieth reading."""
    times: array[float] = field(default_factory=lambda: array("f"))
    """Of each reading: its frame's age in milliseconds handed over and delivered; the fast path's; whether explanations are asked for."""
    first_s: float = math.nan
    last_s: float = math.nan
    explained: dict[int, float] = field(default_factory=dict)
    explanations: int = 0
    faces: array[int] = field(default_factory=lambda: array("B"))
    """In each reading."""
    tracks: set[int] = field(default_factory=set)
    still: str = ""
    still_changes: int = -1

    def note(self, reading: Reading, now_s: float, explaining: bool) -> None:
        """Note one reading as it is delivered."""
        if not self.times:
            self.first_s = now_s
        if len(self.times) % (30 * 4) == 0:
            self.resources.append(_resources())
        self.last_s, spent, delivered_ms = now_s, reading.latency_ms, (now_s - reading.captured_s) * 1e3
        self.times.extend((delivered_ms - spent["total"], delivered_ms, spent["face"] + spent["encode"], explaining))
        self.faces.append(len(reading.faces))
        for face in reading.faces:
            self.tracks.add(face.track)
            if face.explained_t_ms is not None and self.explained.get(face.track) != face.explained_t_ms:
                self.explained[face.track] = face.explained_t_ms
                self.explanations += 1
            if not self.crowd and face.detection.box_xyxy[0] > _STILL_X and face.emotion != self.still:
                self.still = face.emotion
                self.still_changes += 1

    def figures(self) -> Figures:
        """The figures of the soak."""
        handed_ms, delivered_ms, fast_ms, explaining = np.array(self.times).reshape(-1, 4).T
        on, off = spread(fast_ms[explaining > 0]), spread(fast_ms[explaining == 0])
        passed_s = self.last_s - self.first_s
        memory, threads, handles = np.array(self.resources).T
        return {
            "minutes": passed_s / 60,
            "readings": len(handed_ms),
            "readings_per_s": (len(handed_ms) - 1) / passed_s if passed_s else math.nan,
            "faces": float(np.mean(self.faces)),
            "tracks": len(self.tracks),
            "explanations": self.explanations,
            "still_face_label_changes": None if self.crowd else self.still_changes,
            "memory_mb": memory[-1],
            "memory_growth_mb": memory[-1] - memory[0],
            "threads_growth": int(threads[-1] - threads[0]),
            "handles_growth": int(handles[-1] - handles[0]),
            "frame_age_handed_over_ms": spread(handed_ms),
            "frame_age_delivered_ms": spread(delivered_ms),
            "fast_path_explaining_ms": on,
            "fast_path_alone_ms": off,
            "fast_path_p95_ratio": on["p95"] / off["p95"],
        }


def _scene() -> Callable[[int], np.ndarray]:
    """Frame number → a frame of the loop with fresh noise."""
    happy, surprised = head("happy"), head("surprised")
    between, grain, frames = blend(happy, surprised, 0.9), Grain(5), []
    for i in range(_LOOP):
        angle = 2 * math.pi * i / _LOOP
        moving = surprised if i >= _LOOP // 2 else happy
        frames.append(draw([(moving, 180 + 50 * math.cos(angle), 240 + 40 * math.sin(angle), 1.0), (between, 500, 240, 1.0)]))
    return lambda number: grain(frames[number % _LOOP])


def _crowd() -> Callable[[int], np.ndarray]:
    """The same of small faces, happy and surprised in turn, that sway beside each other."""
    heads, grain, frames = [head("happy"), head("surprised")], Grain(5, size=_CROWDED), []
    step = _CROWDED[0] / _CROWD
    for i in range(_LOOP):
        angles = [2 * math.pi * (i / _LOOP + k / _CROWD) for k in range(_CROWD)]
        places = [((k + 0.5) * step + 60 * math.cos(a), 360 + 120 * math.sin(a)) for k, a in enumerate(angles)]
        frames.append(draw([(heads[k % 2], x, y, _SMALL) for k, (x, y) in enumerate(places)], _CROWDED))
    return lambda number: grain(frames[number % _LOOP])


def _resources() -> tuple[float, int, int]:
    """Resident memory in MB, threads, open handles of this process."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
    except FileNotFoundError:
        raise BackendError("the soak reads /proc, which only Linux has") from None


COMMAND = of_pipeline(lambda pipeline, args: measure(pipeline, args.minutes, crowd=args.crowd), _options, minutes=0.1)
