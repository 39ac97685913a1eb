"""`python -m benchmarks accuracy`: the options of `benchmarks.quality.accuracy`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.command import Command, Figures, bundle_options, of_pipeline
from benchmarks.quality import accuracy
from edge.pipeline import Pipeline


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="ferplus_images.npz, or a folder DIR/<emotion>/*.png|jpg")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test", help="of a pack (default: test)")
    parser.add_argument("--find-faces", action="store_true", help="the folder holds whole photos: find the largest face first")
    parser.add_argument("--closed", action="store_true", help="leave classes that the data lacks out of the answer space")
    bundle_options(parser)


def _run(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    return accuracy.run(pipeline, args.data, split=args.split, find_faces=args.find_faces, closed=args.closed)


COMMAND = Command(_options, of_pipeline(_run))
