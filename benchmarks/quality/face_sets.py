"""Pictures whose faces are known, for the yardstick of finders: held-out photos, composed scenes, collages, the audit photographs.

Nothing of the training part goes into them. Thresholds are chosen on `valid`; `test` is for reports.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from training.compose import PROFILE_DEG, Composer, Piece, Scene, Sources, Turns, placed_face, relit

SCENE_SIZES = ((1280, 720), (1920, 1080))
COLLAGES = {2: 24, 6: 12, 10: 8}
"""Tiles across → how many pictures: 4, 36 and 100 faces each."""


def held_out(pieces: list[Piece], turn_deg: int = 0) -> Iterator[Scene]:
    """Photos as they are, or turned by a multiple of 90 degrees."""
    for piece in pieces:
        height, width = piece.image.shape
        c, s = round(math.cos(math.radians(turn_deg))), round(math.sin(math.radians(turn_deg)))
        turn = np.array([[c, -s], [s, c]], float)
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ turn.T
        matrix = np.column_stack([turn, -corners.min(0)])
        scene = Scene(np.ascontiguousarray(np.rot90(piece.image, -turn_deg // 90)))
        for box, points in zip(piece.boxes, piece.points, strict=True):
            placed, there = placed_face(box, points, matrix, turn_deg)
            scene.boxes.append(placed)
            scene.points.append(there)
        scene.unsure = [placed_face(box, np.zeros((5, 2)), matrix, turn_deg)[0] for box in piece.unsure]
        scene.turns_deg, scene.tags = [float(turn_deg)] * len(piece.boxes), ["photo"] * len(piece.boxes)
        yield scene


def composed(sources: Sources, count: int, seed: int = 7) -> Iterator[Scene]:
    """Rooms of 1280×720 and 1920×1080 with one to sixteen faces of 1 to 40 % of the width; a third turned, adorned, some dark."""
    composer = Composer(sources, Turns(tilt_deg=12.0, any_share=0.1, down_share=0.08))
    turned = np.flatnonzero(np.abs(sources.heads.yaw_deg) > PROFILE_DEG)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        width, height = SCENE_SIZES[number % 2]
        scene = composer.backdrop(rng, height, width)
        if rng.random() < 0.5:
            composer.photo(rng, scene, low_px=0.03 * width, high_px=0.3 * width)
        for _ in range(int(rng.integers(1, 17))):
            share = math.exp(rng.uniform(math.log(0.01), math.log(0.4)))
            number_of = int(rng.choice(turned)) if len(turned) and rng.random() < 0.1 else None
            composer.head(rng, scene, share * width, adorn=0.3, number=number_of)
        scene.picture = relit(rng, scene.picture)
        yield scene


def heads_of_kind(sources: Sources, kind: str, count: int, seed: int = 11) -> Iterator[Scene]:
    """Upright single faces of 30 to 200 pixels, four in 640×480: `profile` (beyond 45 degrees) or `masked`."""
    composer = Composer(sources, Turns(tilt_deg=8.0, any_share=0.0, down_share=0.0))
    turned = np.flatnonzero(np.abs(sources.heads.yaw_deg) > PROFILE_DEG)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        scene = composer.backdrop(rng, 480, 640)
        for _ in range(4):
            chosen = int(rng.choice(turned)) if kind == "profile" else None
            width_px = math.exp(rng.uniform(math.log(30), math.log(200)))
            composer.head(rng, scene, width_px, adorn=float(chosen is None), kind=kind, number=chosen)
        yield scene


def collages(sources: Sources, across: int, count: int, seed: int = 13) -> Iterator[Scene]:
    """Tiles of single faces side by side, 1280 pixels wide."""
    composer = Composer(sources, Turns(tilt_deg=10.0, any_share=0.0, down_share=0.0))
    for number in range(count):
        rng = np.random.default_rng([seed, across, number])
        yield composer.collage(rng, 1280, 1280, across, photos=0.0)


def empties(pictures: list[np.ndarray]) -> Iterator[Scene]:
    """Photographs without a face."""
    return map(Scene, pictures)
