"""`python -m benchmarks versus --old CHECKOUT`: this checkout beside an older one, each with its own runtime and bundle, in turns."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.command import Command, Figures, bundle_options, check, progress, whole
from benchmarks.speed.scaling import CHECKOUT, fresh
from benchmarks.speed.stages import demo_frame
from edge.cv import cv2
from edge.errors import UsageError

STAGES = ("face", "encode", "explain", "verify", "total")


def measure(
    checkouts: dict[str, tuple[Path, Path | None]], pictures: np.ndarray, device: str, threads: int, rounds: int, calls: int
) -> Figures:
    """Let checkouts take `rounds` turns, each of which reads `[N,H,W,3]` uint8 BGR pictures `calls` times in a fresh process.

    `checkouts` are name → folder and bundle (the one that it ships when `None`); the first is what others are held against.

    Returns:
        `rounds`, and name → stage → `turns_ms`, the median of each turn, `median_ms` over turns, and `share`: the median over rounds of
        what a turn takes of the first checkout's turn beside it, so that a busy spell hits both.
    """
    turns: dict[str, dict[str, list[float]]] = {name: {stage: [] for stage in STAGES} for name in checkouts}
    for name in progress([name for _ in range(rounds) for name in checkouts], "turns"):
        _, spent = fresh(*checkouts[name], pictures, device, threads, calls=calls)
        for stage, values in turns[name].items():
            values.append(float(np.median([row[stage] for row in spent])))
    first = next(iter(turns.values()))

    def figures(stage: str, values: list[float]) -> Figures:
        shares = [ms / before for ms, before in zip(values, first[stage], strict=True) if before]
        return {"median_ms": float(np.median(values)), "share": float(np.median(shares)) if shares else None, "turns_ms": values}

    return {"rounds": rounds, **{name: {stage: figures(stage, ms) for stage, ms in stages.items()} for name, stages in turns.items()}}


def _pictures() -> np.ndarray:
    """The demo portrait in several lights and a mirror: faces whose texts differ."""
    plain = demo_frame().image_bgr
    shades = [cv2.convertScaleAbs(plain, alpha=gain, beta=offset) for gain, offset in ((1.0, 0), (0.7, 0), (1.2, 10), (0.8, 50))]
    return np.stack([*shades, *(picture[:, ::-1] for picture in shades)])


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--old", type=Path, required=True, metavar="CHECKOUT", help="folder of the older checkout")
    bundle_options(parser, threads=1)
    parser.add_argument("--rounds", type=whole, default=5, metavar="N", help="turns of each (default: 5)")
    parser.add_argument("--calls", type=whole, default=10, metavar="N", help="times that a turn reads every picture (default: 10)")


def _run(args: argparse.Namespace) -> Figures:
    check(args, rounds=1, calls=1)
    if not (args.old / "edge").is_dir():
        raise UsageError(f"--old '{args.old}' is no checkout: it has no folder 'edge'")
    checkouts = {"old": (args.old, None), "new": (CHECKOUT, args.bundle)}
    return measure(checkouts, _pictures(), args.device, args.threads, args.rounds, args.calls)


COMMAND = Command(_options, _run)
