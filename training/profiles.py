"""Heads turned farther than a pack shows them: photographs with landmarks in depth, turned about the head's own axis and drawn anew.

Landmarkers give up where a face is seen from the side, so what teaches finders by their landmarks has few profiles; photographs of half
profiles show most of what a profile does. The mesh is turned, its triangles are drawn from the farthest to the nearest, and around the face
the picture is stretched.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import Delaunay
from tqdm.auto import tqdm

from edge.vision.warp import warp
from training.cues import five_points
from training.teacher import OVAL, Heads

FROM_DEG, MOST_DEG = 22.0, 78.0
"""Heads that are turned so far are turned on, and so far at most."""
_BY_DEG = (18.0, 34.0)
_BEHIND = 200.0
_RINGS = ((1.2, 0.6), (1.5, 0.2))  # around the outline, how far, and what share of its movement each takes


def turned_further(heads: Heads, seed: int) -> Heads:
    """The heads, and behind them those that are half turned, turned farther: images, boxes, points, and outlines.

    Args:
        heads: with their landmarks (`marks`).
        seed: of how far each is turned.
    """
    rng = np.random.default_rng(seed)
    half = np.flatnonzero((np.abs(heads.yaw_deg) >= FROM_DEG) & (np.abs(heads.yaw_deg) < MOST_DEG - _BY_DEG[0]))
    if not len(half):
        return heads
    mesh, away = _Mesh(heads), heads.yaw_deg[half]
    by = np.minimum(rng.uniform(*_BY_DEG, len(half)), MOST_DEG - np.abs(away)) * np.sign(away)
    drawn = [mesh.turned(i, deg) for i, deg in zip(tqdm(half, desc="profiles", leave=False, disable=None), by, strict=True)]
    images, boxes, points, outline = (np.stack(part) for part in zip(*drawn, strict=True))
    return replace(
        heads,
        images=np.concatenate([heads.images, images]),
        boxes=np.concatenate([heads.boxes, boxes]).astype(np.float32),
        points=np.concatenate([heads.points, points]).astype(np.float32),
        outline=np.concatenate([heads.outline, outline]).astype(np.float32),
        yaw_deg=np.concatenate([heads.yaw_deg, away + by]),
        part=np.concatenate([heads.part, heads.part[half]]),
        marks=np.concatenate([heads.marks, heads.marks[half]]),
    )


class _Mesh:
    """Triangles over the landmarks, the rings around them, and the picture's border."""

    def __init__(self, heads: Heads) -> None:
        self.heads = heads
        row = {int(number): i for i, number in enumerate(heads.index)}
        self.oval = [row[number] for number in OVAL if number in row]
        frontal = np.argsort(np.abs(heads.yaw_deg))[: max(1, len(heads.yaw_deg) // 4)]
        usual = heads.marks[frontal].mean(0)
        self.triangles = Delaunay(self._surrounded(usual, np.zeros_like(usual))[:, :2]).simplices

    def turned(self, i: int, by_deg: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One head's image, box, points and outline after a turn."""
        marks = self.heads.marks[i].astype(np.float64)
        axis, c, s = marks[self.oval].mean(0), np.cos(np.radians(by_deg)), np.sin(np.radians(by_deg))
        after = (marks - axis) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) + axis
        source, target = self._surrounded(marks, np.zeros_like(marks)), self._surrounded(marks, after - marks)
        far_first = self.triangles[np.argsort(-target[self.triangles, 2].mean(1))]
        drawn = warp(self.heads.images[i].astype(np.float32), target[:, :2], [(far_first, source[:, :2], np.zeros(len(source)))])
        edges = [(oval.min(0), oval.max(0)) for oval in (marks[self.oval, :2], after[self.oval, :2])]
        five = five_points(after[None], self.heads.index)[0]
        box = self.heads.boxes[i] + np.subtract(edges[1], edges[0]).ravel()
        box = np.concatenate([np.minimum(box[:2], five.min(0)), np.maximum(box[2:], five.max(0))])
        return np.clip(drawn, 0, 255).astype(np.uint8), box, five, after[self.oval, :2]

    def _surrounded(self, marks: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Landmarks `[V,3]`, moved, with what surrounds them and moves less the farther off it lies; all of that lies behind them."""
        outline, moved = marks[self.oval], shift[self.oval]
        middle = outline.mean(0)
        rings = [middle + (outline - middle) * [far, far, 0] + moved * [share, share, 0] + [0, 0, _BEHIND] for far, share in _RINGS]
        border = [(x, y, 2 * _BEHIND) for x in (-80, 64, 208) for y in (-80, 64, 208) if (x, y) != (64, 64)]
        return np.concatenate([marks + shift, *rings, np.array(border, float)])
