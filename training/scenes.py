"""What the finder learns from: composed pictures, and what its teacher says of each of their cells.

Pictures are composed on the spot (`training.compose`) from photos, single faces and backgrounds, sometimes two laid over each other. The
teacher, YuNet, says of every cell how much of a face it is, where its box lies and where its points. What it says of an upright picture
holds of the turned one as well, its cells turned along: so faces tilted, on their side and upside down are learned, which the teacher does
not know. Where landmarks are known they take the place of the teacher's points.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from edge.cv import cv2
from edge.vision.crop import pixel_matrix
from edge.vision.finder import box_overlap
from training.compose import Composer, Scene, relit
from training.recipe import FaceConfig
from training.teacher import Teacher, shifted

STRIDES = (8, 16, 32)
LEAST_SCORE = 0.05
"""Cells that the teacher gives less of a face teach no box and no points."""
_SAME = 0.5
_PADDED, _PADDING = 0.1, 127
_TILT_DEG = 25.0
"""Spread of the turns beside whole quarters."""
_CLEAR = 0.5
"""Share of pictures that the teacher sees in their own light, and the finder in another."""


def draw_scene(composer: Composer, rng: np.random.Generator, side: int, kinds: dict[str, float]) -> Scene:
    """One training picture in its own light, of a kind that is drawn."""
    share = np.array(list(kinds.values()))
    kind = list(kinds)[int(rng.choice(len(share), p=share / share.sum()))]
    if kind in ("collage", "portrait"):
        scene = composer.collage(rng, side, side, int(rng.integers(1, 9)) if kind == "collage" else 1, photos=0.5)
    else:
        scene = composer.backdrop(rng, side, side)
        if kind in ("photo", "crowd") or (kind == "heads" and rng.random() < 0.4):
            composer.photo(rng, scene, low_px=9, high_px=1.2 * side if kind == "photo" else 0.25 * side)
        if kind == "heads":
            for _ in range(int(rng.integers(1, 7))):
                composer.head(rng, scene, math.exp(rng.uniform(math.log(8), math.log(0.7 * side))))
        elif kind == "crowd":
            typical = math.exp(rng.uniform(math.log(9), math.log(30)))
            for _ in range(int(rng.integers(8, 40))):
                composer.head(rng, scene, typical * math.exp(rng.normal(0, 0.25)), adorn=0.2)
    return scene


class Scenes:
    """Batches of composed pictures with each cell's targets; batch number `n` is always the same."""

    def __init__(self, composer: Composer, teacher: Teacher, config: FaceConfig) -> None:
        self.composer, self.teacher, self.config = composer, teacher, config

    def ahead(self, first: int, depth: int = 4) -> Iterator[tuple[torch.Tensor, ...]]:
        """The batches from `first` on, drawn in a thread beside the training: OpenCV leaves the interpreter to it meanwhile."""
        pool, seed, steps = ThreadPoolExecutor(1), self.config.seed, self.config.steps

        def draw(number: int) -> tuple[np.ndarray, ...]:
            return self.batch(np.random.default_rng([seed, number]))

        try:
            waiting = deque(pool.submit(draw, number) for number in range(first, min(first + depth, steps)))
            for number in range(first + depth, steps + depth):
                if not waiting:
                    return
                batch = waiting.popleft().result()
                if number < steps:
                    waiting.append(pool.submit(draw, number))
                yield tuple(map(torch.from_numpy, batch))
        finally:
            pool.shutdown(cancel_futures=True)

    def batch(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Pictures `[N,1,S,S]` uint8 and what is to be read of each cell `[N,A,15]`: score 0…1, box, points in pixels."""
        config, side = self.config, self.config.canvas
        pictures, told, before = [], [], None
        for _ in range(config.batch):
            scene = draw_scene(self.composer, rng, side, config.kinds)
            picture, boxes, points = scene.picture, np.reshape(scene.boxes, (-1, 4)), np.reshape(scene.points, (-1, 10))
            if before is not None and rng.random() < config.mixed_share:
                share = rng.uniform(0.5, 0.85)
                picture, points = cv2.addWeighted(picture, share, before, 1 - share, 0.0), np.full_like(points, np.nan)
            before = scene.picture
            if rng.random() < _PADDED:
                picture = picture.copy()
                picture[int(side * rng.uniform(0.5, 1)) :] = picture[:, int(side * rng.uniform(0.5, 1)) :] = _PADDING
            seen = relit(rng, picture)
            rows = with_landmarks(
                self.teacher.rows(picture if rng.random() < _CLEAR else seen), boxes, points, self.composer.sources.heads.shift
            )
            if rng.random() < config.turned_share:
                matrix = turn(side, 90.0 * int(rng.integers(4)) + float(rng.normal(0, _TILT_DEG)))
                seen = cv2.warpAffine(seen, pixel_matrix(matrix), (side, side), borderMode=cv2.BORDER_REPLICATE)
                rows = turned(rows, side, matrix)
            pictures.append(seen[None])
            told.append(rows)
        return np.stack(pictures), np.stack(told).astype(np.float32)


def with_landmarks(rows: np.ndarray, boxes: np.ndarray, points: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The teacher's rows `[A,15]` with points where landmarks lie: those of the known faces (`boxes [F,4]`, `points [F,10]`, NaN where
    unknown) that a cell's box lies on, elsewhere its own, moved by what they differ in the mean."""
    rows = rows.copy()
    rows[:, 5:] = shifted(rows[:, 5:].reshape(-1, 5, 2), shift).reshape(-1, 10)
    asked = np.flatnonzero(rows[:, 0] >= LEAST_SCORE)
    if len(boxes) and len(asked):
        shared = box_overlap(rows[asked, 1:5], boxes)
        face = shared.argmax(1)
        known = (shared.max(1) >= _SAME) & np.isfinite(points[face]).all(1)
        rows[asked[known], 5:] = points[face[known]]
    return rows


def turn(side: int, turn_deg: float) -> np.ndarray:
    """`[2,3]`: a turn of a square picture about its middle, clockwise in the picture."""
    c, s = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    matrix = np.array([[c, -s], [s, c]])
    return np.column_stack([matrix, side / 2 * (1 - matrix.sum(1))])


def turned(rows: np.ndarray, side: int, matrix: np.ndarray) -> np.ndarray:
    """Rows `[A,15]` of a square picture → of the same one turned: each cell takes what was said of the one that its middle comes from, the
    box as that of the turned ellipse; cells that come from outside have no face."""
    back = cv2.invertAffineTransform(matrix)
    source, first = [], 0
    for stride in STRIDES:
        across = side // stride
        middles = (np.indices((across, across))[::-1].reshape(2, -1).T + 0.5) * stride
        column, row = np.floor((middles @ back[:, :2].T + back[:, 2]) / stride + 1e-6).astype(int).T
        inside = (column >= 0) & (column < across) & (row >= 0) & (row < across)
        source.append(np.where(inside, first + row * across + column, -1))
        first += across**2
    taken = np.concatenate(source)
    rows = np.where(taken[:, None] >= 0, rows[taken], 0)
    middle = (rows[:, 1:3] + rows[:, 3:5]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half, c, s = (rows[:, 3:5] - rows[:, 1:3]) / 2, *np.abs(matrix[:, 0])
    half = np.hypot(half * c, half[:, ::-1] * s)
    points = rows[:, 5:].reshape(-1, 5, 2) @ matrix[:, :2].T + matrix[:, 2]
    return np.column_stack([rows[:, 0], middle - half, middle + half, points.reshape(-1, 10)])
