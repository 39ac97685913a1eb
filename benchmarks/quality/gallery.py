"""A picture of moved faces: ten people at rest, eight moves each. Faces: FairFace (CC BY 4.0), held out of training."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import pictures
from edge.vision.quality import sharpness
from training.data import HELD_OUT_EVERY, load_today, read_pack, reframe
from training.intervene import Mover, at_rest

FACES = 10
MOVES: dict[str, dict[str, float]] = {
    "as it is": {},
    "brows up": {"browInnerUp": 0.9, "browOuterUp": 0.8},
    "brows down": {"browDown": 1.3},
    "eyes closed": {"eyeBlink": 1.0},
    "nose wrinkled": {"noseSneer": 1.0, "mouthShrugLower": 0.4},
    "corners up": {"mouthSmile": 0.8},
    "corners down": {"mouthFrown": 1.2},
    "smile, teeth": {"mouthSmile": 0.8, "mouthUpperUp": 0.4, "mouthLowerDown": 0.3, "cheekRaiser": 0.5},
    "jaw dropped": {"jawOpen": 0.35},
}
"""Column → expression without its side → amount."""
_CELL_PX, _ADULT, _TURNED_DEG, _SHARP, _BRIGHT = 112, 3, 20.0, 0.22, 80


def draw(data: Path, mover: Mover, path: Path, seed: int = 0) -> None:
    """Draw the gallery, by `seed` of which people, and write it by the suffix of `path`, or `UsageError`."""
    people = _people(data, mover, seed)
    columns = []
    for name, amounts in MOVES.items():
        moved = [mover.move(image, landmarks, _sided(mover, amounts))[0] for image, landmarks in people]
        columns.append(pictures.titled(np.vstack([reframe(picture, _CELL_PX) for picture in moved]), name))
    pictures.save(path, np.hstack(columns))


def _sided(mover: Mover, amounts: dict[str, float]) -> dict[str, float]:
    return {one: amount for name, amount in amounts.items() for one in ((name,) if name in mover.names else (f"{name}_L", f"{name}_R"))}


def _people(data: Path, mover: Mover, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Adults of the held-out part at rest, facing the camera and sharp, taking turns by race and gender."""
    faces = load_today(data, held_out=True)
    number, *about = read_pack(data / "faces_today.npz", "id", "race", "gender", "age")
    race, gender, age = (column[number % HELD_OUT_EVERY == 0] for column in about)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(at_rest(faces.blendshapes, faces.shape_names) & (age >= _ADULT)))
    groups = [[int(i) for i in order if (race[i], gender[i]) == group] for group in sorted({(race[i], gender[i]) for i in order})]
    np.random.default_rng(seed).shuffle(groups)

    def clear(group: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return ((faces.images[i], faces.landmarks[i]) for i in reversed(group) if _clear(mover, faces.images[i], faces.landmarks[i]))

    turns = itertools.zip_longest(*map(clear, groups))
    return list(itertools.islice(filter(None, itertools.chain.from_iterable(turns)), FACES))


def _clear(mover: Mover, image: np.ndarray, points: np.ndarray) -> bool:
    try:
        mover.move(image, points, {})
        fit = mover.lay(points).fit
    except ValueError:
        return False
    crop = reframe(image, 48)
    return abs(fit.yaw_deg) < _TURNED_DEG and abs(fit.pitch_deg) < _TURNED_DEG and sharpness(crop) > _SHARP and float(crop.mean()) > _BRIGHT
