"""A picture of moved faces: ten people at rest, eight moves each. Faces: FairFace (CC BY 4.0), held out of training."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge.cv import cv2
from edge.errors import InputError, UsageError
from edge.vision.quality import sharpness
from training.data import HELD_OUT_EVERY, read_pack, reframe
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
_CELL_PX, _HEAD_PX, _ADULT, _TURNED_DEG, _SHARP, _BRIGHT = 112, 18, 3, 20.0, 0.22, 80


def draw(data: Path, mover: Mover, path: Path, seed: int = 0) -> None:
    """Draw the gallery, by `seed` of which people, and write it by the suffix of `path`, or `UsageError`."""
    rows = []
    for image, landmarks in _people(data, mover, seed):
        pictures = [mover.move(image, landmarks, _sided(mover, amounts))[0] for amounts in MOVES.values()]
        rows.append(np.hstack([reframe(picture, _CELL_PX) for picture in pictures]))
    sheet = Image.new("L", (_CELL_PX * len(MOVES), _HEAD_PX + _CELL_PX * len(rows)), 255)
    sheet.paste(Image.fromarray(np.vstack(rows)), (0, _HEAD_PX))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for i, name in enumerate(MOVES):
        pen.text((i * _CELL_PX + 4, 2), name, 0, font)
    try:
        sheet.save(path, quality=88)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write '{path}': {error}") from None


def _sided(mover: Mover, amounts: dict[str, float]) -> dict[str, float]:
    return {one: amount for name, amount in amounts.items() for one in ((name,) if name in mover.names else (f"{name}_L", f"{name}_R"))}


def _people(data: Path, mover: Mover, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Adults of the held-out part at rest, facing the camera and sharp, taking turns by race and gender."""
    path = data / "faces_today.zip"
    keys = ("id", "landmarks", "blendshapes", "blendshape_names", "race", "gender", "age")
    numbers, landmarks, blendshapes, names, race, gender, age = read_pack(path.with_suffix(".npz"), *keys)
    quiet = at_rest(blendshapes, list(map(str, names))) & (numbers % HELD_OUT_EVERY == 0) & (age >= _ADULT)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(quiet))
    groups = [[int(i) for i in order if (race[i], gender[i]) == group] for group in sorted({(race[i], gender[i]) for i in order})]
    np.random.default_rng(seed).shuffle(groups)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    try:
        with zipfile.ZipFile(path) as archive:
            while len(found) < FACES and any(groups):
                for group in groups:
                    while group and len(found) < FACES:
                        i = group.pop()
                        points = landmarks[i].astype(np.float32) / 16
                        image = cv2.imdecode(np.frombuffer(archive.read(f"{numbers[i]}.jpg"), np.uint8), cv2.IMREAD_GRAYSCALE)
                        if _clear(mover, image, points):
                            found.append((image, points))
                            break
    except (OSError, KeyError, zipfile.BadZipFile, cv2.error) as error:
        raise InputError(f"'{path}' is missing or damaged: {error}") from None
    return found


def _clear(mover: Mover, image: np.ndarray, points: np.ndarray) -> bool:
    try:
        mover.move(image, points, {})
        fit = mover.lay(points).fit
    except ValueError:
        return False
    crop = reframe(image, 48)
    return abs(fit.yaw_deg) < _TURNED_DEG and abs(fit.pitch_deg) < _TURNED_DEG and sharpness(crop) > _SHARP and float(crop.mean()) > _BRIGHT
