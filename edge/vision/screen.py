"""What the finder found, without what is no face: a small network looks at every find.

A finder of eighty thousand parameters sees all of a picture at once and takes badges, hands and wheels for faces, and is then less sure.
The screen sees one find at a time, by the finder's own points and, where that shows no face, laid into the find's box the four ways it may
lie: so a face on its side is turned, too.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edge.bundle import ImageSpec, check_graph
from edge.cv import cv2
from edge.engine.backend import Session
from edge.types import Detection
from edge.vision.face import align, crop_matrix

INPUT, OUTPUT = "crops", "log_odds"
SIDE = 48
"""Of its crops, pixels."""
SURE = 0.7
"""Score from which a find is taken for a face at once in a stream: in validation pictures 0.96 of 2,194 faces and 11 of 24 others that pass
have as much, most of the others in pictures that stand on their head."""
COLLAPSED = 0.5
"""A crop so small for its box shows a part: of a face that lies on its side, the points may meet in the middle."""
_BELOW = 0.05  # of the box, from its middle to that of the five points
_AT_ONCE = 64  # crops


class Screen:
    """Tells faces from what the finder takes for one."""

    def __init__(self, session: Session, image: ImageSpec, least_sure: float) -> None:
        """Take a session.

        Args:
            session: of the bundle's `screen.onnx`.
            image: how crops are made.
            least_sure: what the log odds of the finder's score and the screen's must come to together.

        Raises:
            BundleError: the graph has other inputs.
        """
        check_graph("screen", {INPUT}, session.inputs)
        self.session, self.image, self.least_sure = session, image, least_sure

    def __call__(self, grey: np.ndarray, found: list[Detection]) -> list[Detection]:
        """The faces among what was found in `[H,W]` uint8, the right way up; their score counts what was seen, and is 0.5 at the least."""
        ways = [[face] if crop_share(face, self.image) >= COLLAPSED else [] for face in found]
        seen = self._best(grey, ways)
        again = [i for i, face in enumerate(found) if self._surer(face, seen[i][0]) < 0]
        laid_ways = self._best(grey, [[laid(found[i], quarters, self.image) for quarters in range(4)] for i in again])
        for i, best in zip(again, laid_ways, strict=True):
            seen[i] = max(seen[i], best, key=lambda one: one[0])
        kept = []
        for face, (odds, way) in zip(found, seen, strict=True):
            surer = self._surer(face, odds)
            if way is not None and surer >= 0:
                kept.append(replace(way, score=1 / (1 + math.exp(-surer))))
        return kept

    def _surer(self, face: Detection, odds: float) -> float:
        score = min(max(face.score, 1e-6), 1 - 1e-6)
        return math.log(score / (1 - score)) + odds - self.least_sure

    def _best(self, grey: np.ndarray, ways: list[list[Detection]]) -> list[tuple[float, Detection | None]]:
        """Of each find's ways the one that looks most like a face, and its log odds; minus infinity where there is none."""
        every = [way for group in ways for way in group]
        odds = iter(self.log_odds(grey, every).tolist())
        none: list[tuple[float, Detection | None]] = [(-math.inf, None)]
        return [max(none + [(next(odds), way) for way in group], key=lambda one: one[0]) for group in ways]

    def log_odds(self, grey: np.ndarray, faces: list[Detection]) -> np.ndarray:
        """`[F]` that each shows a face the right way up, as it lies."""
        crops = [cv2.resize(align(grey, face, self.image)[0], (SIDE, SIDE), interpolation=cv2.INTER_AREA) for face in faces]
        parts = [np.stack(crops[i : i + _AT_ONCE])[:, None].astype(np.float32) for i in range(0, len(crops), _AT_ONCE)]
        return np.concatenate([np.zeros(0, np.float32), *(self.session.run({INPUT: part})[OUTPUT] for part in parts)])


def crop_share(face: Detection, spec: ImageSpec) -> float:
    """The side of a face's crop over the longer side of its box: about 1 where its points lie as those of a face."""
    matrix = crop_matrix(face.points_xy, np.asarray(spec.template_xy))
    extent = float((face.box_xyxy[2:] - face.box_xyxy[:2]).max())
    return spec.size / math.sqrt(abs(np.linalg.det(matrix[:, :2]))) / max(extent, 1e-6)


def laid(face: Detection, quarters: int, spec: ImageSpec) -> Detection:
    """The same face with its points where its box would have them if it lay turned by so many quarters: of upright faces, the crop is as
    wide as the box is high, and the five lie a twentieth below its middle."""
    low, high = face.box_xyxy[:2].astype(np.float64), face.box_xyxy[2:].astype(np.float64)
    extent, template = float((high - low).max()), np.asarray(spec.template_xy)
    upright = (template - template.mean(0)) * (extent / spec.size) + [0.0, _BELOW * extent]
    turned = upright @ np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), quarters)
    return replace(face, points_xy=((low + high) / 2 + turned).astype(np.float32))
