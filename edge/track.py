"""Identities over time: a face keeps its track number while its box overlaps the one of the frame before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.face import box_overlap
from edge.types import Detection

MIN_OVERLAP = 0.2
MAX_MISSED = 15
"""Frames that a track survives without being seen."""


@dataclass(slots=True)
class _Track:
    number: int
    box_xyxy: np.ndarray
    missed: int = 0


class Tracker:
    """Greedy overlap tracker; one per stream."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._next = 1

    def __call__(self, faces: list[Detection]) -> list[int]:
        """Give each face of a frame its track number (from 1)."""
        numbers = [0] * len(faces)
        if faces and self._tracks:
            overlap = box_overlap(np.stack([f.box_xyxy for f in faces]), np.stack([t.box_xyxy for t in self._tracks]))
            while overlap.max() >= MIN_OVERLAP:
                i, j = divmod(int(overlap.argmax()), overlap.shape[1])
                numbers[i] = self._tracks[j].number
                self._tracks[j].box_xyxy, self._tracks[j].missed = faces[i].box_xyxy, -1
                overlap[i], overlap[:, j] = -1, -1
        for track in self._tracks:
            track.missed += 1
        self._tracks = [track for track in self._tracks if track.missed <= MAX_MISSED]
        for i, face in enumerate(faces):
            if not numbers[i]:
                numbers[i] = self._next
                self._tracks.append(_Track(self._next, face.box_xyxy))
                self._next += 1
        return numbers
