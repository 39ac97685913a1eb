"""`python -m benchmarks faces`: the face finder of a bundle on the photo pack's held-out sources."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.command import Command, bundle_options, of_pipeline
from edge.pipeline import Pipeline
from training.photos import load_photos, score_finder


def measure(pipeline: Pipeline, archive: Path, split: str) -> dict[str, float]:
    """`recall`, `false_per_empty`, `point_error`, `faces`, `empty` (see `training.photos.score_finder`)."""
    return score_finder(pipeline.finder, load_photos(archive, split))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="faces_in_context.zip")
    parser.add_argument("--split", choices=("train", "valid", "all"), default="valid", help="sources held out of training: valid")
    bundle_options(parser)


COMMAND = Command(_options, of_pipeline(lambda pipeline, args: dict(measure(pipeline, args.data, args.split))))
