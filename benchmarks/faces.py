"""`python -m benchmarks faces`: the face finder of a bundle on the photo pack's held-out sources."""

from __future__ import annotations

from pathlib import Path

from edge.pipeline import Pipeline
from training.photos import load_photos, score_finder


def measure(pipeline: Pipeline, archive: Path, split: str) -> dict[str, float]:
    """`recall`, `false_per_empty`, `point_error`, `faces`, `empty` (see `training.photos.score_finder`)."""
    return score_finder(pipeline.finder, load_photos(archive, split))
