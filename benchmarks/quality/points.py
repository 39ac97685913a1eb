"""`python -m benchmarks points`: how much of the finder's point error is the teacher's own.

A third, independent reading (the encoder, which learned from another landmark model) tells them apart: with independent errors the squared
distances of each pair are sums of two errors' squares, and three pairs give three errors (the three-cornered hat, known from the comparison
of clocks). Fixed offsets between the definitions are taken out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from benchmarks.command import Command, Figures, bundle_options, of_pipeline
from edge.cv import cv2
from edge.errors import InputError
from edge.pipeline import Pipeline
from edge.vision.crop import crop_face, crop_matrix
from training.cues import POINTS
from training.photos import load_photos

_LEAST_PX = 60
_PARTS = ((33, 133, 159, 145), (362, 263, 386, 374), (61,), (291,))
"""Points of the encoder around each eye and in the corners of the mouth."""


def measure(pipeline: Pipeline, archive: Path, split: str) -> Figures:
    """Compare teacher, finder and encoder on photos with one face of at least 60 px, by eyes and mouth corners; `InputError` with too few.

    Returns:
        `faces`; mean distances over the eye distance `teacher_encoder`, `finder_encoder`, `finder_teacher`; and the errors that follow for
        `teacher`, `finder`, `encoder`.
    """
    rows = []
    for photo in tqdm(load_photos(archive, split), desc="photos", leave=False, disable=None):
        if len(photo.boxes) != 1 or photo.boxes[0, 2] < _LEAST_PX or not np.isfinite(photo.points).all():
            continue
        teacher = photo.points[0]
        found = [d for d in pipeline.finder(photo.image) if np.abs(d.points_xy - teacher).max() < photo.boxes[0, 2] / 2]
        if found:
            finder = found[0].points_xy
            encoder = (_encoder_points(pipeline, photo.image, teacher) + _encoder_points(pipeline, photo.image, finder)) / 2
            sets = teacher[[0, 1, 3, 4]], finder[[0, 1, 3, 4]], encoder
            rows.append(np.stack(sets) / np.linalg.norm(teacher[0] - teacher[1]))
    if len(rows) < 2:
        raise InputError(f"'{archive}' has too few single faces of {_LEAST_PX} px that the bundle's finder finds")
    teacher, finder, encoder = np.array(rows).transpose(1, 0, 2, 3)
    te, fe, ft = (_apart(a, b) for a, b in ((teacher, encoder), (finder, encoder), (finder, teacher)))
    errors = {"teacher": te + ft - fe, "finder": fe + ft - te, "encoder": te + fe - ft}
    pairs = {"teacher_encoder": te, "finder_encoder": fe, "finder_teacher": ft, **{name: max(0.0, e) / 2 for name, e in errors.items()}}
    return {"faces": len(rows), **{name: float(np.sqrt(value)) for name, value in pairs.items()}}


def _encoder_points(pipeline: Pipeline, grey: np.ndarray, five: np.ndarray) -> np.ndarray:
    """Eyes and mouth corners `[4,2]`, pixels of the picture, as the encoder reads them in the crop that `five` give."""
    spec = pipeline.bundle.config.image
    matrix = crop_matrix(five, np.asarray(spec.template_xy))
    back = cv2.invertAffineTransform(matrix)
    points = pipeline.encoder(crop_face(grey, matrix, spec.size)[None]).points_xy[0] * spec.size @ back[:, :2].T + back[:, 2]
    return np.stack([points[[POINTS.index(n) for n in group]].mean(0) for group in _PARTS])


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared distance of two readings `[N,4,2]`, fixed offsets taken out."""
    difference = a - b
    return float(((difference - difference.mean(0)) ** 2).sum(2).mean())


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="faces_in_context.zip")
    parser.add_argument("--split", choices=("train", "valid", "all"), default="valid", help="sources held out of training: valid")
    bundle_options(parser)


COMMAND = Command(_options, of_pipeline(lambda pipeline, args: measure(pipeline, args.data, args.split)))
