"""Faces beside themselves with a part or two moved: what a cue reads as must follow the face, and not who it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from training.augment import Targets
from training.cues import CueModel
from training.data import FerPlus, Today
from training.intervene import AMOUNTS, Mover
from training.levers import LEVERS, lever
from training.run import in_two

_CHUNK = 500
_SHARES = (0.15, 1.0)
_ANY = 0.2
"""Share of the faces in which a single expression of any kind moves, and no lever of a cue."""


@dataclass(frozen=True, slots=True)
class Nudged:
    """Moved faces, and which faces they were."""

    faces: Targets
    """Units and emotions are not known of them."""
    origin: torch.Tensor
    """`[N]` row of each in the faces that they were made of."""

    def __len__(self) -> int:
        return len(self.origin)


def nudged(folder: Path, faces: FerPlus | Today, cue_model: CueModel, count: int, seed: int) -> Nudged:
    """Move one to three cues of faces that are drawn at random; those that cannot be moved (turned too far, landmarks beyond the picture)
    are passed over, so that a few less than `count` come back.

    Raises:
        InputError: the displacement fields are missing.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(faces), count, replace=count > len(faces))
    tasks = [(rows, int(rng.integers(2**31))) for rows in np.array_split(chosen, -(-count // _CHUNK))]
    made = [one for part in in_two(partial(_nudge, folder, faces), tasks) for one in part]
    rows = np.array([row for row, _, _ in made])
    images, landmarks = np.stack([image for _, image, _ in made]), np.stack([points for _, _, points in made])
    moved = replace(faces.take(rows), images=images, landmarks=landmarks, blendshapes=np.zeros_like(faces.blendshapes[rows]))
    targets = Targets.of(moved, cue_model)
    return Nudged(replace(targets, emotion=torch.full_like(targets.emotion, torch.nan)), torch.from_numpy(rows))


def _nudge(folder: Path, faces: FerPlus | Today, task: tuple[np.ndarray, int]) -> list[tuple[int, np.ndarray, np.ndarray]]:
    rows, seed = task
    mover, rng, made = Mover.load(folder, faces.point_index), np.random.default_rng(seed), []
    for row in rows:
        try:
            made.append((int(row), *mover.move(faces.images[row], faces.landmarks[row], _amounts(mover, rng))))
        except ValueError:
            continue
    return made


def _amounts(mover: Mover, rng: np.random.Generator) -> dict[str, float]:
    """Expression → amount: one to three levers, up or down, or any one expression."""
    if rng.random() < _ANY:
        return {str(rng.choice(mover.names)): float(rng.uniform(-0.4, 1.2))}
    total: dict[str, float] = {}
    for cue in rng.choice(list(LEVERS), int(rng.integers(1, 4)), replace=False):
        for name, amount in lever(mover.names, str(cue), bool(rng.random() < 0.5), float(rng.uniform(*_SHARES))).items():
            total[name] = float(np.clip(total.get(name, 0.0) + amount, *AMOUNTS))
    return total
