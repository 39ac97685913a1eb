"""Faces of today at rest, moved into the prototypes of each emotion: rare expressions with a label that is known because it was made."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from edge.errors import InputError
from edge.language.labels import EMOTIONS_8
from training.augment import Targets
from training.cues import CueModel
from training.data import Today
from training.intervene import PROTOTYPES, Mover, at_rest
from training.run import in_two

SURE = 0.85
"""Probability of the intended emotion in the target of a composed face; the rest is *neutral*."""
_STILL = "neutral"


def composed(folder: Path, today: Today, cue_model: CueModel, each: int, seed: int) -> Targets:
    """Compose `each` faces an emotion's prototype out of those at rest, and as many that move a little and mean nothing (*neutral*).

    Faces that cannot be moved (turned too far, landmarks beyond the picture) are passed over.

    Raises:
        InputError: the displacement fields are missing, or no face is at rest.
    """
    rest = np.flatnonzero(at_rest(today.blendshapes, today.shape_names))
    if not len(rest):
        raise InputError("no face of the pack is at rest: none can be composed")
    rng = np.random.default_rng(seed)
    tasks = [(e, rng.choice(rest, each, replace=each > len(rest)), int(rng.integers(2**31))) for e in (*PROTOTYPES, _STILL)]
    images, landmarks, emotions = [], [], []
    for emotion, made in in_two(partial(_compose, folder, today), tasks):
        images += [image for image, _ in made]
        landmarks += [points for _, points in made]
        emotions += [emotion] * len(made)
    faces = replace(
        today,
        images=np.stack(images),
        landmarks=np.stack(landmarks),
        blendshapes=np.zeros((len(images), len(today.shape_names)), np.float32),
    )
    targets = Targets.of(faces, cue_model)
    sure = torch.eye(len(EMOTIONS_8))[[EMOTIONS_8.index(emotion) for emotion in emotions]] * SURE
    sure[:, EMOTIONS_8.index(_STILL)] += 1 - SURE
    return replace(targets, emotion=sure)


def _compose(folder: Path, today: Today, task: tuple[str, np.ndarray, int]) -> tuple[str, list[tuple[np.ndarray, np.ndarray]]]:
    emotion, rows, seed = task
    mover, rng, made = Mover.load(folder), np.random.default_rng(seed), []
    for row in rows:
        try:
            if emotion == _STILL:
                amounts = {str(name): float(rng.uniform(0, 0.12)) for name in rng.choice(mover.names, 3, replace=False)}
                made.append(mover.move(today.images[row], today.landmarks[row], amounts))
            else:
                made.append(mover.compose(today.images[row], today.landmarks[row], emotion, rng))
        except ValueError:
            continue
    return emotion, made
