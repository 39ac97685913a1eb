"""`python -m benchmarks latency`: milliseconds per stage, and the same in *matmuls*, so that figures travel between machines.

Several `--bundle` are timed side by side in the same rounds. `--sweep` adds threads, batch and face count; `--cold` a fresh process.
See `benchmarks.speed.clock` for what is done about other work on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.command import Command, Figures, bundle_options, check, loaded, whole
from benchmarks.speed import scaling
from benchmarks.speed.clock import TURN_MS, UNIT, Stage, Times, sit, summary
from benchmarks.speed.hardware import mode_of, mode_options, state
from benchmarks.speed.stages import STAGES, Scene, capture, demo_frame, write_clip
from edge.cv import cv2
from edge.errors import UsageError
from edge.pipeline import Pipeline
from edge.sources.camera import Frame, Source, find_feed, recorded

SECONDS = 220.0
"""Beside other work on the machine two runs then agree far better than after a minute (docs/results.md)."""

Load = Callable[[], contextlib.AbstractContextManager[dict[str, Pipeline]]]
"""Loads the bundles anew: name → pipeline."""


def measure(
    load: Load,
    threads: int,
    *,
    rounds: int = 30,
    seconds: float = 0.0,
    turn_ms: float = TURN_MS,
    source: Source | None = None,
    fps: float = 30.0,
    raw: bool = True,
) -> Figures:
    """Time every stage of every variant on one face in a picture, interleaved round by round, in sittings (see `clock.sit`).

    Args:
        load: gives the bundles of one sitting, on `threads` threads.
        threads: also of the matmul.
        rounds: at least so many turns of every stage,
        seconds: and at least so long.
        turn_ms: how long a stage's turn lasts; 0 gives it one call, in caches that the others have emptied, the matrix product among them.
        source: where `capture` takes frames from (camera number or video file) and the picture; without one, a clip of the demo portrait.
        fps: frames per second of the camera that is played for `dropped`; 0 leaves that out.
        raw: keep every value.

    Returns:
        `matmul_ms` and `matmul_raw_ms`, how it was measured, the machine's load, clock, temperatures and throttling `before` and `after`,
        and `variants`: name → `provider`, `tokens`, `dropped`, and `stages` (see `stages.STAGES`), each with the figures of
        `benchmarks.speed.clock.summary`.
    """
    cv2.setNumThreads(threads)
    with contextlib.ExitStack() as stack:
        if source is None:
            frame = demo_frame()
            source = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "clip.avi"
            write_clip(source, frame)
            origin = "Motion JPEG clip of the demo portrait"
        else:
            with load() as variants:
                frame, origin = _with_face(next(iter(variants.values())), source), str(source)
        captured = capture(source)
        told: dict[str, Figures] = {}

        @contextlib.contextmanager
        def sitting() -> Iterator[list[Stage]]:
            with load() as variants:
                scenes = {name: Scene.of(pipeline, frame) for name, pipeline in variants.items()}
                for name, scene in scenes.items():
                    about = told.setdefault(name, {"provider": "", "tokens": scene.length})
                    about["provider"] = _either(about["provider"], scene.pipeline.provider)
                turns = zip(*(scene.stages(partial(_label, name)) for name, scene in scenes.items()), strict=True)
                yield [captured, *itertools.chain.from_iterable(turns)]

        before = state()
        sittings = sit(sitting, threads, rounds=rounds, seconds=seconds, turn_ms=turn_ms, title="latency")
        after = state()
        if fps:
            for name, pipeline in stack.enter_context(load()).items():
                told[name]["dropped"] = _dropped(pipeline, frame, fps)
        return {
            **_unit(sittings, raw),
            "threads": threads,
            "sittings": len(sittings),
            "rounds": sum(len(times[UNIT]) for times in sittings),
            "turn_ms": turn_ms,
            "width": frame.image_bgr.shape[1],
            "height": frame.image_bgr.shape[0],
            "capture_source": origin,
            "before": before,
            "after": after,
            "variants": {name: {**about, "stages": _stages(name, sittings, raw)} for name, about in told.items()},
        }


def pool(parts: Sequence[Figures]) -> Figures:
    """One measurement out of several of the same bundles, in order of time.

    Args:
        parts: what `measure` returned, raw values included.

    Returns:
        The same, of all calls of all parts, each of which is one sitting to the standard error; `dropped` is the first part's.
    """
    sittings = [_times(part) for part in parts]
    first = parts[0]
    variants = {
        name: {
            **found,
            "provider": _either(*(part["variants"][name]["provider"] for part in parts)),
            "stages": _stages(name, sittings, raw=True),
        }
        for name, found in first["variants"].items()
    }
    return {
        **first,
        **_unit(sittings, raw=True),
        **{count: sum(part[count] for part in parts) for count in ("sittings", "rounds")},
        "after": parts[-1]["after"],
        "variants": variants,
    }


def _times(figures: Figures) -> Times:
    """The raw values of a measurement."""
    times = {UNIT: np.array(figures["matmul_raw_ms"])}
    for name, variant in figures["variants"].items():
        times |= {_label(name, stage): np.array(found["raw_ms"]) for stage, found in variant["stages"].items()}
    return times


def _unit(sittings: Sequence[Times], raw: bool) -> Figures:
    found = summary(UNIT, *sittings, raw=raw)
    return {"matmul_ms": found["quiet_ms"], **({"matmul_raw_ms": found["raw_ms"]} if raw else {})}


def _stages(variant: str, sittings: Sequence[Times], raw: bool) -> dict[str, Figures]:
    return {stage: summary(_label(variant, stage), *sittings, raw=raw) for stage in STAGES}


def _either(*providers: str) -> str:
    """Names of providers, each of which may be several: every one of them once."""
    return ", ".join(sorted({name for given in providers for name in given.split(", ") if name}))


def _label(variant: str, stage: str) -> str:
    """The name of a stage's figures; all variants share one capture."""
    return stage if stage == "capture" else f"{variant}\n{stage}"


