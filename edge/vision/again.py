"""Who was here before: what people who left a stream looked like, so that they get their number back.

An *appearance* is how the edges of the aligned crop run, cell by cell (histograms of oriented gradients, Dalal and Triggs 2005, with
overlapping cells): no network, learnt from nobody. Appearances are kept of few people and of each a few, in memory, as long as the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge.cv import cv2
from edge.vision.quality import MIN_SHARPNESS, sharpness

PEOPLE = 16
"""People who left that are remembered at most; who left first is forgotten first."""
VIEWS = 8
"""Appearances that are kept of each at most."""
VIEW_MS = 1000.0
"""How often a face in sight is looked at for an appearance worth keeping."""
ALIKE = 0.78
"""Least likeness of two appearances of one person: the lowest at which, on the half to choose on, of newcomers to 16 people of their own
race and gender at most one in a hundred is taken for one of them, in every group (`python -m benchmarks again`)."""

_SIDE, _CELL, _BINS = 48, 6, 8  # pixels of the crop, and of a cell; directions of an edge
_NEW_VIEW = 0.85  # a view that is more like one that is kept takes its place


def appearance(crop: np.ndarray) -> np.ndarray:
    """What an aligned crop `[S,S]` uint8 looks like, `[512]` float32 of length 1: the dot product of two is their likeness, −1…1.

    Light and contrast hardly count: every cell's edges are measured against those around it.
    """
    small = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    smooth = cv2.GaussianBlur(small, (0, 0), 0.7)
    right, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    strength = np.sqrt(np.hypot(right, down))
    angle = np.arctan2(down, right) % np.pi * (_BINS / np.pi)
    away = np.abs(angle[..., None] - np.arange(_BINS, dtype=np.float32))
    share = np.clip(1 - np.minimum(away, _BINS - away), 0, 1) * strength[..., None]
    cells = cv2.GaussianBlur(share.astype(np.float32), (0, 0), _CELL / 2)[_CELL // 2 :: _CELL, _CELL // 2 :: _CELL]
    around = cv2.GaussianBlur((cells**2).sum(-1), (0, 0), 1.0)
    values = (cells / np.sqrt(around + 1e-3)[..., None]).ravel()
    values -= values.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-9), np.float32)


def shows_well(crop: np.ndarray) -> bool:
    """Whether a crop `[S,S]` uint8 is sharp enough to tell who was here before."""
    return sharpness(crop) >= MIN_SHARPNESS


@dataclass(slots=True)
class Views:
    """The appearances of one person that are kept, those that were renewed last at the end."""

    kept: list[np.ndarray] = field(default_factory=list)
    taken_ms: float = -np.inf

    def due(self, t_ms: float) -> bool:
        """Whether it is time to look for another one."""
        return not 0 <= t_ms - self.taken_ms < VIEW_MS

    def take(self, view: np.ndarray, t_ms: float) -> None:
        """Keep an appearance in place of one like it, or of the oldest where there are enough."""
        self.taken_ms = t_ms
        alike = [float(view @ old) for old in self.kept]
        if alike and max(alike) >= _NEW_VIEW:
            del self.kept[int(np.argmax(alike))]
        self.kept = [*self.kept[-(VIEWS - 1) :], view]

    def like(self, view: np.ndarray) -> float:
        """How much an appearance is like the one among these that it is most like; −1 where none is kept."""
        return max((float(view @ old) for old in self.kept), default=-1.0)


class Left:
    """The people who left, by number: as many as there is room for."""

    def __init__(self) -> None:
        self.people: dict[int, Views] = {}

    def add(self, number: int, views: Views) -> None:
        """Somebody left; who was never seen well is not remembered."""
        if views.kept:
            self.people[number] = views
        if len(self.people) > PEOPLE:
            del self.people[next(iter(self.people))]


def recognise(view: np.ndarray, people: Mapping[int, Views]) -> int | None:
    """The number of the person whom an appearance is most like, if it is like enough; `None` for somebody new."""
    best = max(people, key=lambda number: people[number].like(view), default=None)
    return None if best is None or people[best].like(view) < ALIKE else best
