"""`python -m benchmarks attacks`: how often texts that deceive pass the verdict, and how often true ones do.

They are made by `training.attacks` from the bundle's own rationales of faces whose answer is right. A lie about the face counts only where
the landmarks, or for pose, intensity and certainty the runtime's own measures, say that it is one.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np

from benchmarks.command import Figures, of_pipeline
from benchmarks.quality.interval import share
from edge.pipeline import Pipeline
from edge.types import Verdict
from training.attacks import TRUE, attempts, judge_suite
from training.data import data_folder, load_ferplus
from training.drafts import cases_of, draft
from training.lies import in_other_words, tell

_ENOUGH = 2
"""Faces that are explained for each case that is wanted: those with a wrong answer are none."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--data", type=Path, help="folder of the data packs, or ferplus_images.npz (default: ERV_DATA, or ../shared/data)")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test")
    parser.add_argument("--cases", type=int, default=1000, metavar="N", help="rationales to attack, at most (default: 1000)")


def measure(pipeline: Pipeline, args: argparse.Namespace) -> Figures:
    """`true_accepts`, and per attack the share of false accepts with the number `n` of attempts; `true_in_other_words` is no attack."""
    explainer = pipeline.explainer
    faces = load_ferplus(args.data or data_folder(), args.split).at(pipeline.config.image.size)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(faces.label >= 0))[: _ENOUGH * args.cases]
    cases = cases_of(explainer, draft(pipeline, faces.take(rows)), args.cases)
    suite = attempts(cases, list(explainer.config.labels), seed=1)
    suite["true_in_other_words"] = tell(in_other_words, cases, random.Random(1))
    judged = judge_suite(explainer, suite)
    rates = {name: share(np.array([e.status is Verdict.VERIFIED for e in group])) for name, group in judged.items()}
    own, anew = rates.pop(TRUE), rates.pop("true_in_other_words")
    return {"true_accepts": own, "true_in_other_words": anew, "false_accepts": rates}


COMMAND = of_pipeline(measure, options)
