"""`python -m benchmarks attacks`: how often texts that deceive pass the verdict, and how often true ones do.

The attacks are `training.attacks`'; they are made from the bundle's own rationales of faces whose answer is right. An attack that carries a
lie about the face counts only where the landmarks say that it is one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.command import Command, Figures, bundle_options, of_pipeline
from edge.pipeline import Pipeline
from training.attacks import accept_rates, attempts
from training.data import data_folder, load_ferplus
from training.drafts import cases_of, draft


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    bundle_options(parser)
    parser.add_argument("--data", type=Path, help="folder of the data packs, or ferplus_images.npz (default: ERV_DATA, or ../shared/data)")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test")
    parser.add_argument("--cases", type=int, default=1000, metavar="N", help="rationales to attack, at most (default: 1000)")


def measure(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    """`true_accepts`, and per attack `rate` of false accepts with the number `n` of attempts."""
    faces = load_ferplus(args.data or data_folder(), args.split)
    drafts = draft(pipeline, faces.take(faces.label >= 0))
    cases = cases_of(pipeline.explainer, drafts, args.cases)
    rates: dict[str, Any] = accept_rates(pipeline.explainer, attempts(cases, list(pipeline.bundle.config.labels), seed=1))
    return {"true_accepts": rates.pop("own"), "false_accepts": rates}


COMMAND = Command(options, of_pipeline(measure))
