"""`python -m benchmarks latency`: milliseconds per stage, and the same in *matmuls* (see `benchmarks.speed.clock`)."""

from __future__ import annotations

import argparse
import itertools
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.command import Command, Figures, bundle_options, check, loaded, whole
from benchmarks.quality.said import token_counter
from benchmarks.speed import scaling
from benchmarks.speed.clock import UNIT, interleave, summary
from benchmarks.speed.hardware import state
from benchmarks.speed.stages import ASKED, STAGES, Scene, capture, demo_frame, write_clip
from edge.cv import cv2
from edge.pipeline import Pipeline
from edge.sources.camera import Frame, Source, find_feed, recorded

ROUNDS = 60


def measure(variants: dict[str, Pipeline], threads: int, *, rounds: int = ROUNDS, source: Source | None = None) -> Figures:
    """Time every stage of every variant, and a matmul on as many threads, on one face in a picture, in turns.

    The picture, and what `capture` takes, come from `source` (camera number or video file), or are a clip of the demo portrait.

    Returns:
        `matmul_ms`; how it was measured; `state` of the machine `before` and `after`; and `variants`: name → `provider`, `tokens`
        and `stages` (`STAGES`, and `ASKED` of bundles that can): `clock.summary`, set against the first variant's.
    """
    cv2.setNumThreads(threads)
    first = next(iter(variants))
    with tempfile.TemporaryDirectory() as folder:
        origin = "Motion JPEG clip of the demo portrait" if source is None else str(source)
        frame = demo_frame() if source is None else _with_face(variants[first], source)
        if source is None:
            source = Path(folder) / "clip.avi"
            write_clip(source, frame)
        scenes = {name: Scene.of(pipeline, frame) for name, pipeline in variants.items()}
        # a bundle that tells no counterfactuals has a stage less
        turns = itertools.zip_longest(*(scene.stages(partial(_label, name)) for name, scene in scenes.items()))
        before = state()
        times = interleave([capture(source), *filter(None, itertools.chain(*turns))], threads, rounds=rounds, title="latency")
        after = state()
    told: Figures = {}
    for name, scene in scenes.items():
        told[name] = {"provider": scene.pipeline.provider, "tokens": token_counter(scene.pipeline)(scene.text), "stages": {}}
        for stage in (*STAGES, ASKED):
            own, other = _label(name, stage), _label(first, stage)
            if own in times:
                told[name]["stages"][stage] = summary(own, times, other if other in times else None)
    height, width = frame.image_bgr.shape[:2]
    how = {"threads": threads, "rounds": rounds, "width": width, "height": height, "capture_source": origin}
    return {"matmul_ms": float(np.median(times[UNIT])), **how, "before": before, "after": after, "variants": told}


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


def _options(parser: argparse.ArgumentParser) -> None:
    bundle_options(parser, threads=2, several=True)
    parser.add_argument("--rounds", type=whole, default=ROUNDS, metavar="N", help=f"turns of every stage (default: {ROUNDS})")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--camera", type=whole, metavar="N", help="take frames from this camera")
    source.add_argument("--video", type=Path, metavar="F", help="take frames from this video file")
    parser.add_argument("--sweep", action="store_true", help="also threads, batch sizes and face counts")
    parser.add_argument("--cold", action="store_true", help="also the first reading of a fresh process")


def _run(args: argparse.Namespace) -> Figures:
    check(args, rounds=1, threads=1)
    source = args.camera if args.camera is not None else args.video
    with loaded(args.bundle, args.device, args.threads) as variants:
        first = next(iter(variants.values()))
        figures = measure(variants, args.threads, rounds=args.rounds, source=source)
        if args.sweep:
            figures["scaling"] = scaling.measure(first, args.device, args.threads)
        if args.cold:
            figures["cold"] = scaling.cold_start(first.bundle.folder, args.device, args.threads)
    return figures


COMMAND = Command(_options, _run)
