"""Made clips with one label each: a face at rest that shows an emotion's prototype for a part of the time, or moves without showing one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.quality.courses import Clip, Course, Portrait, Stage, load_portraits
from edge.bundle import BundleConfig
from edge.errors import InputError
from edge.pipeline import Pipeline
from training.intervene import PROTOTYPES, Mover, draw_amounts

SECONDS, FPS = 4.0, 25.0
SHARES = (0.3, 0.9)
"""Of the time that the expression takes up, its rise and fall included."""
NEUTRAL = "neutral"
_TRIES = 20
_TALK = 0.3  # of a dropped jaw: lips that move and mean nothing


def acted_clips(data: Path, pipeline: Pipeline, count: int, seed: int) -> Iterator[tuple[str, Clip]]:
    """So many clips with their labels, all labels alike often; `InputError` where too few faces can be moved."""
    rng, mover = np.random.default_rng(seed), Mover.load(data)
    labels = [label for label in pipeline.config.labels if label == NEUTRAL or label in PROTOTYPES]
    portraits = iter(load_portraits(data, _TRIES * count, seed=seed))
    for i in range(count):
        label = labels[i % len(labels)]
        yield label, _clip(mover, portraits, pipeline.config, label, rng)


def _clip(mover: Mover, portraits: Iterator[Portrait], config: BundleConfig, label: str, rng: np.random.Generator) -> Clip:
    for portrait in portraits:
        try:
            stage = Stage(mover, portrait, config, {label: draw_amounts(label, rng)} if label in PROTOTYPES else None)
            stage.picture("jaw drop" if label == NEUTRAL else label, _TALK, 1.0)  # a face that cannot be moved says so here
        except ValueError:
            continue
        return Clip(stage, tuple(_courses(label, rng)), SECONDS, FPS, int(rng.integers(2**31)))
    raise InputError("too few faces at rest can be moved: fewer clips")


def _courses(label: str, rng: np.random.Generator) -> Iterator[tuple[Course, float]]:
    if label == NEUTRAL:
        for start_s in np.arange(0.6, SECONDS - 0.6, 0.5):
            yield Course("jaw drop", start_s, start_s + 0.12, start_s + 0.16, start_s + 0.3, 1.0), float(rng.uniform(0, _TALK))
        return
    long_s = float(rng.uniform(*SHARES)) * SECONDS
    start_s, ramp_s = float(rng.uniform(0, SECONDS - long_s)), min(0.4, long_s / 3)
    yield Course(label, start_s, start_s + ramp_s, start_s + long_s - ramp_s, start_s + long_s, 1.0), 1.0
