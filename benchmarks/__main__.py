"""`python -m benchmarks {accuracy,latency,soak,faces,points,crop}`: measure a bundle; `--json` prints one object and nothing else."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from edge.errors import EdgeError, UsageError
from edge.pipeline import Pipeline


def main(argv: list[str] | None = None) -> int:
    """Parse, measure, print, return an exit code."""
    args = _parser().parse_args(argv)
    try:
        threads = args.threads
        if threads < 0:
            raise UsageError(f"--threads {threads}: expected 0 or more")
        for name in ("rounds", "burst"):
            if getattr(args, name, 1) < 1:
                raise UsageError(f"--{name} {getattr(args, name)}: expected 1 or more")
        if not 0 < getattr(args, "minutes", 1) < math.inf:
            raise UsageError(f"--minutes {args.minutes}: expected more than 0")
        with Pipeline.load(args.bundle, device=args.device, threads=threads) as pipeline:
            figures = _plain(_measure(args, pipeline))
    except EdgeError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    if args.json:
        print(json.dumps(figures))
    else:
        _show(figures)
    return 0


def _measure(args: argparse.Namespace, pipeline: Pipeline) -> dict[str, Any]:
    if args.command == "accuracy":
        from benchmarks import accuracy

        return accuracy.run(pipeline, args.data, split=args.split, find_faces=args.find_faces, closed=args.closed)
    if args.command == "latency":
        from benchmarks import latency

        return latency.measure(pipeline, args.threads, rounds=args.rounds, burst=args.burst)
    if args.command == "soak":
        from benchmarks import soak

        return soak.measure(pipeline, args.minutes)
    if args.command == "crop":
        from benchmarks import crop

        return crop.measure(pipeline, args.data, args.split)
    if args.command == "points":
        from benchmarks import points

        return points.measure(pipeline, args.data, args.split)
    from benchmarks import faces

    return dict(faces.measure(pipeline, args.data, args.split))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure a bundle.")
    commands = parser.add_subparsers(dest="command", required=True)
    accuracy = commands.add_parser("accuracy", help="recognition, calibration, explanations, verdicts")
    accuracy.add_argument("--data", type=Path, required=True, help="ferplus_images.npz, or a folder DIR/<emotion>/*.png|jpg")
    accuracy.add_argument("--split", choices=("train", "valid", "test"), default="test", help="of a pack (default: test)")
    accuracy.add_argument("--find-faces", action="store_true", help="the folder holds whole photos: find the largest face first")
    accuracy.add_argument("--closed", action="store_true", help="leave classes that the data lacks out of the answer space")
    latency = commands.add_parser("latency", help="milliseconds and matmuls per stage")
    latency.add_argument("--rounds", type=int, default=30)
    latency.add_argument("--burst", type=int, default=4, help="calls of a stage in a row (default: 4); 1 measures with cold caches")
    soak = commands.add_parser("soak", help="a live stream for a long time: memory, threads, age of frames, fast path beside explanations")
    soak.add_argument("--minutes", type=float, default=30.0)
    faces = commands.add_parser("faces", help="the face finder")
    faces.add_argument("--data", type=Path, required=True, help="faces_in_context.zip")
    faces.add_argument("--split", choices=("train", "valid", "all"), default="valid", help="sources held out of training: valid")
    points = commands.add_parser("points", help="how much of the finder's point error is the teacher's own")
    points.add_argument("--data", type=Path, required=True, help="faces_in_context.zip")
    points.add_argument("--split", choices=("train", "valid", "all"), default="valid", help="sources held out of training: valid")
    crop = commands.add_parser("crop", help="does the runtime's own crop of a face read like the FER+ image?")
    crop.add_argument("--data", type=Path, required=True, help="ferplus_images.npz")
    crop.add_argument("--split", choices=("train", "valid", "test"), default="test")
    for command in (accuracy, latency, soak, faces, points, crop):
        command.add_argument("--bundle", type=Path, help="bundle folder (default: the shipped one)")
        command.add_argument("--device", choices=("auto", "cpu", "cuda", "tensorrt"), default="cpu")
        command.add_argument("--threads", type=int, default=2 if command is latency else 0, help="threads per graph")
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what could not be measured is None."""
    return {k: _plain(v) if isinstance(v, dict) else None if isinstance(v, float) and math.isnan(v) else v for k, v in figures.items()}


def _show(figures: dict[str, Any], indent: str = "") -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            _show(value, indent + "  ")
        else:
            print(f"{indent}{name:<24}{value:.4f}" if isinstance(value, float) else f"{indent}{name:<24}{value}")


if __name__ == "__main__":
    sys.exit(main())