def _with_face(pipeline: Pipeline, source: Source, patience: int = 100) -> Frame:
    """The first picture of a source that shows a face, or the last one looked at."""
    running = recorded(find_feed(source))
    for count, frame in enumerate(running):
        if count == patience or pipeline.look(frame).reading.faces:
            break
    running.close()  # frees the camera
    return frame


def _dropped(pipeline: Pipeline, frame: Frame, fps: float, seconds: float = 2.0) -> Figures:
    """Play a camera of `fps` whose buffer holds the newest frame: which share of its frames is never read?"""
    pipeline.explain(pipeline.look(frame))  # the first reading of a size takes longer

    def share(work: Callable[[], object]) -> float:
        started, read, seen = time.perf_counter(), 0, -1
        while (now := time.perf_counter() - started) < seconds:
            newest = int(now * fps)
            if newest == seen:
                time.sleep((newest + 1) / fps - now)
                continue
            seen = newest
            work()
            read += 1
        return max(0.0, 1 - read / max(1, int(seconds * fps)))

    return {
        "fps": fps,
        "fast": share(lambda: pipeline.look(frame)),
        "full": share(lambda: pipeline.explain(pipeline.look(frame))),
    }


def _options(parser: argparse.ArgumentParser) -> None:
    bundle_options(parser, threads=2, several=True)
    parser.add_argument("--rounds", type=whole, default=30, metavar="N", help="turns of every stage, at least (default: 30)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        metavar="T",
        help=f"measuring time, at least, in sittings of ten seconds (default: {SECONDS:g})",
    )
    parser.add_argument(
        "--turn-ms", type=float, default=TURN_MS, metavar="MS", help="calls in a row for so long (default: 20); 0: one, with cold caches"
    )
    parser.add_argument("--fps", type=float, default=30.0, help="of the camera that is played for dropped frames (default: 30)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--camera", type=whole, metavar="N", help="take frames from this camera")
    source.add_argument("--video", type=Path, metavar="F", help="take frames from this video file")
    parser.add_argument("--sweep", action="store_true", help="also threads, batch sizes and face counts")
    parser.add_argument("--cold", action="store_true", help="also the first reading of a fresh process")
    mode_options(parser)
    parser.add_argument("--no-raw", action="store_true", help="leave single values out of --json")


def _run(args: argparse.Namespace) -> Figures:
    check(args, rounds=1, turn_ms=0, seconds=0, fps=0)
    if args.threads < 1:
        raise UsageError("--threads 0: the matmul needs a number of threads of 1 or more")
    source = args.camera if args.camera is not None else args.video
    first = args.bundle[0] if args.bundle else None
    with mode_of(args):
        figures = measure(
            partial(loaded, args.bundle, args.device, args.threads),
            args.threads,
            rounds=args.rounds,
            seconds=args.seconds,
            turn_ms=args.turn_ms,
            source=source,
            fps=args.fps,
            raw=not args.no_raw,
        )
        if args.sweep:
            with Pipeline.load(first, device=args.device, threads=args.threads) as pipeline:
                figures["scaling"] = scaling.measure(pipeline, args.device, args.threads)
    if args.cold:
        figures["cold"] = scaling.cold_start(first, args.device, args.threads)
    return figures


COMMAND = Command(_options, _run)
