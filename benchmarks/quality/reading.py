"""Faces with known labels, and what a pipeline reads from them: shared by the rooms that measure over a data set."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from benchmarks.command import whole
from benchmarks.quality.accuracy import Faces, load_folder, load_pack
from edge.language.explain import subjects_of
from edge.pipeline import Pipeline
from edge.types import Explanation
from edge.vision.encoder import Encoded

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Read:
    """What was read from N crops."""

    encoded: Encoded
    shown: np.ndarray
    """`[N]` index of the label that is shown."""
    confidence: np.ndarray
    """`[N]` its calibrated probability."""


def data_options(parser: argparse.ArgumentParser, *, faces: int, split: str = "test") -> None:
    """Add `--data`, `--split` and `--faces`."""
    parser.add_argument("--data", type=Path, required=True, help="ferplus_images.npz, or a folder DIR/<emotion>/*.png|jpg")
    parser.add_argument("--split", choices=("train", "valid", "test"), default=split, help=f"of a pack (default: {split})")
    text = "all" if faces == 0 else str(faces)
    parser.add_argument("--faces", type=whole, default=faces, metavar="N", help=f"evenly chosen; 0: all (default: {text})")


def load_faces(data: Path, split: str, faces: int, pipeline: Pipeline) -> Faces:
    """Load a pack or a folder of emotion folders; `faces` of them, evenly spaced, unless 0."""
    loaded = load_pack(data, split, pipeline) if data.suffix == ".npz" else load_folder(data, pipeline, find_faces=False)
    if not 0 < faces < len(loaded.labels):
        return loaded
    rows = np.linspace(0, len(loaded.labels) - 1, faces).astype(int)
    cues = loaded.cues[rows] if loaded.cues is not None else None
    return replace(loaded, crops=loaded.crops[rows], labels=loaded.labels[rows], cues=cues)


def read_crops(pipeline: Pipeline, crops: np.ndarray) -> Read:
    """Encode `[N,S,S]` crops."""
    encoded = pipeline.encoder.read(crops)
    return Read(encoded, encoded.probabilities.argmax(1), encoded.probabilities.max(1))


def explain(pipeline: Pipeline, read: Read, *, title: str = "explain") -> tuple[list[Explanation], list[Explanation]]:
    """The greedy draft of every face, and what the runtime makes of it."""
    subjects = subjects_of(read.encoded, pipeline.bundle.config)
    drafts: list[Explanation] = []
    for i in tqdm(range(0, len(subjects), _BATCH), desc=title, leave=False, disable=None):
        drafts += pipeline.explainer.draft(subjects[i : i + _BATCH])
    return drafts, [pipeline.explainer.settle(draft, subject) for draft, subject in zip(drafts, subjects, strict=True)]
